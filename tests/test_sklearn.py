"""The scikit-learn estimator: scikit-learn's own checks, and the tools that people use it in."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import gp
from gp.sklearn import GaussianProcessRegressor

QUICK = {"train": {"kind": "lbfgs", "restarts": 0}, "hyperparameters": {"kind": "plug_in"}}
RNG = np.random.default_rng(0)
X = pd.DataFrame(RNG.uniform(0, 5, (40, 2)), columns=["depth", "time"])
Y = np.sin(X["depth"]).to_numpy() + 0.1 * RNG.normal(size=40)


@parametrize_with_checks([GaussianProcessRegressor(**QUICK)])
def test_it_passes_the_checks_of_scikit_learn(estimator, check):
    check(estimator)


def test_it_is_the_fit_of_the_library():
    estimator, fitted = GaussianProcessRegressor().fit(X, Y), gp.fit(X, Y)
    new = X.iloc[:5] + 0.1
    mean, sd = estimator.predict(new, return_std=True)
    np.testing.assert_array_equal(mean, fitted.predict(new).mean)
    np.testing.assert_array_equal(sd, fitted.predict(new).sd_y)
    assert estimator.feature_names_in_.tolist() == ["depth", "time"]
    assert estimator.fitted_.certificate.alarms == fitted.certificate.alarms


def test_its_covariance_and_draws_are_of_new_observations():
    estimator = GaussianProcessRegressor(**QUICK).fit(X, Y)
    new = X.iloc[:6] + 0.1
    mean, covariance = estimator.predict(new, return_cov=True)
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), estimator.predict(new, return_std=True)[1], rtol=1e-9)
    draws = estimator.sample_y(new, n_samples=4000, random_state=1)
    assert draws.shape == (6, 4000)
    np.testing.assert_allclose(draws.mean(axis=1), mean, atol=5 * np.sqrt(np.diag(covariance).max() / 4000))
    np.testing.assert_allclose(np.cov(draws), covariance, atol=0.15 * np.abs(covariance).max())
    np.testing.assert_array_equal(draws, estimator.sample_y(new, n_samples=4000, random_state=1))
    with pytest.raises(ValueError, match="exclude each other"):
        estimator.predict(new, return_std=True, return_cov=True)


def test_it_works_in_pipelines_and_searches_over_models():
    kernels = [{"kernel": {"kind": kind}} for kind in ("rbf", "constant")]
    pipeline = make_pipeline(StandardScaler(), GaussianProcessRegressor(**QUICK))
    search = GridSearchCV(pipeline, {"gaussianprocessregressor__model": kernels}, cv=KFold(3))
    search.fit(X, Y)
    assert search.best_params_ == {"gaussianprocessregressor__model": kernels[0]}
    assert cross_val_score(pipeline, X, Y, cv=KFold(3)).min() > 0.8
    again = pickle.loads(pickle.dumps(search.best_estimator_))
    np.testing.assert_array_equal(again.predict(X), search.predict(X))


def test_what_is_misspelt_is_said_as_by_the_library():
    with pytest.raises(gp.InputError, match=r"did you mean matern"):
        GaussianProcessRegressor(model={"kernel": {"kind": "mattern"}}).fit(X, Y)
