"""Kernels: each against its textbook formula in slow loops, units, bounds, priors (laws: tests/laws)."""

import copy
import math
from functools import reduce
from operator import getitem

import numpy as np
import pytest
from ruamel.yaml import YAML
from scipy import stats
from scipy.optimize import minimize_scalar

import gp
from gp.dataset import Dataset
from gp.model.kernels import Kernel
from gp.model.kernels.composite import APART
from gp.model.model import Model
from gp.spec import InputError, kinds, parse
from gp.yaml import read_yaml

EXACT = 1e-10  # the same arithmetic in another order
CLOSE = 1e-6  # finite differences, or a search's end

rng = np.random.default_rng(0)


def _columns_of_sd_three():
    """Return 14 rows of two columns of mean 0 and sd 3, the last row equal to the first."""
    x = rng.normal(size=(14, 2))
    x[-1] = x[0]
    return 3 * (x - x.mean(axis=0)) / x.std(axis=0)


# Columns of mean 0 and one sd: formulas in data units then hold with and without standardisation inside.
X = _columns_of_sd_three()
Y = 5 + 4 * np.sin(X[:, 0]) + rng.normal(size=len(X))
NOISE, LEVEL = 0.8, 2.0


def sq(u, v, *lengthscales):
    """Return Σ (u − v)²/ℓ²; one ℓ is shared."""
    total = 0.0
    for j in range(len(u)):
        total += ((u[j] - v[j]) / lengthscales[j % len(lengthscales)]) ** 2
    return total


def rbf(u, v, *lengthscales):
    return math.exp(-sq(u, v, *lengthscales) / 2)


def matern(nu, u, v, *lengthscales):
    """R&W 2006 eq. 4.16–4.17."""
    r = math.sqrt(2 * nu * sq(u, v, *lengthscales))
    return {0.5: 1, 1.5: 1 + r, 2.5: 1 + r + r**2 / 3}[nu] * math.exp(-r)


def rational_quadratic(alpha, u, v, *lengthscales):
    return (1 + sq(u, v, *lengthscales) / (2 * alpha)) ** -alpha


def periodic(u, v, lengthscales, periods):
    """R&W 2006 eq. 4.31: the lengthscale is squared."""
    total = 0.0
    for j in range(len(u)):
        total += math.sin(math.pi * (u[j] - v[j]) / periods[j]) ** 2 / lengthscales[j] ** 2
    return math.exp(-2 * total)


def cosine(u, v, period):
    return math.cos(2 * math.pi * (u[0] - v[0]) / period)


def spectral_mixture(u, v, weights, means, scales):
    """Wilson & Adams 2013 eq. 12: a product over columns inside the sum over mixtures."""
    total = 0.0
    for q, weight in enumerate(weights):
        term = weight
        for j in range(len(u)):
            tau = u[j] - v[j]
            term *= math.cos(2 * math.pi * means[q][j] * tau) * math.exp(-2 * (math.pi * scales[q][j] * tau) ** 2)
        total += term
    return total


def linear(u, v, *variances):
    return sum(variances[j % len(variances)] * u[j] * v[j] for j in range(len(u)))


def white(u, v):
    return float(all(a == b for a, b in zip(u, v, strict=True)))


def a(u):
    return u[:1]


def b(u):
    return u[1:]


SUM_FACTOR = {
    "kind": "product",
    "outputscale": 3.0,
    "factors": {
        "decay": {"kind": "rbf", "lengthscale": 4.0},
        "level": {
            "kind": "sum",
            "terms": {
                "u": {"kind": "constant", "constant": 0.5},
                "t": {"kind": "matern", "nu": 1.5, "lengthscale": 2.0, "outputscale": 0.7},
                "slope": {"kind": "linear", "variance": 0.2},
            },
        },
    },
}


def sum_factor(u, v):
    return 3 * rbf(u, v, 4) * (0.5 + 0.7 * matern(1.5, u, v, 2) + linear(u, v, 0.2))


def switch(u):
    """Return the sigmoid of the change point at b = 0.3, of width 0.7."""
    return 1 / (1 + np.exp(-(b(u)[0] - 0.3) / 0.7))


