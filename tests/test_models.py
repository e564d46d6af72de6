"""Models: means, noise, standardisation, and data at the edge of what can be modelled."""

import math

import numpy as np
import pytest
from scipy import stats

import gp
from gp.dataset import Dataset
from gp.model.model import Model
from gp.spec import InputError, parse

EXACT = 1e-10  # the same arithmetic in another order
CLOSE = 1e-6  # a search's end, seen in predictions

rng = np.random.default_rng(0)
X = np.column_stack([rng.uniform(1, 4, 20), rng.uniform(-2, 5, 20)])
Y = 30 + 3 * X[:, 0] - 2 * X[:, 1] + np.sin(X[:, 0]) + 0.3 * rng.normal(size=20)
KERNEL = {"kind": "rbf", "ard": True, "lengthscale": [1.5, 2.5], "outputscale": 4.0}
NOISE = {"sd": 0.5}
standardized = pytest.mark.parametrize(("x", "y"), [(False, False), (True, False), (False, True), (True, True)])


def model(mean, *, x, y):
    return {"standardize": {"x": x, "y": y}, "mean": mean, "kernel": KERNEL, "noise": NOISE}


def covariance(x1, x2):
    steps = (x1[:, None, :] - x2[None, :, :]) / np.array(KERNEL["lengthscale"])
    return KERNEL["outputscale"] * np.exp(-0.5 * (steps**2).sum(axis=-1))


def density(mean):
    """Return the log density of Y under the kernel, the noise and the mean (n,)."""
    return stats.multivariate_normal(mean, covariance(X, X) + NOISE["sd"] ** 2 * np.eye(len(X))).logpdf(Y)


# What a user writes → the mean function in the data's units, of inputs seen from `origin`.
MEANS = {
    "constant": ({"kind": "constant", "value": 28.0}, lambda x: np.full(len(x), 28.0)),
    "linear": (
        {"kind": "linear", "bias": 31.0, "weights": [2.0, -1.5]},
        lambda x: 31 + 2 * x[:, 0] - 1.5 * x[:, 1],
    ),
    "polynomial": (
        {"kind": "polynomial", "degree": 3, "bias": 31.0, "weights": [2.0, -1.5, 0.5, 0.2, -0.1, 0.05]},
        lambda x: 31 + x @ [2.0, -1.5] + x**2 @ [0.5, 0.2] + x**3 @ [-0.1, 0.05],
    ),
}


@standardized
@pytest.mark.parametrize(("mean", "formula"), MEANS.values(), ids=MEANS)
def test_a_mean_is_its_formula_in_the_datas_units(mean, formula, x, y):
    origin = X.mean(axis=0) if x else 0.0
    seen = gp.log_marginal_likelihood(X, Y, model=model(mean, x=x, y=y))
    assert seen == pytest.approx(density(formula(X - origin)), abs=1e-8)  # the sum of squares is some 1e3


@standardized
def test_the_zero_mean_is_the_training_mean_where_y_is_standardized(x, y):
    seen = gp.log_marginal_likelihood(X, Y, model=model({"kind": "zero"}, x=x, y=y))
    assert seen == pytest.approx(density(np.full(20, Y.mean() if y else 0.0)), abs=1e-8)


@pytest.mark.parametrize("y", [False, True])
def test_far_from_the_data_a_prediction_is_the_mean_function(y):
    fixed = {name: {"fixed": value} for name, value in KERNEL.items() if name not in ("kind", "ard")}
    for mean, expected in (({"kind": "zero"}, Y.mean() if y else 0.0), ({"value": {"fixed": 28.0}}, 28.0)):
        written = {
            "standardize": {"y": y},
            "mean": mean,
            "kernel": {"kind": "rbf", "ard": True, **fixed},
            "noise": {"sd": {"fixed": 0.5}},
        }
        posterior = gp.fit(X, Y, model=written).predict([[1e3, 1e3]])
        assert posterior.mean == pytest.approx(expected, rel=EXACT)
        assert posterior.sd_f == pytest.approx(2.0, rel=EXACT)
        assert posterior.sd_y == pytest.approx(math.sqrt(4.25), rel=EXACT)


