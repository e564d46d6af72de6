"""Every registered kernel keeps the laws of gp.testing."""

import pytest

from gp.model.kernels import Kernel
from gp.testing import check_kernel, examples

TERMS = {"slow": {"kind": "rbf"}, "slope": {"kind": "linear"}}
# What a kernel cannot do without, or what deserves an example beside its defaults.
GIVEN = {
    "matern": [{"nu": 0.5}, {"nu": 1.5}, {"nu": 2.5}],
    "cosine": [{"columns": ["a"]}],
    "polynomial": [{}, {"power": 3}],
    "spectral_mixture": [{"num_mixtures": 2}],
    "low_rank": [{"columns": ["b"], "rank": 2}],
    "sum": [{"terms": TERMS}, {"terms": {"cycle": {"kind": "product", "factors": TERMS}, "white": {"kind": "white"}}}],
    "product": [{"factors": TERMS}],
    "changepoint": [
        {"before": {"kind": "rbf"}, "after": {"kind": "matern", "nu": 1.5}, "column": "a"},
        {"after": {"kind": "changepoint", "before": {"kind": "rbf"}, "column": "a"}, "column": "a"},
    ],
}
EXAMPLES = examples(Kernel, GIVEN)


@pytest.mark.parametrize("spec", EXAMPLES.values(), ids=EXAMPLES)
def test_a_kernel_keeps_the_laws(spec):
    check_kernel(spec)


def test_a_kernel_keeps_the_laws_over_one_input_and_over_three():
    check_kernel({"kind": "rbf"}, columns=("time",))
    check_kernel({"kind": "matern", "ard": True, "columns": ["c", "a"]}, columns=("a", "b", "c"))