# Name → (what a user writes, its textbook formula).
EXAMPLES = {
    "rbf": ({"kind": "rbf", "lengthscale": 1.7, "outputscale": 2.3}, lambda u, v: 2.3 * rbf(u, v, 1.7)),
    "rbf, ard": (
        {"kind": "rbf", "ard": True, "lengthscale": [1.7, 0.9], "outputscale": 2.3},
        lambda u, v: 2.3 * rbf(u, v, 1.7, 0.9),
    ),
    "rbf, second column": (
        {"kind": "rbf", "columns": ["b"], "lengthscale": 1.7, "outputscale": 2.3},
        lambda u, v: 2.3 * rbf(b(u), b(v), 1.7),
    ),
    "rbf, ard, columns in another order": (
        {"kind": "rbf", "columns": ["b", "a"], "ard": True, "lengthscale": [1.7, 0.9], "outputscale": 2.3},
        lambda u, v: 2.3 * rbf(u, v, 0.9, 1.7),
    ),
    **{
        f"matern {nu}": (
            {"kind": "matern", "nu": nu, "lengthscale": 1.7, "outputscale": 2.3},
            lambda u, v, nu=nu: 2.3 * matern(nu, u, v, 1.7),
        )
        for nu in (0.5, 1.5, 2.5)
    },
    "matern, ard": (
        {"kind": "matern", "nu": 2.5, "ard": True, "lengthscale": [1.7, 0.9], "outputscale": 2.3},
        lambda u, v: 2.3 * matern(2.5, u, v, 1.7, 0.9),
    ),
    "rational quadratic": (
        {"kind": "rational_quadratic", "alpha": 0.6, "lengthscale": 1.7, "outputscale": 2.3},
        lambda u, v: 2.3 * rational_quadratic(0.6, u, v, 1.7),
    ),
    "periodic": (
        {"kind": "periodic", "lengthscale": 1.3, "period_length": 4.1, "outputscale": 2.3},
        lambda u, v: 2.3 * periodic(u, v, [1.3, 1.3], [4.1, 4.1]),
    ),
    "periodic, ard": (
        {"kind": "periodic", "ard": True, "lengthscale": [1.3, 0.8], "period_length": [4.1, 5.2], "outputscale": 2.3},
        lambda u, v: 2.3 * periodic(u, v, [1.3, 0.8], [4.1, 5.2]),
    ),
    "cosine": (
        {"kind": "cosine", "columns": ["a"], "period_length": 4.1, "outputscale": 2.3},
        lambda u, v: 2.3 * cosine(a(u), a(v), 4.1),
    ),
    "spectral mixture": (
        {
            "kind": "spectral_mixture",
            "num_mixtures": 2,
            "mixture_weights": [1.5, 0.8],
            "mixture_means": [0.1, 0.2, 0.3, 0.05],
            "mixture_scales": [0.04, 0.03, 0.02, 0.05],
        },
        lambda u, v: spectral_mixture(u, v, [1.5, 0.8], [[0.1, 0.2], [0.3, 0.05]], [[0.04, 0.03], [0.02, 0.05]]),
    ),
    "linear": ({"kind": "linear", "variance": 0.3}, lambda u, v: linear(u, v, 0.3)),
    "linear, ard": ({"kind": "linear", "ard": True, "variance": [0.3, 0.1]}, lambda u, v: linear(u, v, 0.3, 0.1)),
    "polynomial": (
        {"kind": "polynomial", "power": 3, "offset": 2.0, "outputscale": 0.01},
        lambda u, v: 0.01 * (linear(u, v, 1.0) + 2.0) ** 3,
    ),
    "constant": ({"kind": "constant", "constant": 1.9}, lambda u, v: 1.9),
    "white": ({"kind": "white", "sd": 1.1}, lambda u, v: 1.1**2 * white(u, v)),
    "sum": (
        {
            "kind": "sum",
            "terms": {
                "trend": {"kind": "rbf", "columns": ["b"], "lengthscale": 1.7, "outputscale": 2.3},
                "noise": {"kind": "white", "sd": 1.1},
                "inner": {
                    "kind": "sum",
                    "terms": {
                        "line": {"kind": "linear", "variance": 0.3},
                        "cycle": {"kind": "cosine", "columns": ["a"], "period_length": 4.1, "outputscale": 0.4},
                    },
                },
            },
        },
        lambda u, v: (
            2.3 * rbf(b(u), b(v), 1.7) + 1.1**2 * white(u, v) + linear(u, v, 0.3) + 0.4 * cosine(a(u), a(v), 4.1)
        ),
    ),
    "product": (
        {
            "kind": "product",
            "outputscale": 0.05,
            "factors": {
                "slope": {"kind": "linear", "columns": ["a"]},
                "inner": {
                    "kind": "product",
                    "factors": {
                        "bend": {"kind": "polynomial", "offset": 2.0},
                        "decay": {"kind": "rbf", "columns": ["b"], "lengthscale": 4.0},
                    },
                },
                "one": {"kind": "constant"},
            },
        },
        lambda u, v: 0.05 * linear(a(u), a(v), 1) * (linear(u, v, 1) + 2) ** 2 * rbf(b(u), b(v), 4),
    ),
    "product with a sum": (SUM_FACTOR, sum_factor),
    "changepoint": (
        {
            "kind": "changepoint",
            "column": "b",
            "location": 0.3,
            "width": 0.7,
            "before": {"kind": "rbf", "lengthscale": 1.7, "outputscale": 2.3},
            "after": {"kind": "linear", "columns": ["a"], "variance": 0.4},
        },
        lambda u, v: (
            (1 - switch(u)) * 2.3 * rbf(u, v, 1.7) * (1 - switch(v)) + switch(u) * linear(a(u), a(v), 0.4) * switch(v)
        ),
    ),
    "sum of products with sums": (
        {"kind": "sum", "terms": {"z": SUM_FACTOR, "m": {"kind": "rbf", "lengthscale": 1.7, "outputscale": 2.3}}},
        lambda u, v: sum_factor(u, v) + 2.3 * rbf(u, v, 1.7),
    ),
}
STATIONARY = {"rbf", "matern", "rational_quadratic", "periodic", "cosine", "spectral_mixture", "constant", "white"}
STRUCTURE = {"kind", "columns", "column", "ard", "nu", "power", "num_mixtures", "terms", "factors"}