@pytest.mark.parametrize("kind", ["linear", "polynomial"])
@standardized
def test_a_trend_starts_from_least_squares(kind, x, y):
    degree = 1 if kind == "linear" else 2
    made = parse(Model, model({"kind": kind}, x=x, y=y)).build(Dataset(x=X, y=Y, columns=("a", "b")))
    start = made.parameters.in_data_units()
    assert set(start) >= {"mean.bias", "mean.weights"}
    origin = X.mean(axis=0) if x else 0.0
    design = np.hstack([np.ones((20, 1)), *((X - origin) ** power for power in range(1, degree + 1))])
    expected = np.linalg.lstsq(design, Y, rcond=None)[0]
    np.testing.assert_allclose([start["mean.bias"], *start["mean.weights"]], expected, rtol=1e-8)


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("mean", [mean for mean, _ in MEANS.values()], ids=MEANS)
def test_a_means_gradient_is_that_of_finite_differences(mean, standardize):
    written = model(mean, x=standardize, y=standardize)
    _, gradient = gp.log_marginal_likelihood(X, Y, model=written, gradient=True)
    for name in mean.keys() - {"kind", "degree"}:
        numbers, slopes = np.atleast_1d(mean[name]), np.atleast_1d(gradient[f"mean.{name}"])
        for i in range(len(numbers)):
            step = 1e-3 * np.eye(len(numbers))[i]  # the likelihood is quadratic in it: any step is exact
            ahead, behind = (
                gp.log_marginal_likelihood(
                    X, Y, model=written | {"mean": mean | {name: (numbers + sign * step).tolist()}}
                )
                for sign in (1, -1)
            )
            assert slopes[i] == pytest.approx((ahead - behind) / 2e-3, rel=CLOSE, abs=CLOSE), (name, i)


def test_a_wrong_number_of_weights_is_refused():
    message = "^mean.weights: 3 values for 2: give one number, or one for each$"
    with pytest.raises(InputError, match=message):
        gp.log_marginal_likelihood(X, Y, model={"mean": {"kind": "linear", "weights": [1.0, 2.0, 3.0]}})


def test_a_names_weights_carry_the_columns_names():
    made = parse(Model, {"mean": {"kind": "polynomial"}}).build(Dataset(x=X, y=Y, columns=("age", "bmi")))
    names = [name for name in made.parameters.names if name.startswith("mean")]
    assert names == ["mean.bias", *(f"mean.weights.{label}" for label in ("age", "bmi", "age^2", "bmi^2"))]


@pytest.mark.parametrize("y", [False, True])
def test_a_single_rows_likelihood_is_its_normal_density_even_above_one(y):
    written = {
        "standardize": {"y": y},
        "mean": {"value": 3.0},
        "kernel": {"kind": "rbf", "lengthscale": 1.0, "outputscale": 0.0009},
        "noise": {"sd": 0.04},
    }
    # sd = √(0.03² + 0.04²) = 0.05 and y lies one sd off: −½ − log 0.05 − ½ log 2π > 0.
    seen = gp.log_marginal_likelihood([0.0], [3.05], model=written)
    assert seen == pytest.approx(-0.5 - math.log(0.05) - 0.5 * math.log(2 * math.pi), abs=1e-9)
    assert seen > 0


def test_standardizing_is_by_the_mean_and_the_population_sd():
    made = Model().build(Dataset(x=X, y=Y, columns=("a", "b")))
    np.testing.assert_allclose(made.scope.x, (X - X.mean(axis=0)) / X.std(axis=0, ddof=0), rtol=EXACT)
    np.testing.assert_allclose(made.scope.y, (Y - Y.mean()) / Y.std(ddof=0), rtol=EXACT, atol=EXACT)
    assert made.log_jacobian == pytest.approx(-20 * math.log(Y.std(ddof=0)), rel=EXACT)


