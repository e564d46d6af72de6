"""Folds: each row is predicted by a fit, hyperparameters and all, to the rows of the other folds."""

from functools import partial

import numpy as np
import pytest

import gp
from gp.folds import predict_folds
from gp.parallel import run_in_line

RNG = np.random.default_rng(0)
X = np.sort(RNG.uniform(0, 4, 24))
Y = np.sin(2 * X) + 0.1 * RNG.standard_normal(24)


@pytest.mark.parametrize("hyperparameters", [{"kind": "plug_in"}, {"kind": "laplace"}])
def test_each_fold_is_predicted_by_a_fit_to_the_others(hyperparameters):
    specs = {"model": {"kernel": {"kind": "rbf"}}, "train": {"kind": "lbfgs", "restarts": 0}}
    folds = np.arange(24) % 3
    fitted = gp.fit(X, Y, **specs)
    found = run_in_line(partial(predict_folds, fitted, folds, seed=0, hyperparameters=hyperparameters))
    for fold in range(3):
        rows = folds == fold
        alone = gp.fit(X[~rows], Y[~rows], **specs).predict(X[rows], hyperparameters=hyperparameters)
        assert found.mean[rows] == pytest.approx(alone.y.mean, abs=1e-12)
        assert found.sd[rows] == pytest.approx(alone.y.sd, abs=1e-12)
        assert found.log_density(Y)[rows] == pytest.approx(alone.y.log_density(Y[rows]), abs=1e-12)
    # A row's prediction knows the rows beside it less well than leave-one-out, of which it has its own fold too.
    assert not np.allclose(found.mean, fitted.leave_out(hyperparameters).mean)