examples = pytest.mark.parametrize(("spec", "formula"), EXAMPLES.values(), ids=EXAMPLES)
specs = pytest.mark.parametrize("spec", [spec for spec, _ in EXAMPLES.values()], ids=EXAMPLES)


def frame(x=X):
    return Dataset(x=x, y=Y[: len(x)], columns=("a", "b"))


def model(spec, *, x=False, y=False):
    """Return a model of kernel `spec` with fixed starts, that standardizes x and y or not."""
    mean = {"kind": "constant", "value": LEVEL}
    return {"standardize": {"x": x, "y": y}, "kernel": spec, "noise": {"sd": NOISE}, "mean": mean}


def built(model_, x=X, y=Y):
    return parse(Model, model_).build(Dataset(x=x, y=y, columns=("a", "b")))


def likelihood(model_, y=Y, x=X, **options):
    import pandas as pd

    return gp.log_marginal_likelihood(pd.DataFrame(x, columns=["a", "b"]), y, model=model_, **options)


def matrix(spec, x=X):
    return built(model(spec)).kernel(built(model(spec), x, np.zeros(len(x))).x).to_dense().detach().numpy()


def slow_matrix(formula, x=X):
    return np.array([[formula(u, v) for v in x] for u in x])


def leaves(spec):
    """Return the kinds of the leaves of a spec."""
    parts = spec.get("terms", spec.get("factors"))
    return {spec["kind"]} if parts is None else set().union(*(leaves(part) for part in parts.values()))


def bare(spec):
    """Return `spec` without hyperparameters: what a user writes who leaves their starts to the data."""
    kept = {key: value for key, value in spec.items() if key in STRUCTURE}
    for parts in ("terms", "factors"):
        if parts in spec:
            kept[parts] = {name: bare(part) for name, part in spec[parts].items()}
    return kept | {side: bare(spec[side]) for side in ("before", "after") if side in spec}