# Data at the edge: right answers, or a clear refusal.

T = np.linspace(0, 10, 50)
S = np.sin(T) + 0.1 * np.random.default_rng(1).normal(size=50)
AT = np.array([0.33, 4.7, 9.1])
SMOOTH = {"kernel": {"kind": "rbf"}}
LOOSE = 1e-4  # ends of two searches, whose last steps rounding may turn


def predict(x, y, at, **options):
    fitted = gp.fit(x, y, model=options.pop("model", SMOOTH), **options)
    assert fitted.certificate.to_dict()  # says something, whatever the data
    posterior = fitted.predict(at)
    assert np.isfinite([posterior.mean, posterior.sd_f, posterior.sd_y]).all()
    return posterior


def same(posterior, plain, *, scale=1.0, offset=0.0, rel=LOOSE):
    spread = np.std(S)
    np.testing.assert_allclose((posterior.mean - offset) / scale, plain.mean, atol=rel * spread)
    np.testing.assert_allclose(posterior.sd_f / scale, plain.sd_f, rtol=10 * rel, atol=rel * spread)
    np.testing.assert_allclose(posterior.sd_y / scale, plain.sd_y, rtol=10 * rel, atol=rel * spread)


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("factor", [1e12, 1e-12])
def test_scaled_y_gives_scaled_predictions(factor, standardize):
    model = SMOOTH | {"standardize": {"x": standardize, "y": standardize}}
    same(predict(T, S * factor, AT, model=model), predict(T, S, AT, model=model), scale=factor)


@pytest.mark.parametrize("factor", [1e12, 1e-12])
def test_scaled_y_learns_scaled_hyperparameters(factor):
    plain, scaled = (gp.fit(T, S * f, model=SMOOTH).hyperparameters for f in (1.0, factor))
    power = {"kernel.lengthscale": 0, "kernel.outputscale": 2, "noise.sd": 1, "mean.value": 1}
    for name, value in plain.items():
        # A search ends within 1e-3 nats of the top, which leaves the flat level of the mean much room.
        assert scaled[name] / factor ** power[name] == pytest.approx(value, rel=0.01, abs=0.01), name


@pytest.mark.parametrize("standardize", [False, True])
def test_shifted_x_gives_the_same_predictions(standardize):
    grid, at = np.round(T * 1024) / 1024, np.round(AT * 1024) / 1024  # so that 1e9 + x is exact
    model = SMOOTH | {"standardize": {"x": standardize}}
    same(predict(grid + 1e9, S, at + 1e9, model=model), predict(grid, S, at, model=model))


def test_shifted_y_gives_shifted_predictions():
    values = np.round(S * 2**20) / 2**20
    same(predict(T, values + 1e6, AT), predict(T, values, AT), offset=1e6)


@pytest.mark.parametrize("factor", [1e12, 1e-12, 1e200, 1e-200])
def test_scaled_x_gives_the_same_predictions(factor):
    same(predict(T * factor, S, AT * factor), predict(T, S, AT))


@pytest.mark.parametrize(
    ("x", "y", "model", "seen"),
    [
        (1, 1e200, SMOOTH, "y has the standard deviation .*e\\+199, whose square"),
        (1, 1e-200, SMOOTH, "y has the standard deviation .*e-201, whose square"),
        (1e200, 1, SMOOTH | {"standardize": {"x": False}}, "'x' has the standard deviation .*e\\+200, whose square"),
        (1e200, 1, {"kernel": {"kind": "linear"}}, "kernel.variance: no number of float64"),
        (1e100, 1e-100, {"kernel": {"kind": "polynomial"}}, "kernel.outputscale: no number of float64"),
        (1e-100, 1e120, {"mean": {"kind": "polynomial"}}, "mean.weights: no number of float64"),
    ],
)
def test_numbers_whose_variances_are_no_floats_are_refused_in_one_line(x, y, model, seen):
    with pytest.raises(InputError, match=seen) as refused:
        predict(T * x, S * y, AT * x, model=model)
    assert "\n" not in str(refused.value)


