"""The Fourier baseline against its formulas written out."""

import math

import numpy as np
import pytest
from scipy.stats import multivariate_t

from gp.data.oscillators import Oscillators
from gp.data.oscillators.fourier import fit_fourier

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


def test_rows_are_taken_in_blocks(monkeypatch):
    whole = fit_fourier(X, Y)
    monkeypatch.setattr("gp.data.oscillators.fourier.BLOCK", 7)
    parts = fit_fourier(X, Y)
    assert parts.log_evidence == pytest.approx(whole.log_evidence, rel=1e-12)
    assert parts.mean == pytest.approx(whole.mean, rel=1e-9)


def test_the_baseline_of_oscillators_is_the_series_of_their_rows():
    source = Oscillators(system={"kind": "phase"}, trials=2, cycles=3, test=10)
    train, test = source.sample(0)
    baseline, series = source.baseline(train, test.x), fit_fourier(train.x, train.y, step=train.step)
    mean, sd_f = series.predict(test.x)
    np.testing.assert_array_equal(baseline.posterior.mean, mean)
    assert baseline.posterior.sd_y**2 == pytest.approx(sd_f**2 + series.noise_sd**2)
    assert baseline.facts == {"order": series.order}