def with_value(model_, name, value):
    """Return the model with the hyperparameter `name` (kernel.season.cycle.lengthscale) written as `value`."""
    changed = copy.deepcopy(model_)
    section, *path, last = name.split(".")
    here = changed[section]
    for step in path:
        here = here.get("terms", here.get("factors", here))[step]
    here[last] = value
    return changed


# Laws of every kernel.


@pytest.mark.parametrize("spec", [s for s, _ in EXAMPLES.values() if leaves(s) <= STATIONARY])
def test_a_stationary_kernel_knows_only_differences(spec):
    shifted = matrix(spec, X + np.array([4.0, -2.0]))
    np.testing.assert_allclose(shifted, matrix(spec), rtol=EXACT, atol=EXACT)
    assert np.ptp(np.diagonal(shifted)) == pytest.approx(0, abs=EXACT)


@examples
def test_a_kernel_is_its_textbook_formula(spec, formula):
    np.testing.assert_allclose(matrix(spec), slow_matrix(formula), rtol=EXACT, atol=EXACT)


@specs
def test_yaml_to_spec_to_yaml_is_the_identity(spec, tmp_path):
    path = tmp_path / "kernel.yaml"
    with path.open("w") as file:
        YAML(typ="safe").dump(spec, file)
    read = parse(Kernel, read_yaml(path))
    assert read.to_dict() == spec
    assert parse(Kernel, read.to_dict()) == read


@pytest.mark.parametrize(
    "written",
    [
        2.0,
        {"fixed": 2.0},
        {"start": 2.0, "lower": 1.0, "upper": 3.0},
        {"lower": 1.0},
        {"upper": 3.0},
        {"start": 2.0, "prior": {"kind": "gamma", "shape": 2.0, "rate": 1.0}},
        {"prior": {"kind": "log_normal", "median": 2.0, "sigma": 0.5}},
        {"fixed": [2.0, 3.0]},
        {},
        None,
    ],
)
def test_every_way_to_write_a_hyperparameter_comes_back_as_written(written):
    spec = {"kind": "rbf", "ard": True, "lengthscale": written}
    assert parse(Kernel, spec).to_dict() == spec


# Units: what a user writes and reads is in the data's, whatever the model standardizes.

scaled = pytest.mark.parametrize(("x", "y"), [(False, False), (True, False), (False, True), (True, True)])


@scaled
@examples
def test_the_likelihood_is_the_formulas_in_the_datas_units(spec, formula, x, y):
    K = slow_matrix(formula) + NOISE**2 * np.eye(len(X))
    expected = stats.multivariate_normal(np.full(len(X), LEVEL), K).logpdf(Y)
    assert likelihood(model(spec, x=x, y=y)) == pytest.approx(expected, abs=1e-8)  # condition number 1e4


@pytest.mark.parametrize("standardize", [False, True])
@specs
def test_the_gradient_is_that_of_finite_differences_in_the_datas_units(spec, standardize):
    written = model(spec, x=standardize, y=standardize)
    _, gradient = likelihood(written, gradient=True)
    values = built(written).parameters.in_data_units()
    assert gradient.keys() == values.keys()
    for name, value in values.items():
        numbers = np.atleast_1d(value)
        for i, number in enumerate(numbers):
            step = 1e-5 * max(abs(number), 1e-3) * np.eye(len(numbers))[i]
            ahead, behind = (
                likelihood(with_value(written, name, (numbers + sign * step).tolist())) for sign in (1, -1)
            )
            expected = (ahead - behind) / (2 * step[i])
            assert np.atleast_1d(gradient[name])[i] == pytest.approx(expected, rel=CLOSE, abs=CLOSE), (name, i)


@pytest.mark.parametrize("factor", [1e12, 1e-12])
@specs
def test_the_likelihood_of_scaled_y_differs_by_the_jacobian_alone(spec, factor):
    left_out = {"kernel": bare(spec)}
    expected = likelihood(left_out) - len(Y) * math.log(factor)
    assert likelihood(left_out, Y * factor) == pytest.approx(expected, abs=1e-8)


