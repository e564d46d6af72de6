"""The Fourier baseline against its formulas written out."""

import math

import numpy as np
import pytest
from scipy.special import gammaln
from scipy.stats import multivariate_t

from gp.dataset import Dataset
from gp.fourier import fit_fourier, fourier_baseline

RNG = np.random.default_rng(0)
X = RNG.uniform(0, 2 * math.pi, (60, 2))
Y = 1 + 0.5 * np.sin(X[:, 0]) + 0.3 * np.cos(2 * X[:, 1]) + 0.1 * RNG.normal(size=60)


def design(x, order):
    columns = [np.ones(len(x))]
    for part in x.T:
        for m in range(1, order + 1):
            columns += [np.cos(m * part), np.sin(m * part)]
    return np.column_stack(columns)


def prior_of(order):
    """Return S₀: 1/λ₀ of the constant, m/λ₀ of order m."""
    return np.diag([1.0, *[m for _ in range(2) for m in range(1, order + 1) for _ in range(2)]]) / 10


def test_the_evidence_is_that_of_the_marginal_t():
    """y ~ t of 2α₀ degrees of freedom, location Fμ₀, shape β₀/α₀ (I + F S₀ Fᵀ)."""
    order = 2
    f, shape = design(X, order), 0.1
    centre = f[:, 0] * Y.mean()
    covariance = np.eye(60) + f @ prior_of(order) @ f.T
    expected = multivariate_t(centre, covariance, df=2 * shape).logpdf(Y)
    assert fit_fourier(X, Y, order).log_evidence == pytest.approx(expected, rel=1e-9)
    assert math.isfinite(gammaln(shape))


def test_the_posterior_is_that_of_the_linear_model():
    order, f = 2, design(X, 2)
    inverse = np.linalg.inv(prior_of(order))
    covariance = np.linalg.inv(inverse + f.T @ f)
    weights = covariance @ (f.T @ Y + inverse[:, 0] * Y.mean())
    new = RNG.uniform(0, 6, (5, 2))
    series = fit_fourier(X, Y, order)
    mean, sd = series.predict(new)
    assert mean == pytest.approx(design(new, order) @ weights)
    shape = np.sqrt(np.diag(design(new, order) @ covariance @ design(new, order).T))
    assert sd == pytest.approx(series.noise_sd * shape)


def test_the_order_is_that_of_most_evidence():
    chosen = fit_fourier(X, Y)
    every = [fit_fourier(X, Y, m).log_evidence for m in range(11)]
    assert chosen.order == int(np.argmax(every)) == 2


def test_parts_are_centred_and_add_up():
    series = fit_fourier(X, Y)
    circle = np.arange(50) * 2 * math.pi / 50
    first, second = (series.component(j, circle)[0] for j in range(2))
    assert first.mean() == pytest.approx(0, abs=1e-12)
    whole, _ = series.predict(np.column_stack([circle, circle]))
    assert first + second + whole.mean() - (first + second).mean() == pytest.approx(whole)


def test_rows_are_taken_in_blocks(monkeypatch):
    whole = fit_fourier(X, Y)
    monkeypatch.setattr("gp.fourier.BLOCK", 7)
    parts = fit_fourier(X, Y)
    assert parts.log_evidence == pytest.approx(whole.log_evidence, rel=1e-12)
    assert parts.mean == pytest.approx(whole.mean, rel=1e-9)


def test_other_periods_are_turned_into_angles():
    train = Dataset(x=X * 12 / (2 * math.pi), columns=("a", "b"), y=Y)
    series, posterior = fourier_baseline(train, train.x[:4], {"a": 12.0, "b": 12.0})
    assert posterior.mean == pytest.approx(fit_fourier(X, Y).predict(X[:4])[0])
    assert series.order == 2
    assert posterior.sd_y**2 == pytest.approx(posterior.sd_f**2 + series.noise_sd**2)
