"""Model: mean + kernel + noise over standardised data, and GaussianProcess, which inference works on."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import gpytorch
import numpy as np
import torch
from pydantic import model_validator

from ..dataset import Dataset, TableStatistics
from ..parameters.scope import Scope, spread
from ..parameters.vector import Auxiliary, Parameters
from ..spec import Fault, InputError, Spec
from ..transforms import Transform
from .choice import KernelSearch, Search
from .kernels import Categorical, Kernel, Matern, Product, Sum
from .means import Constant, Mean
from .nodes import NODES, along
from .noise import Gaussian, Noise
from .noise.base import NoiseModel
from .repeats import Repeats, find_repeats

# Without this, Python floats would be rounded to float32 when gpytorch makes tensors of them.  It is set for the whole
# process when this module is imported, not when a model is built: a worker that receives a built model only imports it.
torch.set_default_dtype(torch.float64)


class Standardize(Spec):
    """Whether inputs and targets are shifted to mean 0 and scaled to population sd 1 inside the model."""

    x: bool = True
    y: bool = True


class Model(Spec):
    """The prior and the noise model; with a `search`, the best of several is used.

    With a `transform`, they are of that function of y, whose units those of mean, kernel and noise then are.
    """

    standardize: Standardize = Standardize()
    transform: Transform | None = None
    mean: Mean = Constant()
    kernel: Kernel = Matern(ard=True)
    search: Search | None = None
    noise: Noise = Gaussian()

    @model_validator(mode="after")
    def _has_one_of_each(self) -> "Model":
        for key, candidates in self.search.varied.items() if self.search else ():
            if candidates and key in self.model_fields_set:
                of_list = isinstance(self.search, KernelSearch)
                fix = f"drop one, or name the {key} among search.{key}s" if of_list else "drop one"
                raise InputError(Fault("", f"has a {key} and a search over {key}s", fix))
        return self

    def over(self, data: Dataset) -> "Model":
        """Return the model with a default kernel that reads the categorical inputs of `data`, if it has any."""
        if not data.levels or "kernel" in self.model_fields_set:
            return self
        kernel: Any = Categorical()
        if len(data.levels) < data.d:
            kernel = Product(factors={"numbers": Matern(ard=True), "levels": kernel})
        return self.model_copy(update={"kernel": kernel})

    def build(self, data: Dataset) -> "GaussianProcess":
        """Return the model over `data` (x and y), with hyperparameters at their starts.

        Raises InputError where its kernel cannot read the inputs, or reads no categorical one.
        """
        return self.over(data)._build(data)

    def _build(self, data: Dataset) -> "GaussianProcess":
        x_offset, x_scale = location_and_scale(data.x, self.standardize.x)
        y = self.transformed(data)
        y_offset, y_scale = location_and_scale(y[:, None], self.standardize.y)
        if data.table:
            x_offset, x_scale = data.table.x if self.standardize.x else (x_offset, x_scale)
            y_offset, y_scale = data.table.y if self.standardize.y else (y_offset, y_scale)
        numbered = [data.columns.index(name) for name in data.levels]  # of levels: the same whatever the rows
        x_offset, x_scale = x_offset.copy(), x_scale.copy()
        x_offset[numbered], x_scale[numbered] = 0.0, 1.0
        scope = Scope(
            x=(data.x - x_offset) / x_scale,
            y=(y - y_offset[0]) / y_scale[0],
            columns=data.columns,
            x_scale=x_scale,
            x_offset=x_offset,
            y_scale=float(y_scale[0]),
            y_offset=float(y_offset[0]),
            noise_sd=None if data.noise_sd is None else data.noise_sd / y_scale[0],
            levels=data.levels,
            log_slopes=None if self.transform is None else self.transform.log_slope(data.observed),
            run=data.run,
            step=None if data.step is None else data.step / x_scale,
        )
        kernel = self.kernel.build(scope, "kernel")
        scope.refuse_unread()
        terms = dict(zip(self.kernel.terms, kernel.kernels, strict=True)) if isinstance(self.kernel, Sum) else {}
        noise = self.noise.build(scope, "noise")
        mean = self.mean.build(scope, "mean")
        parameters = Parameters(scope.parameters)
        return GaussianProcess(self, scope, mean, kernel, noise, parameters, terms, table=data.table)

    def transformed(self, data: Dataset) -> np.ndarray:
        """Return what is modelled of y, (n,).  Raises InputError where the transform is not defined."""
        if self.transform is None:
            return data.observed
        if data.noise_sd is not None:
            self.refuse_noise_sd()
        if data.table and data.table.n > data.n:
            fix = "write a column of the transformed y into the table"
            raise InputError(Fault("transform", "is not applied to rows that are streamed from a file", fix))
        self.transform.check(data.observed, "y", "transform")
        return np.asarray(self.transform.forward(data.observed))

    def refuse_noise_sd(self) -> None:
        """Raise InputError if y is transformed: a known noise sd is that of y itself."""
        if self.transform is not None:
            why = "noise_sd is the standard deviation of y, not of its transform"
            raise InputError(Fault("transform", why, "leave it out, or give y and its sd transformed, as columns"))


@dataclass(eq=False)
class GaussianProcess:
    """A model over its training data, in internal units; `parameters` holds its hyperparameters' current values.

    `auxiliary` are tensors that an inference method learns in addition.  `workspace` holds what the method keeps
    between evaluations.  If the training rows are a sample of a larger table, `table` has the statistics of that table.
    `repeats` holds the rows of the data if each training row is the mean of those with its inputs (`distinct`).
    """

    spec: Model
    scope: Scope
    mean: torch.nn.Module
    kernel: gpytorch.kernels.Kernel
    noise: NoiseModel
    parameters: Parameters
    terms: dict[str, gpytorch.kernels.Kernel] = field(default_factory=dict)
    auxiliary: dict[str, torch.nn.Parameter] = field(default_factory=dict)
    workspace: dict[str, Any] = field(default_factory=dict)
    table: TableStatistics | None = None
    repeats: Repeats | None = None
    nodes: int = NODES  # of each row whose target is a mean along a step

    @property
    def n(self) -> int:
        """Return the number of training rows."""
        return len(self.scope.y)

    @property
    def total(self) -> int:
        """Return the number of rows of the data: more than n if the n rows are a sample of them, or their means."""
        if self.table:
            return self.table.n
        return self.repeats.n if self.repeats else self.n

    @property
    def observed(self) -> np.ndarray:
        """Return the targets of the rows of the data, of which the training rows may be the means."""
        return self.repeats.y if self.repeats else self.scope.y

    @cached_property
    def distinct(self) -> "GaussianProcess":
        """Return the model with one row for each distinct input; it shares the hyperparameters.

        Returns this model itself where merging rows is not exact or saves little.
        """
        scope, sd = self.scope, self._noise_sd
        weights = None if self.noise.by_row or self.repeats else self.noise.weights(self.n, sd)
        read = sorted({scope.columns.index(column) for _, column in scope.reads})
        inputs = np.hstack([part[:, read] for part in (scope.x, scope.step) if part is not None])
        found = None if weights is None else find_repeats(inputs, scope.y, weights)
        if found is None:
            return self
        first, repeats = found
        slopes = None if scope.log_slopes is None else np.bincount(repeats.group, weights=scope.log_slopes)
        groups = replace(scope.at(first), y=repeats.mean, sd_of_rows=scope.y_spread, run=None, log_slopes=slopes)
        return replace(self, scope=groups, workspace={}, repeats=repeats)

    @cached_property
    def x(self) -> torch.Tensor:
        """Return the training inputs (n, d)."""
        return torch.from_numpy(np.ascontiguousarray(self.scope.x))

    @cached_property
    def sites(self) -> torch.Tensor:
        """Return x, or, where targets are means along steps, the nodes (n, q, d) of these (gp.model.nodes)."""
        return self.x if self.scope.step is None else along(self.x, self.scope.step, self.nodes)

    @cached_property
    def y(self) -> torch.Tensor:
        """Return the training targets (n,)."""
        return torch.from_numpy(np.ascontiguousarray(self.scope.y))

    @cached_property
    def design(self) -> dict[torch.Tensor, np.ndarray]:
        """Return the columns (n, size) of the mean's design matrix for each of its parameters."""
        return {tensor: columns.numpy() for tensor, columns in self.mean.columns(self.sites)}  # type: ignore[operator]

    def prior_mean(self) -> np.ndarray:
        """Return the mean at the training rows before any is seen, (n,), at the current hyperparameters."""
        if self._intercept is None:
            with torch.no_grad():
                return self.mean(self.sites).numpy()
        learnt = ((tensor, columns) for tensor, columns in self.design.items() if columns.shape[1])
        parts = (columns @ tensor.detach().numpy().reshape(-1) for tensor, columns in learnt)
        return sum(parts, start=self._intercept)

    @cached_property
    def _intercept(self) -> np.ndarray | None:
        """Return the mean with all its parameters at zero, (n,); None where it is not linear in all of them."""
        tensors = list(self.mean.parameters())
        if not all(tensor in self.design for tensor in tensors):
            return None
        held = [tensor.detach().clone() for tensor in tensors]
        with torch.no_grad():
            for tensor in tensors:
                tensor.zero_()
            intercept = self.mean(self.sites).numpy().copy()
            for tensor, values in zip(tensors, held, strict=True):
                tensor.copy_(values)
        return intercept

    def subset(self, rows: np.ndarray) -> "GaussianProcess":
        """Return the model over some of the rows; it shares the hyperparameters and has no auxiliary ones."""
        chosen = self.scope.at(rows)
        alone = self.parameters.without_auxiliary
        repeats = self.repeats.subset(rows) if self.repeats else None
        return replace(self, scope=chosen, parameters=alone, auxiliary={}, workspace={}, table=None, repeats=repeats)

    def without(self, row: int) -> "GaussianProcess":
        """Return the model over the other rows, noise having parameters of its own for each; it shares the others."""
        rest, noise = self.subset(np.delete(np.arange(self.n), row)), self.noise.without(row)
        shared = {id(parameter.tensor) for parameter in self.parameters.all}
        own = [tensor for tensor in noise.parameters() if id(tensor) not in shared]
        parameters = rest.parameters.joined([Auxiliary.of("noise.rows", tensor) for tensor in own])
        return replace(rest, noise=noise, parameters=parameters)

    def without_term(self, name: str) -> "GaussianProcess":
        """Return the model without a term of its sum of kernels, which has others; it shares the hyperparameters."""
        terms = {other: kernel for other, kernel in self.terms.items() if other != name}
        kept = [p for p in self.parameters.all if not p.name.startswith(f"kernel.{name}.")]
        kernel = gpytorch.kernels.AdditiveKernel(*terms.values())
        return replace(self, kernel=kernel, terms=terms, parameters=Parameters(kept), workspace={})

    def with_auxiliary(self, tensors: dict[str, torch.nn.Parameter]) -> "GaussianProcess":
        """Return the model with auxiliary `tensors` by name; it shares the hyperparameters."""
        extra = [Auxiliary.of(f"inference.{name}", tensor) for name, tensor in tensors.items()]
        return replace(self, parameters=self.parameters.joined(extra), auxiliary=tensors, workspace={})

    def training_noise(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the noise variance (n,) of the training rows, and the excess if the likelihood is a bound."""
        variance, excess = self.noise.of_rows(self.x, self._noise_sd)
        return (variance if self.repeats is None else variance * torch.from_numpy(self.repeats.share)), excess

    @property
    def _noise_sd(self) -> torch.Tensor | None:
        sd = self.scope.noise_sd
        return None if sd is None else torch.from_numpy(np.ascontiguousarray(sd))

    @property
    def log_jacobian(self) -> float:
        """Return what added to a log density of internal targets gives that of y in its own units.

        That is −n log y_scale, and where y was transformed to z, the sum of log dz/dy over its rows.
        """
        slopes = self.scope.log_slopes
        return -self.total * float(np.log(self.scope.y_scale)) + (0.0 if slopes is None else float(slopes.sum()))

    @property
    def log_jacobian_of_a_row(self) -> float:
        """Return the mean of `log_jacobian` over rows."""
        slopes = self.scope.log_slopes
        return -float(np.log(self.scope.y_scale)) + (0.0 if slopes is None else float(slopes.sum()) / self.total)

    def noise_variance(self, x: torch.Tensor) -> np.ndarray:
        """Return the noise variance at internal inputs x (m, d), shape (m,)."""
        with torch.no_grad():
            return self.noise(x).numpy()

    def inputs(self, x: np.ndarray) -> torch.Tensor:
        """Return inputs in internal units, given in the data's units."""
        return torch.from_numpy(np.ascontiguousarray((x - self.scope.x_offset) / self.scope.x_scale))


def location_and_scale(values: np.ndarray, standardize: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return each column's mean and population sd, or 0 and 1; a constant column keeps the scale 1."""
    d = values.shape[1]
    if not standardize:
        return np.zeros(d), np.ones(d)
    return values.mean(axis=0), spread(values)