@specs
def test_the_likelihood_does_not_see_a_shift_of_x(spec):
    grid = np.round(X * 1024) / 1024  # so that 1e9 + x is exact
    left_out = {"kernel": bare(spec)}
    # The mean of 1e9 + x is known to 1e-7, and kernels that are not stationary look from there.
    assert likelihood(left_out, x=grid + 1e9) == pytest.approx(likelihood(left_out, x=grid), abs=1e-5)


# Hyperparameter → its unit as powers of x's and y's.
UNITS = {
    ("rbf", "lengthscale"): (1, 0),
    ("matern", "lengthscale"): (1, 0),
    ("rational_quadratic", "lengthscale"): (1, 0),
    ("rational_quadratic", "alpha"): (0, 0),
    ("periodic", "lengthscale"): (0, 0),
    ("periodic", "period_length"): (1, 0),
    ("cosine", "period_length"): (1, 0),
    ("spectral_mixture", "mixture_weights"): (0, 2),
    ("spectral_mixture", "mixture_means"): (-1, 0),
    ("spectral_mixture", "mixture_scales"): (-1, 0),
    ("linear", "variance"): (-2, 2),
    ("polynomial", "offset"): (2, 0),
    ("polynomial", "outputscale"): (-6, 2),
    ("constant", "constant"): (0, 2),
    ("white", "sd"): (0, 1),
    ("changepoint", "location"): (1, 0),
    ("changepoint", "width"): (1, 0),
}


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("spec", [s for s, _ in EXAMPLES.values() if s["kind"] not in {"sum", "product"}])
def test_starts_from_the_data_scale_with_the_units_of_x_and_y(spec, standardize):
    left_out = {"standardize": {"x": standardize, "y": standardize}, "kernel": bare(spec)}
    before = built(left_out).parameters.in_data_units()
    after = built(left_out, X * 8, Y * 4).parameters.in_data_units()
    for name, value in before.items():
        section, *inner, last = name.split(".")
        part = reduce(getitem, inner, spec)
        default = (0, 1) if section in ("noise", "mean") else (0, 2)
        x_power, y_power = UNITS.get((part["kind"], last), default)
        np.testing.assert_allclose(after[name], np.array(value) * 8.0**x_power * 4.0**y_power, rtol=EXACT)


# Refusals.

AMPLITUDES = {kind: cls.amplitude for kind, cls in kinds(Kernel).items() if kind not in ("sum", "changepoint")}


@pytest.mark.parametrize(("kind", "amplitude"), AMPLITUDES.items())
def test_a_factor_with_an_amplitude_is_refused(kind, amplitude):
    factor = {"kind": kind, "columns": ["a"]} if kind != "product" else {"kind": kind, "factors": {"k": {}}}
    spec = {"kind": "product", "factors": {"ok": {}, "it": {**factor, amplitude: 2.0}}}
    message = (
        rf"^kernel.it.{amplitude}: a factor of a product has no amplitude of its own \(got 2.0\): "
        "give the product's outputscale instead$"
    )
    with pytest.raises(InputError, match=message):
        likelihood({"kernel": spec})


