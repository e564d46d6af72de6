"""Fitted, the library's face: fit, predict, save, load, evaluate, and numbers published elsewhere."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

import gp
from gp.spec import InputError

EXACT = 1e-10  # the same arithmetic in another order
CLOSE = 1e-6  # a search's end, seen in predictions

RAW = Path(__file__).parent.parent / "data" / "raw"
rng = np.random.default_rng(0)
X = rng.uniform(0, 10, size=(40, 2))
Y = 5 + np.sin(X[:, 0]) + 0.3 * X[:, 1] + 0.1 * rng.normal(size=40)
NEW = rng.uniform(0, 10, size=(7, 2))
TABLE = pd.DataFrame(X, columns=["age", "bmi"])
# Names in an order that is not the alphabet's.
TERMS = {
    "trend": {"kind": "rbf", "columns": ["bmi"], "lengthscale": 8.0, "outputscale": 1.0},
    "season": {
        "kind": "product",
        "outputscale": 1.0,
        "factors": {
            "decay": {"kind": "matern", "columns": ["age"], "lengthscale": 20.0},
            "cycle": {"kind": "periodic", "columns": ["age"], "period_length": 6.3},
        },
    },
    "level": {"kind": "constant", "constant": 2.0},
}
SUM = {"kernel": {"kind": "sum", "terms": TERMS}, "mean": {"kind": "linear"}, "noise": {"sd": 0.1}}
PLUG_IN = {"kind": "plug_in"}
QUICK = {"kind": "lbfgs", "restarts": 0}


def frozen(spec):
    """Return a spec whose every hyperparameter is fixed where it starts."""
    if isinstance(spec, dict):
        return {key: value if key in ("kind", "nu") else frozen(value) for key, value in spec.items()}
    return {"fixed": spec} if isinstance(spec, float) else spec


FIXED = frozen({"kernel": {"kind": "sum", "terms": TERMS}, "mean": {"value": 4.0}, "noise": {"sd": 0.1}})
FIXED["kernel"]["terms"]["season"]["factors"]["cycle"]["lengthscale"] = {"fixed": 1.0}


@pytest.fixture(scope="module")
def fitted():
    return gp.fit(TABLE, Y, model=SUM, train=QUICK)


# Fit and predict.


def test_everything_but_the_data_has_a_default():
    fitted = gp.fit(X, Y)
    posterior = fitted.predict(NEW)
    assert np.abs(posterior.mean - 5 - np.sin(NEW[:, 0]) - 0.3 * NEW[:, 1]).max() < 0.5
    assert (posterior.sd_y > posterior.sd_f).all()
    assert set(fitted.hyperparameters) == {"kernel.lengthscale", "kernel.outputscale", "noise.sd", "mean.value"}
    assert len(fitted.hyperparameters["kernel.lengthscale"]) == 2
    assert fitted.columns == ("x1", "x2")


def test_one_input_may_be_a_plain_list():
    fitted = gp.fit([0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 0.0, -1.0], train=QUICK)
    assert fitted.columns == ("x",)
    assert fitted.predict([0.5, 1.5]).mean.shape == (2,)


def test_a_table_gives_names_and_is_read_by_them(fitted):
    assert fitted.columns == ("age", "bmi")
    plain = fitted.predict(NEW)
    table = pd.DataFrame({"other": 0.0, "bmi": NEW[:, 1], "age": NEW[:, 0]})
    np.testing.assert_array_equal(fitted.predict(table).mean, plain.mean)


def test_a_table_with_numbered_columns_is_read_by_them_too():
    table = pd.DataFrame(X)
    posterior = gp.fit(table, Y, train=QUICK).predict(table)
    np.testing.assert_array_equal(posterior.mean, gp.fit(X, Y, train=QUICK).predict(X).mean)


def test_pandas_targets_are_taken(fitted):
    again = gp.fit(TABLE, pd.Series(Y, name="target"), model=SUM, train=QUICK)
    np.testing.assert_array_equal(again.predict(NEW).mean, fitted.predict(NEW).mean)


def test_inputs_are_not_changed():
    x, y, model = X.copy(), Y.copy(), json.loads(json.dumps(SUM))
    gp.fit(pd.DataFrame(x, columns=["age", "bmi"]), y, model=model, train=QUICK).predict(x)
    assert (x == X).all()
    assert (y == Y).all()
    assert model == SUM


def test_the_same_call_gives_the_same_bits():
    first, second = (gp.fit(X, Y, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.vector, second.vector)
    np.testing.assert_array_equal(first.predict(NEW).sd_f, second.predict(NEW).sd_f)


def test_predictions_do_not_depend_on_what_is_asked_beside_them(fitted):
    whole = fitted.predict(NEW, hyperparameters=PLUG_IN)
    apart = [fitted.predict(NEW[i : i + 1], hyperparameters=PLUG_IN).mean for i in range(len(NEW))]
    np.testing.assert_allclose(np.concatenate(apart), whole.mean, rtol=EXACT)
    few = [0, 3, 6]
    mixed = np.concatenate([fitted.predict(NEW[[i]]).mean for i in few])
    np.testing.assert_allclose(mixed, fitted.predict(NEW).mean[few], rtol=1e-7)  # at some draws K is near singular


def test_a_certificate_asked_for_changes_no_prediction():
    fitted = gp.fit(X, Y, train=QUICK)
    before = fitted.predict(NEW).mean
    assert fitted.certificate
    np.testing.assert_array_equal(fitted.predict(NEW).mean, before)
    np.testing.assert_array_equal(gp.fit(X, Y, train=QUICK).predict(NEW).mean, before)


def test_the_likelihood_is_the_one_computed_without_training_at_the_same_hyperparameters():
    fitted = gp.fit(X, Y, model={"kernel": {"kind": "rbf"}}, train=QUICK)
    at = fitted.hyperparameters
    model = {
        "kernel": {"kind": "rbf", "lengthscale": at["kernel.lengthscale"], "outputscale": at["kernel.outputscale"]},
        "noise": {"sd": at["noise.sd"]},
        "mean": {"value": at["mean.value"]},
    }
    assert gp.log_marginal_likelihood(X, Y, model=model) == pytest.approx(fitted.log_marginal_likelihood, abs=1e-8)


def test_the_trace_ends_at_the_likelihood():
    fitted = gp.fit(X, Y, train=QUICK)
    assert list(fitted.trace.columns) == ["evaluation", "nats_per_datum"]
    assert fitted.trace["nats_per_datum"].min() == pytest.approx(-fitted.log_marginal_likelihood / 40, abs=1e-8)


def test_leave_one_out_is_fitting_without_the_row():
    model = FIXED | {"standardize": {"x": False, "y": False}}
    table = gp.fit(TABLE, Y, model=model).leave_one_out
    for i in (0, 17, 39):
        others = np.arange(40) != i
        posterior = gp.fit(TABLE[others], Y[others], model=model).predict(X[[i]])
        assert table["y"][i] == Y[i]
        assert table["mean"][i] == pytest.approx(posterior.mean[0], rel=1e-8)
        assert table["sd_y"][i] == pytest.approx(posterior.sd_y[0], rel=1e-8)


def test_the_pit_of_a_row_is_the_probability_of_less_than_was_observed():
    fitted = gp.fit(X, Y, model={"kernel": {"kind": "rbf"}}, train={"kind": "adam", "steps": 2})  # which plugs in
    rows = fitted.leave_one_out
    assert rows["pit"].to_numpy() == pytest.approx(stats.norm.cdf(Y, rows["mean"], rows["sd_y"]), rel=EXACT)


def test_evaluate_scores_the_predictions_of_new_observations():
    fitted = gp.fit(X, Y, train=QUICK)
    y_new = 5 + np.sin(NEW[:, 0]) + 0.3 * NEW[:, 1]
    scores = gp.evaluate(fitted, NEW, y_new, hyperparameters=PLUG_IN)
    posterior = fitted.predict(NEW, hyperparameters=PLUG_IN)
    assert scores["rmse"] == pytest.approx(np.sqrt(np.mean((posterior.mean - y_new) ** 2)), rel=EXACT)
    expected = -stats.norm(posterior.mean, posterior.sd_y).logpdf(y_new).mean()
    assert scores["nlpd"] == pytest.approx(expected, rel=EXACT)
    mixed = fitted.predict(NEW).y
    assert gp.evaluate(fitted, NEW, y_new)["nlpd"] == pytest.approx(-mixed.log_density(y_new).mean(), rel=EXACT)


# All fixed.


def test_with_everything_fixed_nothing_is_trained_and_all_else_works(tmp_path):
    fitted = gp.fit(TABLE, Y, model=FIXED)
    assert fitted.search is None
    assert fitted.hyperparameters["mean.value"] == pytest.approx(4.0, rel=EXACT)
    assert len(fitted.trace) == 1
    assert fitted.certificate.evaluations == 0
    assert fitted.certificate.converged
    assert fitted.report()["ends"] == []
    fitted.save(tmp_path / "m.safetensors")
    loaded = gp.load(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(loaded.predict(NEW).mean, fitted.predict(NEW).mean)
    value, gradient = gp.log_marginal_likelihood(TABLE, Y, model=FIXED, gradient=True)
    assert value == pytest.approx(fitted.log_marginal_likelihood, abs=EXACT)
    assert gradient == {}


# Components.


def test_the_components_and_the_mean_function_sum_to_the_whole_but_for_a_constant(fitted):
    posterior, at = fitted.predict(NEW, hyperparameters=PLUG_IN), fitted.hyperparameters
    assert list(posterior.components) == ["trend", "season", "level"]
    about = NEW - X.mean(axis=0)  # where a linear mean of standardised inputs starts from
    rest = posterior.mean - about @ at["mean.weights"]
    for component in posterior.components.values():
        rest = rest - component.mean
    np.testing.assert_allclose(rest, rest[0], rtol=1e-9)


@pytest.mark.parametrize("standardize", [False, True])
def test_a_component_is_the_dense_formula_about_its_average(standardize):
    """mean_j = k_j K⁻¹ (y − m), cov_j = k_j − k_j K⁻¹ k_j (R&W 2006 sec. 2.4), in loops, less the average over rows."""
    scales = {"standardize": {"x": False, "y": standardize}}
    posterior = gp.fit(TABLE, Y, model=FIXED | scales).predict(NEW)

    def decay(u, v):
        r = np.sqrt(5) * abs(u[0] - v[0]) / 20
        return (1 + r + r**2 / 3) * np.exp(-r)

    formulas = {
        "trend": lambda u, v: np.exp(-((u[1] - v[1]) ** 2) / (2 * 8**2)),
        "season": lambda u, v: decay(u, v) * np.exp(-2 * np.sin(np.pi * (u[0] - v[0]) / 6.3) ** 2),
        "level": lambda u, v: 2.0,
    }

    def matrix(formula, x1, x2):
        return np.array([[formula(u, v) for v in x2] for u in x1])

    K = sum(matrix(formula, X, X) for formula in formulas.values()) + 0.1**2 * np.eye(40)
    alpha = np.linalg.solve(K, Y - 4.0)
    points = np.vstack([NEW, X])
    less = np.hstack([np.eye(len(NEW)), np.full((len(NEW), 40), -1 / 40)])  # f(x) − f̄ of f at all points
    for name, formula in formulas.items():
        cross, component = matrix(formula, points, X), posterior.components[name]
        covariance = less @ (matrix(formula, points, points) - cross @ np.linalg.solve(K, cross.T)) @ less.T
        np.testing.assert_allclose(component.mean, less @ cross @ alpha, rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(component.sd, np.sqrt(np.diagonal(covariance).clip(min=0)), rtol=CLOSE, atol=1e-6)


METHODS = {"markov": {}, "sgpr": {"inducing": 40}}  # every row is an inducing input


@pytest.mark.parametrize("kind", METHODS)
def test_components_of_methods_that_are_exact_here_are_those_of_exact_inference(kind):
    x, values = X[:, 0], {"lengthscale": {"fixed": 3.0}, "outputscale": {"fixed": 4.0}}
    terms = {"slow": {"kind": "matern", "nu": 1.5, **values}, "fast": {"kind": "matern", "nu": 0.5}}
    model = {"kernel": {"kind": "sum", "terms": terms}, "noise": {"sd": {"fixed": 0.3}}}
    exact = gp.fit(x, Y, model=model, inference={"kind": "exact"}, train={"restarts": 0})
    learnt = {"lengthscale": {"fixed": exact.hyperparameters["kernel.fast.lengthscale"]}}
    learnt["outputscale"] = {"fixed": exact.hyperparameters["kernel.fast.outputscale"]}
    model["kernel"]["terms"]["fast"] |= learnt
    one, other = (
        gp.fit(x, Y, model=model, inference=inference, train={"restarts": 0}).predict(
            NEW[:, 0], hyperparameters=PLUG_IN
        )
        for inference in ({"kind": "exact"}, {"kind": kind, **METHODS[kind]})
    )
    for name, component in one.components.items():
        np.testing.assert_allclose(other.components[name].mean, component.mean, atol=1e-6)
        np.testing.assert_allclose(other.components[name].sd, component.sd, atol=1e-6)


def test_the_band_of_a_component_does_not_hold_the_constant_that_others_may_have():
    rng = np.random.default_rng(0)
    x = np.linspace(0, 10, 60)
    y = np.sin(6 * x) + 0.1 * rng.normal(size=60) + 5
    large = {"kind": "rbf", "lengthscale": {"fixed": 400.0}, "outputscale": {"fixed": 400.0}}
    terms = {"level": large, "wave": {"kind": "rbf", "lengthscale": {"fixed": 0.3}, "outputscale": {"fixed": 1.0}}}
    model = {"kernel": {"kind": "sum", "terms": terms}, "noise": {"sd": {"fixed": 0.1}}}
    fitted = gp.fit(x, y, model=model)
    parts = fitted.predict(x).components
    assert parts["wave"].sd.max() < 0.3
    assert parts["level"].sd.max() < 0.5  # though that of its constant is 20
    for part in parts.values():
        assert part.mean.mean() == pytest.approx(0, abs=1e-6)


def test_a_kernel_that_is_no_sum_has_no_components():
    assert gp.fit(X, Y, train=QUICK).predict(NEW).components == {}


# Save and load.


def test_a_loaded_model_predicts_the_same_bits(fitted, tmp_path):
    fitted.save(tmp_path / "model.safetensors")
    loaded = gp.load(tmp_path / "model.safetensors")
    before, after = fitted.predict(NEW), loaded.predict(NEW)
    for name in ("mean", "sd_f", "sd_y"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
    assert list(after.components) == list(before.components)
    for name, component in before.components.items():
        np.testing.assert_array_equal(after.components[name].sd, component.sd)
    assert loaded.hyperparameters == fitted.hyperparameters
    assert loaded.log_marginal_likelihood == fitted.log_marginal_likelihood
    assert loaded.columns == fitted.columns
    assert loaded.model == fitted.model


@pytest.mark.parametrize("model", [{}, {"kernel": {"kind": "periodic"}, "mean": {"kind": "polynomial"}}])
def test_saving_has_the_same_bytes_under_every_name_and_again_after_loading(model, tmp_path):
    fitted = gp.fit(X, Y, model=model, train=QUICK)
    paths = [tmp_path / name for name in ("a.safetensors", "another-name.safetensors", "c")]
    fitted.save(paths[0])
    fitted.save(str(paths[1]))
    gp.load(paths[0]).save(paths[2])
    assert paths[0].read_bytes() == paths[1].read_bytes() == paths[2].read_bytes()


def test_what_is_no_model_file_is_refused(tmp_path):
    (tmp_path / "broken").write_bytes(b"no model")
    with pytest.raises(InputError, match="broken: not a saved model"):
        gp.load(tmp_path / "broken")
    with pytest.raises(InputError, match="none: no such file: run the stage train first"):
        gp.load(tmp_path / "none")


# Refusals.


def rows(values, i, bad):
    changed = np.array(values, dtype=float)
    changed[i] = bad
    return changed


REFUSED_FIT = {
    "a NaN input": (lambda: gp.fit(rows(X, (3, 1), np.nan), Y), "x has a value that is not finite in row 3"),
    "an infinite target": (lambda: gp.fit(X, rows(Y, 5, np.inf)), "y has a value that is not finite in row 5"),
    "text": (
        lambda: gp.fit(TABLE.assign(age=[f"{row} years" for row in range(len(TABLE))]), Y),
        "'age' holds text, 40 different values in 40 rows, too many for categories: give numbers as floats",
    ),
    "text in an array": (lambda: gp.fit(np.full((40, 2), "old"), Y), "x is not an array of numbers"),
    "too few targets": (lambda: gp.fit(X, Y[:-1]), "x has 40 rows but y has 39: give one y for every row of x"),
    "targets in a column": (lambda: gp.fit(X, Y[:, None]), r"y has shape \(40, 1\): it must have 1 dimension"),
    "a masked target": (
        lambda: gp.fit(X, np.ma.masked_less(Y, 5.0)),
        r"y is not an array of numbers \(a masked array\)",
    ),
    "a target of None": (lambda: gp.fit(X, [None, *Y[1:]]), "y has a missing value in row 0"),
    "nothing": (lambda: gp.fit(np.empty((0, 2)), []), "at least one row"),
    "a cube": (lambda: gp.fit(np.zeros((2, 2, 2)), [0.0, 1.0]), r"x has shape \(2, 2, 2\): it must have 2 dimensions"),
    "an unknown kernel": (
        lambda: gp.fit(X, Y, model={"kernel": {"kind": "rfb"}}),
        r"^model.kernel.kind: 'rfb' is no kind known here \(known: rbf, .*\): did you mean rbf\?$",
    ),
    "a bare name for a kernel": (
        lambda: gp.fit(X, Y, model={"kernel": "rbf"}),
        r"^model.kernel: must be a mapping .* \(got 'rbf'\): write \{kind: rbf\}$",
    ),
    "a key of the model as an argument": (
        lambda: gp.fit(X, Y, kernel="rbf"),
        r"^kernel: is no argument \(known: model, .*\): write model=\{'kernel': \{'kind': 'rbf'\}\}$",
    ),
    "an argument misspelt": (
        lambda: gp.fit(X, Y, infernce={}),
        r"^infernce: is no argument .*: did you mean inference\?$",
    ),
    "an argument of the likelihood misspelt": (
        lambda: gp.log_marginal_likelihood(X, Y, gradients=True),
        r"^gradients: is no argument .*: did you mean gradient\?$",
    ),
    "a wrong step count": (
        lambda: gp.fit(X, Y, train={"kind": "adam", "steps": 0}),
        r"^train.steps: must be at least 1 \(got 0\)$",
    ),
}


@pytest.mark.parametrize(("run", "message"), REFUSED_FIT.values(), ids=REFUSED_FIT)
def test_what_cannot_be_fitted_is_refused_by_place(run, message):
    with pytest.raises(InputError, match=message):
        run()


def test_all_faults_of_all_specs_are_told_at_once():
    with pytest.raises(InputError) as refused:
        gp.fit(X, Y, model={"noise": {"sd": -1.0}}, train={"kind": "adamm"}, inference={"kind": "exakt"})
    assert len(refused.value.messages) == 3


REFUSED_PREDICT = {
    "None": ([None], "x has a missing value in row 0: remove or fill the row"),
    "pandas' NA": (pd.DataFrame({"age": [1.0], "bmi": pd.array([None], dtype="Int64")}), "missing value in row 0"),
    "a masked array": (
        np.ma.masked_greater(NEW, 5.0),
        r"x is not .* numbers \(a masked array\): remove masked",
    ),
    "a tensor in a graph": (torch.tensor(NEW, requires_grad=True), r"not an array of numbers \(.*detach"),
    "a ragged list": ([[1.0, 2.0], [3.0]], "x is not an array of numbers"),
    "a NaN row": (rows(NEW, (2, 0), np.nan), "x has a value that is not finite in row 2"),
    "a column too few": (NEW[:, :1], r"x has 1 columns?, but the model was fitted to 2 \(age, bmi\): give as many"),
    "one dimension": (NEW[:, 0], r"x has 1 columns?, but the model was fitted to 2"),
    "a column too many": (np.hstack([NEW, NEW]), "x has 4 columns, but the model was fitted to 2"),
    "no row": (NEW[:0], "at least one row"),
    "a missing name": (pd.DataFrame({"age": [1.0]}), r"x has no column 'bmi' \(got \['age'\]\)"),
    "a number": (3.0, r"x has shape \(\): it must have 2 dimensions"),
}


@pytest.mark.parametrize(("x", "message"), REFUSED_PREDICT.values(), ids=REFUSED_PREDICT)
def test_what_cannot_be_predicted_is_refused_by_row_or_column(fitted, x, message):
    with pytest.raises(InputError, match=message):
        fitted.predict(x)


def test_importing_the_library_loads_no_torch():
    code = (
        "import gp, sys; dir(gp); print(*sorted(m for m in sys.modules if m.split('.')[0] in "
        "('torch', 'gpytorch', 'scipy', 'pandas')))"
    )
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=RAW.parents[1])
    assert seen.stdout.split() == []


def test_an_unknown_name_of_the_library_says_which_are_known():
    with pytest.raises(AttributeError, match=r"gp has no 'fitt' \(known: .*\bfit\b"):
        gp.fitt  # noqa: B018


# Numbers published elsewhere, or computed by a dense float64 program that shares no code with this one.

CO2 = {
    "standardize": {"x": False, "y": False},
    "mean": {"kind": "zero"},
    "kernel": {  # R&W 2006 sec. 5.4.3, ppm and years
        "kind": "sum",
        "terms": {
            "trend": {"kind": "rbf", "lengthscale": 67.0, "outputscale": 66.0**2},
            "season": {
                "kind": "product",
                "outputscale": 2.4**2,
                "factors": {
                    "decay": {"kind": "rbf", "lengthscale": 90.0},
                    "cycle": {"kind": "periodic", "lengthscale": 1.3, "period_length": {"fixed": 1.0}},
                },
            },
            "medium": {"kind": "rational_quadratic", "lengthscale": 1.2, "alpha": 0.78, "outputscale": 0.66**2},
            "short": {"kind": "rbf", "lengthscale": 0.134, "outputscale": 0.18**2},
        },
    },
    "noise": {"sd": 0.19},
}


def co2():
    table = pd.read_csv(RAW / "co2.csv")
    return table[["year"]], (table["ppm"] - table["ppm"].mean()).to_numpy()


def test_co2_at_the_books_hyperparameters():
    assert gp.log_marginal_likelihood(*co2(), model=CO2) == pytest.approx(-117.023, abs=1e-3)


def test_co2_standardised_inside_is_the_same_number():
    scales = {"standardize": {"x": True, "y": True}}
    assert gp.log_marginal_likelihood(*co2(), model=CO2 | scales) == pytest.approx(-117.023, abs=1e-3)


def test_co2_trained_from_the_books_hyperparameters():
    fitted = gp.fit(*co2(), model=CO2, train=QUICK)
    assert fitted.log_marginal_likelihood >= -115.050 - 0.01
    parts = fitted.predict(co2()[0], hyperparameters=PLUG_IN).components
    assert np.ptp(parts["trend"].mean) > 40  # ppm: the rise since 1958
    assert 4 < np.ptp(parts["season"].mean) < 10  # the yearly breath


# Kernel → log marginal likelihood of standardised y (nats), leave-one-out RMSE and NLPD (g).
MOTORCYCLE = {
    "rbf": ({"kind": "rbf"}, -105.980, 23.15, 4.5702),
    "matern 5/2": ({"kind": "matern", "nu": 2.5}, -107.464, 23.35, 4.5799),
    "matern 3/2": ({"kind": "matern", "nu": 1.5}, -108.527, 23.49, 4.5870),
}


@pytest.mark.parametrize(("kernel", "likelihood", "rmse", "nlpd"), MOTORCYCLE.values(), ids=MOTORCYCLE)
def test_motorcycle(kernel, likelihood, rmse, nlpd):
    table = pd.read_csv(RAW / "motorcycle.csv")
    x, y = table[["time"]], table["acceleration"].to_numpy()
    fitted = gp.fit(x, y, model={"mean": {"kind": "zero"}, "kernel": kernel}, train=QUICK)
    of_standardized = fitted.log_marginal_likelihood + len(y) * np.log(y.std())
    assert of_standardized == pytest.approx(likelihood, abs=2e-3)
    left_out = fitted.leave_out(PLUG_IN)
    # Digits as they are printed; the optimum is flat to 1e-3 nats in all, of 133 points.
    assert np.sqrt(np.mean((y - left_out.mean) ** 2)) == pytest.approx(rmse, abs=0.01)
    scores = -stats.norm(left_out.mean, left_out.sd).logpdf(y)
    assert scores.mean() == pytest.approx(nlpd, abs=5e-4)
    if kernel["kind"] == "rbf":
        at = fitted.hyperparameters
        assert at["kernel.lengthscale"] / x["time"].std(ddof=0) == pytest.approx(0.3987, rel=0.01)
        assert at["kernel.outputscale"] / y.var() == pytest.approx(0.888, rel=0.05)
        assert (at["noise.sd"] / y.std()) ** 2 == pytest.approx(0.2195, rel=0.01)
