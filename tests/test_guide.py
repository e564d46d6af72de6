"""docs/guide.md: its code does what it says, and it knows every alarm, check, kernel, noise and inference method."""

import doctest
import re

import pytest
from conftest import ROOT

from gp.check import CHECKS
from gp.inference import Inference
from gp.model.kernels import Kernel
from gp.model.noise import Noise
from gp.spec import kinds

PAGE = (ROOT / "docs/guide.md").read_text(encoding="utf-8")
ALARMS = [f"gp/fitted/{name}.py" for name in ("certificate", "draws", "gap", "limits", "optima", "scarce")]
ALARMS += ["gp/inference/harmonic.py"]


def test_the_code_of_the_page_does_what_it_says():
    blocks = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    test = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, "docs/guide.md", "docs/guide.md", 0)
    assert len(test.examples) > 15
    said = []
    doctest.DocTestRunner(verbose=False).run(test, out=said.append)
    assert not said, "".join(said)


def test_alarms_of_the_page_are_those_of_the_code():
    code = re.sub(r'"\s*\n\s*f?"', "", "".join((ROOT / path).read_text(encoding="utf-8") for path in ALARMS))
    quoted = re.findall(r"^\| `([^`]*)` \| ", PAGE.partition("## Reading the certificate")[2], flags=re.MULTILINE)
    assert len(quoted) >= 9
    for alarm in quoted:
        for part in filter(None, (part.strip(" %") for part in alarm.split("…"))):
            assert part in code, f"no alarm says {part!r}"


@pytest.mark.parametrize("union", [Noise, Inference], ids=["noise", "inference"])
def test_every_kind_is_on_the_page(union):
    missing = [kind for kind in kinds(union) if f"`{kind}`" not in PAGE and f"kind: {kind}" not in PAGE]
    assert set(missing) <= {"sgpr"}


def test_kernels_of_the_page_are_known_and_each_check_has_its_line():
    table = PAGE.partition("## Which kernel")[2].partition("```")[0]
    named = set(re.findall(r"`([a-z_]+)`", table))
    assert named & set(kinds(Kernel)) >= {"matern", "rbf", "periodic", "sum", "product", "categorical"}
    findings = PAGE.partition("## Reading the check")[2].partition("Calibration means")[0]
    assert findings.count("\n| ") == len(CHECKS) + 1  # and the heading