REFUSED = {
    "no such column": (
        {"kind": "rbf", "columns": ["c"]},
        r"^kernel.columns: no input column 'c' \(known: a, b\)$",
    ),
    "a column named twice": (
        {"kind": "rbf", "columns": ["a", "a"]},
        r"^kernel.columns: \['a', 'a'\] are not distinct: name each column once$",
    ),
    "no column at all": ({"kind": "rbf", "columns": []}, r"^model.kernel.columns: "),
    "a wrong number of ard values": (
        {"kind": "rbf", "ard": True, "lengthscale": [1.0, 2.0, 3.0]},
        r"^kernel.lengthscale: 3 values for 2: give one number, or one for each$",
    ),
    "a list without ard": (
        {"kind": "rbf", "lengthscale": [1.0, 2.0]},
        r"^kernel.lengthscale: 2 values for 1: give one number, or one for each$",
    ),
    "a cosine of two columns": ({"kind": "cosine"}, r"^kernel.columns: a cosine kernel takes one column \(got 2\)"),
    "an order Matérn has not": (
        {"kind": "matern", "nu": 2.0},
        r"^model.kernel: nu must be 0.5, 1.5 or 2.5 \(got 2\)$",
    ),
    "a negative lengthscale": (
        {"kind": "rbf", "lengthscale": -1.0},
        r"^model.kernel.lengthscale.*: must be greater than 0 \(got -1.0\)$",
    ),
    "fixed and bounded": (
        {"kind": "rbf", "lengthscale": {"fixed": 1.0, "lower": 0.5}},
        r"^model.kernel.lengthscale: 'fixed' goes with no other key \(got lower too\): drop one$",
    ),
    "bounds the wrong way round": (
        {"kind": "rbf", "lengthscale": {"lower": 2.0, "upper": 1.0}},
        r"^model.kernel.lengthscale: lower must be less than upper \(got 2 and 1\)$",
    ),
    "a start outside its bounds": (
        {"kind": "rbf", "lengthscale": {"start": 3.0, "upper": 1.0}},
        r"^model.kernel.lengthscale: start must lie between lower and upper \(got 3\)$",
    ),
    "an empty sum": ({"kind": "sum", "terms": {}}, r"^model.kernel.terms: "),
    "a name that breaks paths": ({"kind": "sum", "terms": {"a.b": {}}}, r"^model.kernel.terms.*a\.b"),
    "an amplitude of a sum": (
        {"kind": "sum", "terms": {"k": {}}, "outputscale": 2.0},
        r"^model.kernel.outputscale: unknown key \(known: kind, terms\)$",
    ),
}


@pytest.mark.parametrize(("spec", "message"), REFUSED.values(), ids=REFUSED)
def test_a_wrong_kernel_is_refused_by_a_line_that_says_why(spec, message):
    with pytest.raises(InputError, match=message):
        likelihood({"kernel": spec})


# Bounds and priors.

TIME = np.linspace(0, 10, 60)
WAVE = np.sin(TIME) + 0.1 * np.random.default_rng(1).normal(size=60)
TRAIN = {"lbfgs": {"kind": "lbfgs", "restarts": 2}, "adam": {"kind": "adam", "steps": 150}}


def one_free(**kernel):
    """Return a model whose kernel is free in `kernel` only."""
    fixed = {"lengthscale": {"fixed": 2.0}, "outputscale": {"fixed": 1.0}}
    return {
        "mean": {"kind": "zero"},
        "kernel": {"kind": "rbf", **fixed, **kernel},
        "noise": {"sd": {"fixed": 0.1}},
    }


def test_fixed_hyperparameters_stay_where_they_are_put():
    fitted = gp.fit(TIME, WAVE, model=one_free(lengthscale=1.0), train=TRAIN["lbfgs"])
    assert fitted.hyperparameters["kernel.outputscale"] == pytest.approx(1.0, rel=EXACT)
    assert fitted.hyperparameters["noise.sd"] == pytest.approx(0.1, rel=EXACT)
    assert fitted.hyperparameters["kernel.lengthscale"] != pytest.approx(1.0, rel=0.1)


@pytest.mark.parametrize("train", TRAIN.values(), ids=TRAIN)
@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize(
    ("written", "lowest", "highest"),
    [
        ({"start": 0.5, "lower": 0.2, "upper": 0.8}, 0.2, 0.8),
        ({"start": 0.5, "upper": 0.8}, 0.0, 0.8),
        ({"start": 6.0, "lower": 5.0}, 5.0, math.inf),
        ({"start": 6.0, "lower": 5.0, "upper": 9.0}, 5.0, 9.0),
    ],
)
def test_training_keeps_within_bounds(written, lowest, highest, standardize, train):
    scales = {"standardize": {"x": standardize, "y": standardize}}
    fitted = gp.fit(TIME, WAVE, model=one_free(lengthscale=written) | scales, train=train)
    learnt = fitted.hyperparameters["kernel.lengthscale"]
    assert lowest * (1 - EXACT) <= learnt <= highest * (1 + EXACT)
    if train["kind"] == "lbfgs":  # the optimum lies at about 2, so that the bound holds
        assert min(abs(learnt - lowest), abs(learnt - highest)) < CLOSE


