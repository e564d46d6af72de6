"""README and the help of `gp.fit`: what they say can be written is what the registries have."""

import pydoc
import re
from typing import get_args

import pytest
from conftest import ROOT

import gp
from gp.data import Data
from gp.data.oscillators.systems import System
from gp.fitted.uncertainty import Hyperparameters
from gp.inference import Inference
from gp.model.kernels import Kernel
from gp.model.means import Mean
from gp.model.noise import Noise
from gp.parameters.priors import PositivePrior, RealPrior
from gp.spec import kinds
from gp.training import Train
from gp.transforms import Transform

UNIONS = {
    "data": [Data],
    "data.system": [System],
    "model.kernel": [Kernel],
    "model.mean": [Mean],
    "model.noise": [Noise],
    "model.transform": [Transform],
    "inference": [Inference],
    "predict.hyperparameters": [Hyperparameters],
    "train": [Train],
    "prior": [PositivePrior, RealPrior],
}
ROWS = re.findall(r"^\| `([a-z.]+)` \| (.*) \|$", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
KIND = re.compile(r"`(\w+)`(?: \{([^}]*)\})?")


def written(cell):
    """Return kind → its keys, in the order of a table's cell."""
    return {
        kind: set(keys.split(", ")) if keys else set()
        for kind, keys in (KIND.match(item).groups() for item in cell.split(" · "))
    }


@pytest.mark.parametrize("section", UNIONS)
def test_the_table_of_kinds_is_the_registry(section):
    cell = dict(ROWS)[section]
    shared = set().union(*(keys.split(", ") for keys in re.findall(r"most take \{([^}]*)\} too", cell)))
    registered = {kind: cls for union in UNIONS[section] for kind, cls in kinds(union).items()}
    fields = {kind: set(cls.model_fields) - {"kind"} - shared for kind, cls in registered.items()}
    assert written(cell) == fields
    default = next((part.default for union in UNIONS[section] for part in get_args(union)[1:]), None)
    if default is not None:
        assert next(iter(written(cell))) == default


def test_help_says_what_can_be_written():
    text = pydoc.plain(pydoc.render_doc(gp.fit))
    assert "x: 'ArrayLike | pd.DataFrame'" in text
    assert "adam {steps: 100, learning_rate: 0.1}" in text
    assert "  train: lbfgs {" in text  # the default kind first
    assert "most take {columns, outputscale} too" in text
    sections = [name for name in UNIONS if name.startswith("model.") or name in ("inference", "train", "prior")]
    every = [kind for name in sections for union in UNIONS[name] for kind in kinds(union)]
    assert len(every) > 30
    for kind in every:
        assert re.search(rf"[ ;]{kind}[ ;\n]", text), kind
    assert max(map(len, text.splitlines()[3:])) <= 120