def test_one_row_predicts_its_value():
    posterior = predict([1.0], [2.0], [1.0, 5.0])
    np.testing.assert_allclose(posterior.mean, 2.0, rtol=CLOSE)


def test_two_rows_predict_their_range():
    posterior = predict([1.0, 2.0], [3.0, 5.0], [1.0, 2.0, 1.5])
    assert ((posterior.mean >= 3 - CLOSE) & (posterior.mean <= 5 + CLOSE)).all()


@pytest.mark.parametrize("level", [0.0, 0.1, -1e12, 1e-12])
@pytest.mark.parametrize("standardize", [False, True])
def test_constant_y_predicts_itself(level, standardize):
    model = SMOOTH | {"standardize": {"x": standardize, "y": standardize}}
    posterior = predict(T, np.full(50, level), AT, model=model)
    np.testing.assert_allclose(posterior.mean, level, rtol=CLOSE, atol=1e-15)


def test_duplicate_rows_count_as_repeats():
    twice = np.concatenate([T, T]), np.concatenate([S, S + 0.2])
    posterior = predict(*twice, AT)
    # Repeats 0.2 apart: each pair's mean with half the variance.
    assert np.abs(posterior.mean - np.sin(AT) - 0.1).max() < 0.15
    assert 0.1 < np.sqrt(posterior.sd_y**2 - posterior.sd_f**2).min() < 0.2


def test_rows_that_are_all_the_same_give_their_mean_and_sd():
    posterior = predict(np.zeros(50), S, [0.0])
    assert posterior.mean == pytest.approx(S.mean(), abs=0.02)
    assert posterior.sd_y == pytest.approx(S.std(), rel=0.05)


def test_collinear_columns_predict_as_one_does():
    double = np.column_stack([T, 3 * T])
    same(predict(double, S, np.column_stack([AT, 3 * AT])), predict(T, S, AT), rel=0.02)  # flat ridges end anywhere


def test_collinear_columns_have_a_linear_mean():
    double = np.column_stack([T, 3 * T, np.full(50, 7.0)])
    posterior = predict(double, 5 * T + S, double[[3, 30]], model=SMOOTH | {"mean": {"kind": "linear"}})
    assert np.abs(posterior.mean - (5 * T + np.sin(T))[[3, 30]]).max() < 0.2


def test_a_constant_column_changes_nothing():
    wide = np.column_stack([T, np.full(50, 1e9)])
    same(predict(wide, S, np.column_stack([AT, np.full(3, 1e9)])), predict(T, S, AT), rel=0.01)


FIXED = {
    "mean": {"kind": "zero"},
    "kernel": {"kind": "rbf", "lengthscale": {"fixed": 1.0}, "outputscale": {"fixed": 1.0}},
    "noise": {"sd": {"fixed": 1e-12}},
}
NO_FACTOR = {
    "at lbfgs's one start": lambda x, y: gp.fit(x, y, model=SMOOTH | {"noise": {"sd": 1e-12}}, train={"restarts": 0}),
    "at adam's start": lambda x, y: gp.fit(
        x, y, model=FIXED | {"mean": {"kind": "constant"}}, train={"kind": "adam", "steps": 2}
    ),
    "in a prediction where all is fixed": lambda x, y: gp.fit(x, y, model=FIXED).predict([0.0]),
    "in a likelihood": lambda x, y: gp.log_marginal_likelihood(x, y, model=FIXED),
    "in a likelihood's gradient": lambda x, y: gp.log_marginal_likelihood(x, y, model=FIXED, gradient=True),
}


@pytest.mark.parametrize("run", NO_FACTOR.values(), ids=NO_FACTOR)
def test_a_matrix_without_a_factor_is_refused_with_the_fix(run):
    x, y = np.concatenate([T, T]), np.concatenate([S, S])
    with pytest.raises(InputError, match=r"not positive definite at noise.sd=1.*e-12: raise model.noise.sd"):
        run(x, y)