@pytest.mark.parametrize(
    ("written", "expected"), [({"lower": 1e9}, 1e9), ({"upper": 1e-9}, 1e-9), ({"lower": 1e9, "upper": 2e9}, None)]
)
def test_a_bound_beyond_the_limits_of_the_search_holds_all_the_same(written, expected):
    learnt = gp.fit(TIME, WAVE, model=one_free(lengthscale=written)).hyperparameters["kernel.lengthscale"]
    low, high = written.get("lower", 0), written.get("upper", math.inf)
    assert low * (1 - EXACT) <= learnt <= high * (1 + EXACT)
    if expected:
        assert learnt == pytest.approx(expected, rel=EXACT)


def test_adam_takes_a_lone_upper_bound_of_what_may_be_negative_for_a_fault():
    mean = {"kind": "constant", "value": {"start": 0.0, "upper": 1.0}}
    with pytest.raises(InputError, match=r"^mean.value: adam needs a lower bound beside the upper one"):
        gp.fit(TIME, WAVE, model={"mean": mean}, train=TRAIN["adam"])


PRIORS = {
    "log-normal": ({"kind": "log_normal", "median": 0.7, "sigma": 0.02}, stats.lognorm(0.02, scale=0.7)),
    "gamma": ({"kind": "gamma", "shape": 400.0, "rate": 500.0}, stats.gamma(400, scale=1 / 500)),
}


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize(("prior", "density"), PRIORS.values(), ids=PRIORS)
def test_with_a_prior_training_finds_the_mode_of_the_posterior(prior, density, standardize):
    scales = {"standardize": {"x": standardize, "y": standardize}}
    written = one_free(lengthscale={"start": 1.0, "prior": prior}) | scales
    fitted = gp.fit(TIME, WAVE, model=written)

    def height(lengthscale):
        at = one_free(lengthscale=float(lengthscale)) | scales
        return gp.log_marginal_likelihood(TIME, WAVE, model=at) + density.logpdf(lengthscale)

    grid = np.linspace(0.5, 2.5, 41)
    near = grid[np.argmax([height(lengthscale) for lengthscale in grid])]
    top = minimize_scalar(lambda lengthscale: -height(lengthscale), bounds=(near - 0.05, near + 0.05))
    mode = fitted.hyperparameters["kernel.lengthscale"]
    assert mode == pytest.approx(top.x, abs=0.01)  # a search ends within 1e-3 nats of the top
    assert height(mode) >= -top.fun - 1e-3
    report = fitted.report()["fit"]
    assert report["log_prior"] == pytest.approx(density.logpdf(mode), abs=1e-8)
    assert report["log_marginal_likelihood"] == pytest.approx(height(mode) - density.logpdf(mode), abs=1e-8)


@pytest.mark.parametrize("train", [{"restarts": 0}, {"kind": "adam", "steps": 400}], ids=["lbfgs", "adam"])
@pytest.mark.parametrize("standardize", [False, True])
def test_a_level_may_have_a_normal_prior(standardize, train):
    """Of n draws N(m, sd²), sd known and m ~ N(mean, prior sd²), the mode is the mean weighted by precisions."""
    y = 5 + 0.5 * np.random.default_rng(0).normal(size=20)
    model = {
        "standardize": {"x": False, "y": standardize},
        "mean": {"value": {"start": 4.0, "prior": {"kind": "normal", "mean": 3.0, "sd": 0.1}}},
        "kernel": {"kind": "constant", "constant": {"fixed": 1e-12}},
        "noise": {"sd": {"fixed": 0.5}},
    }
    fitted = gp.fit(np.arange(20), y, model=model, train=train)
    mode = (y.sum() / 0.25 + 3.0 / 0.01) / (20 / 0.25 + 1 / 0.01)
    assert fitted.hyperparameters["mean.value"] == pytest.approx(mode, abs=5e-3)  # within 1e-3 nats of the top
    assert fitted.report()["fit"]["log_prior"] == pytest.approx(stats.norm(3, 0.1).logpdf(mode), abs=0.05)


