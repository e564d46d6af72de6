"""A scikit-learn estimator over `gp.fit`: for pipelines, cross-validation and searches (needs scikit-learn)."""

from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted, check_random_state, validate_data

from .asked.joint import Joint
from .fitted.fit import fit
from .fitted.fitted import Fitted
from .spec import Fault, InputError

Section = Any  # a spec, a mapping as in params.yaml, or None: gp.fit checks it


class GaussianProcessRegressor(RegressorMixin, BaseEstimator):
    """A Gaussian process, fitted and certified as by `gp.fit`.

    `model`, `inference` and `train` are as in params.yaml, as is `hyperparameters`, which says whether predictions
    integrate over these; each has a default.  `random_state` is the seed of `gp.fit` (None: 0).

    Attributes: `fitted_`, the gp.Fitted with its certificate; `n_features_in_`, and `feature_names_in_` where X had
    names.
    """

    def __init__(
        self,
        *,
        model: Section = None,
        inference: Section = None,
        train: Section = None,
        hyperparameters: Section = None,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.model = model
        self.inference = inference
        self.train = train
        self.hyperparameters = hyperparameters
        self.random_state = random_state

    def fit(self, X: ArrayLike | pd.DataFrame, y: ArrayLike) -> Self:
        """Fit the model to X (n, d) and y (n,).  Raises gp.InputError, a ValueError, for what has faults."""
        for name, values in {"X": X, "y": y}.items():
            _refuse(name, values)
        inputs, targets = validate_data(self, X, y, y_numeric=True, dtype=np.float64, ensure_min_samples=2)
        seed = 0 if self.random_state is None else self.random_state
        if not isinstance(seed, int | np.integer):
            seed = check_random_state(seed).randint(2**31)
        self.fitted_: Fitted = fit(
            self._named(inputs),
            np.asarray(targets, dtype=np.float64),
            model=self.model,
            inference=self.inference,
            train=self.train,
            seed=int(seed),
        )
        return self

    def predict(
        self,
        X: ArrayLike | pd.DataFrame,
        return_std: bool = False,
        return_cov: bool = False,
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Return the mean (m,) at X (m, d); with `return_std` also the sd (m,) of new observations, noise included.

        With `return_cov` it is their covariance (m, m) instead (exact inference alone).
        """
        if return_std and return_cov:
            raise ValueError("return_std and return_cov exclude each other: choose one")
        if return_cov:
            joint = self._joint(X)
            return joint.mean, joint.covariance + np.diag(joint.noise_variance)
        inputs = self._inputs(X)
        posterior = self.fitted_.predict(inputs, hyperparameters=self.hyperparameters)
        return (posterior.mean, posterior.sd_y) if return_std else posterior.mean

    def sample_y(
        self,
        X: ArrayLike | pd.DataFrame,
        n_samples: int = 1,
        random_state: int | np.random.RandomState | None = 0,
    ) -> np.ndarray:
        """Return draws of new observations at X (m, d) together, (m, n_samples)."""
        seed = check_random_state(random_state).randint(2**31)
        return self._joint(X).sample(n_samples, seed, noise=True).T

    def _joint(self, X: ArrayLike | pd.DataFrame) -> Joint:
        inputs = self._inputs(X)
        return self.fitted_.joint(inputs, hyperparameters=self.hyperparameters)

    def _inputs(self, X: ArrayLike | pd.DataFrame) -> pd.DataFrame:
        check_is_fitted(self)
        _refuse("X", X)
        return self._named(validate_data(self, X, reset=False, dtype=np.float64))

    def _named(self, inputs: np.ndarray) -> pd.DataFrame:
        """Return inputs (m, d) with the names that the fit had."""
        names = getattr(self, "feature_names_in_", [f"x{k}" for k in range(inputs.shape[1])])
        return pd.DataFrame(inputs, columns=names)


def _refuse(name: str, values: Any) -> None:
    """Raise InputError for what scikit-learn would read as other numbers than it holds, or say in torch's words."""
    dtypes = values.dtypes.tolist() if isinstance(values, pd.DataFrame) else [getattr(values, "dtype", None)]
    if isinstance(values, np.ma.MaskedArray):
        raise InputError(Fault("", f"{name} is a masked array", "remove masked rows, or fill them"))
    if any(getattr(dtype, "kind", None) in ("m", "M") for dtype in dtypes):
        raise InputError(Fault("", f"{name} holds dates", "give numbers, such as decimal years"))
    if getattr(values, "requires_grad", False):
        raise InputError(Fault("", f"{name} is a tensor that requires grad", "give `.detach()` of it"))