def test_a_normal_prior_is_for_what_may_be_negative():
    with pytest.raises(InputError, match=r"lengthscale.prior.kind: 'normal' is no kind known here"):
        gp.fit(TIME, WAVE, model=one_free(lengthscale={"start": 1.0, "prior": {"kind": "normal", "mean": 1, "sd": 1}}))


# Scales and starts.


def test_a_shared_lengthscale_is_in_units_of_the_geometric_mean_of_the_columns():
    x = np.random.default_rng(0).normal(size=(50, 2)) * [1.0, 100.0]
    kernel = {"kind": "rbf", "lengthscale": 7.0}
    made = parse(Model, {"kernel": kernel}).build(Dataset(x=x, y=x[:, 0], columns=("a", "b")))
    internal = 7.0 / np.sqrt(x[:, 0].std() * x[:, 1].std())
    assert made.kernel.base_kernel.lengthscale.item() == pytest.approx(internal)
    assert made.parameters.in_data_units()["kernel.lengthscale"] == pytest.approx(7.0)


def test_a_constant_starts_at_the_mean_square_of_y():
    y = 5.0 + np.random.default_rng(0).normal(size=50)
    left_out = {"x": False, "y": False}
    made = parse(Model, {"kernel": {"kind": "constant"}, "standardize": left_out}).build(
        Dataset(x=np.arange(50.0)[:, None], y=y, columns=("a",))
    )
    assert made.parameters.in_data_units()["kernel.constant"] == pytest.approx(np.mean(y**2))


def test_terms_of_a_sum_share_the_variance_and_start_at_lengthscales_of_their_own():
    terms = {"slow": {"kind": "rbf"}, "middle": {"kind": "rbf"}, "fast": {"kind": "rbf"}}
    starts = built({"kernel": {"kind": "sum", "terms": terms}}).parameters.in_data_units()
    alone = built({"kernel": {"kind": "rbf"}}).parameters.in_data_units()
    for name, factor in (("slow", APART), ("middle", 1.0), ("fast", 1 / APART)):
        assert starts[f"kernel.{name}.outputscale"] == pytest.approx(alone["kernel.outputscale"] / 3)
        assert starts[f"kernel.{name}.lengthscale"] == pytest.approx(alone["kernel.lengthscale"] * factor)


def test_a_change_point_is_found_where_the_process_changes():
    rng = np.random.default_rng(5)
    x = np.linspace(2.0, 12.0, 90)
    y = np.where(x < 8.3, 0.2 * np.sin(x), 3 * np.sin(4 * x)) + 0.05 * rng.standard_normal(90)
    rbf_ = {"kind": "rbf"}
    fitted = gp.fit(x, y, model={"kernel": {"kind": "changepoint", "before": rbf_, "after": rbf_}})
    found = fitted.hyperparameters
    assert found["kernel.location"] == pytest.approx(8.3, abs=0.3)
    assert found["kernel.after.outputscale"] > 10 * found["kernel.before.outputscale"]
    one = gp.fit(x, y, model={"kernel": rbf_})
    assert fitted.log_marginal_likelihood > one.log_marginal_likelihood + 20


def test_a_change_point_among_several_inputs_needs_its_column():
    spec = {"kind": "changepoint", "before": {"kind": "rbf"}, "after": {"kind": "rbf"}}
    with pytest.raises(InputError, match=r"kernel\.column: of 2 inputs none is named: write `column: a`"):
        likelihood({"kernel": spec})


def test_a_term_for_each_column_is_short_for_terms_of_their_names():
    each = {"kind": "periodic", "period_length": {"fixed": 6.0}}
    short = parse(Kernel, {"kind": "sum", "each": each, "columns": ["depth [m]", "b"]}, "kernel")
    terms = {"depth_m": {**each, "columns": ["depth [m]"]}, "b": {**each, "columns": ["b"]}}
    assert short == parse(Kernel, {"kind": "sum", "terms": terms}, "kernel")
    assert parse(Kernel, short.to_dict(), "kernel") == short
    others = parse(Kernel, {"kind": "sum", "each": each, "columns": ["ß", "Größe", "Grüße"]}, "kernel")
    assert list(others.terms) == ["term_1", "Gr_e", "Gr_e_3"]
