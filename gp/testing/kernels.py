"""`check_kernel`: the laws of every kernel."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from gpytorch.kernels import Kernel as GpytorchKernel
from linear_operator import to_dense

from ..asked.numbers import formulas, kernel_numbers
from ..dataset import Dataset
from ..inference.inducing.sgpr import Sgpr
from ..inference.profile import profile_of
from ..matrices.algebra import closed_form
from ..matrices.tiles import autograd
from ..model.kernels import Kernel, Product, Rbf, Sum
from ..model.model import GaussianProcess, Standardize
from ..predictor import active, arrays, covariance
from ..spec import InputError
from ..training import Problem
from . import models
from .dense import check_likelihood
from .laws import differences, require, require_equal, require_slope
from .models import SETTINGS, matrix, model_of
from .specs import as_spec, with_values, without_values

EXACT = 1e-10  # relative to the largest element, for the same arithmetic in another order
DRAWN = 20_000  # frequencies of a stationary kernel
LARGE = 3.0  # amplitudes are multiplied by this factor


def check_kernel(kernel: Any, *, columns: tuple[str, ...] = ("a", "b")) -> None:
    """Check a kernel (a spec, or what params.yaml would say) over inputs of these names.

    The laws: its matrix is symmetric and positive semi-definite, and equals its blocks; the closed form equals
    gpytorch's evaluation; the likelihood's gradient with respect to hyperparameters and inputs equals finite
    differences; where it has a formula in NumPy, frequencies or features, these are the same kernel;
    hyperparameters have units; amplitudes scale the matrix; it reads only its own columns; all this holds
    as a term of a sum and as a factor of a product; a saved kernel is the same when loaded.  Raises AssertionError with
    the law that failed.
    """
    spec = as_spec(Kernel, kernel)
    of_levels = getattr(spec, "reads", "numbers") == "levels"
    data, name = models.rows(columns), f"kernel {spec.kind}"
    if of_levels:
        data = models.rows_of_levels(columns, spec.columns or columns)
    for standardize in SETTINGS:
        _check_one(name, spec, data, standardize)
        gp = model_of("kernel", spec, standardize).build(data)
        if not of_levels:  # a level has no neighbours
            _check_input_gradient(name, gp)
        _check_numbers(name, spec, gp)
    if of_levels:
        _check_levels(name, spec, data)
    models.check_units(name, "kernel", spec, data)
    check_start(name, spec, data)
    models.check_written_back(name, "kernel", spec, data)
    models.check_saved(name, "kernel", Kernel, spec, data)
    _check_columns(name, spec, data)
    _check_sum(name, spec, data)
    _check_product(name, spec, data)


def _check_one(name: str, spec: Any, data: Dataset, standardize: Standardize) -> None:
    gp = model_of("kernel", spec, standardize).build(data)
    for vector in models.moves(gp):
        gp.parameters.set(vector)
        # Without the repeated row: gpytorch's distance between the two equal rows is 1e-8, and not 0.
        _check_matrix(name, gp.kernel, gp.x[:-1])
        _check_closed_form(name, gp.kernel, gp.x[:-1])
        _check_repeated_row(name, gp.kernel, gp.x)
        _check_derivatives(name, gp)
        _check_amplitude(name, gp, vector)
        check_likelihood(name, gp, vector)
    models.check_gradient(name, gp)
    models.check_profile(name, gp)


def _check_matrix(name: str, kernel: GpytorchKernel, x: torch.Tensor) -> None:
    K = matrix(kernel, x, x)
    size = float(np.abs(K).max())
    require(bool(np.isfinite(K).all()), f"{name}: the matrix has elements that are not finite")
    require_equal(f"{name}: the matrix is symmetric", K, K.T, atol=EXACT * size)
    lowest = float(np.linalg.eigvalsh(0.5 * (K + K.T)).min())
    require(
        lowest >= -EXACT * size * len(K),
        f"{name}: the matrix is positive semi-definite: its lowest eigenvalue is {lowest:g}",
    )
    with torch.no_grad():
        diagonal = to_dense(kernel(x, diag=True)).numpy()
    require_equal(f"{name}: `diag=True` gives the matrix's diagonal", diagonal, np.diagonal(K), atol=EXACT * size)
    half = len(x) // 3
    block = matrix(kernel, x[:half].clone(), x[half:].clone())
    require_equal(f"{name}: a block is that part of the whole matrix", block, K[:half, half:], atol=EXACT * size)


def _check_closed_form(name: str, kernel: GpytorchKernel, x: torch.Tensor) -> None:
    K, half = matrix(kernel, x, x), len(x) // 3
    with torch.no_grad():
        blocks, other = closed_form(kernel, x, x), closed_form(kernel, x[:half], x)
        law, size = f"{name}: blocks are gpytorch's own matrix", float(np.abs(K).max())
        everything = slice(0, len(x))
        require_equal(law, blocks.block(everything, everything)[0], K, atol=EXACT * size)
        require_equal(law, other.block(slice(0, half), everything)[0], K[:half], atol=EXACT * size)
        law = f"{name}: the blocks' diagonal is the matrix's"
        require_equal(law, blocks.diagonal(), np.diagonal(K), atol=EXACT * size)


def _check_repeated_row(name: str, kernel: GpytorchKernel, x: torch.Tensor) -> None:
    """Check that the kernel treats the first and the last row, which are equal, as equal."""
    with torch.no_grad():
        K, _ = closed_form(kernel, x, x).block(slice(0, len(x)), slice(0, len(x)))
    law = f"{name}: two equal rows have equal covariances"
    require_equal(law, [K[-1, 0], *K[-1]], [K[0, 0], *K[0]], atol=EXACT * float(np.abs(K).max()))


def _check_derivatives(name: str, gp: GaussianProcess) -> None:
    """Check ∂(Σ W ∘ K)/∂θ (pullback) and (∂K/∂θ) v (pushforward), by the closed form and by autograd."""
    # Distinct rows: some distances have a kink at zero, where autograd rounds differently.
    x, vector, rng = gp.x[:-1], gp.parameters.vector, np.random.default_rng(0)
    weights, direction = np.tril(rng.normal(size=(len(x), len(x))), -1), rng.normal(size=len(x))

    def at(raw: np.ndarray) -> np.ndarray:
        gp.parameters.set(raw)
        K = matrix(gp.kernel, x, x)
        return np.concatenate([[(weights * K).sum()], K @ direction])

    expected = np.array([differences(at, vector, step) for step in np.eye(len(vector))]).reshape(len(vector), -1)
    gp.parameters.set(vector)
    size = max(float(np.abs(expected).max(initial=0.0)), 1e-3 * float(np.abs(matrix(gp.kernel, x, x)).max()))
    for way, make in (("closed form", closed_form), ("autograd", autograd)):
        blocks, everything = make(gp.kernel, x, x), slice(0, len(x))
        _, derivative = blocks.block(everything, everything)
        derivative.pull(weights.copy(), 1.0)
        for tensor, gradient in blocks.gradients():
            if tensor.requires_grad:
                tensor.backward(torch.from_numpy(np.asarray(gradient)).reshape(tensor.shape), retain_graph=True)
        law = f"{name}: the matrix's gradient by {way} is that of differences"
        require_equal(law, gp.parameters.gradient(), expected[:, 0], atol=1e-6 * size)
        derivative.push(np.ones_like(weights), 1.0, direction)
        products = {id(raw): product for raw, product in blocks.products()}
        pushed = [
            products.get(id(parameter.tensor), np.zeros((len(x), parameter.size))) * parameter.units.reference
            for parameter in gp.parameters.free
        ]
        law = f"{name}: the matrix's derivative forwards by {way} is that of differences"
        require_equal(law, np.hstack(pushed).T, expected[:, 1:], atol=1e-5 * size)


def _check_amplitude(name: str, gp: GaussianProcess, vector: np.ndarray) -> None:
    """Check that the declared amplitudes scale the whole covariance, since training profiles this scale out."""
    before = matrix(gp.kernel, gp.x, gp.x)
    gp.parameters.set(vector + np.log(LARGE) * profile_of(gp).amplitude)
    after = matrix(gp.kernel, gp.x, gp.x)
    gp.parameters.set(vector)
    law = f"{name}: moving every hyperparameter as its `amplitude` says multiplies the matrix by {LARGE:g}"
    require_equal(law, after, LARGE * before, atol=1e-9 * LARGE * float(np.abs(before).max()))


def _check_input_gradient(name: str, gp: GaussianProcess) -> None:
    """Check the gradient with respect to inputs, as methods with inducing inputs use it."""
    method = Sgpr(inducing=4)
    objective = Problem(method.prepare(gp, 0), method)
    rng = np.random.default_rng(3)
    at = objective.parameters.vector
    inputs = slice(len(gp.parameters.vector), len(at))
    at[inputs] += 0.1 * rng.normal(size=len(at[inputs]))  # away from rows: some kernels have a kink there
    directions = np.zeros((4, len(at)))
    directions[:, inputs] = 0.3 * rng.normal(size=(4, len(at[inputs])))
    law = f"{name}: the gradient by inducing inputs is that of differences"
    require_slope(law, objective, at, directions, rtol=1e-5)


def _check_levels(name: str, spec: Any, data: Dataset) -> None:
    """Check the covariances of levels that no row has."""
    gp = model_of("kernel", spec, SETTINGS[0]).build(data)
    is_level = [column in data.levels for column in data.columns]
    new = torch.cat([gp.x, gp.x.clone()])
    new[gp.n :, is_level] += 3  # other levels than those of the rows
    gp.parameters.set(models.moved(gp))
    _check_matrix(f"{name} with levels that no row has", gp.kernel, new)
    K = matrix(gp.kernel, new, new)
    law = f"{name}: a level that no row has is itself, and correlates less with each other one"
    require(bool((K[gp.n :, : gp.n] < K.diagonal()[: gp.n]).all()), law)


def _check_numbers(name: str, spec: Any, gp: GaussianProcess) -> None:
    """Check what a kernel says of itself in NumPy: its formula, draws of its spectral density, its features."""
    if getattr(spec, "formula", None) is None:
        return
    written, x, K = kernel_numbers(spec, gp.kernel), gp.x[:-1].numpy(), matrix(gp.kernel, gp.x[:-1], gp.x[:-1])
    size, values, columns = float(np.abs(K).max()), arrays(written["values"]), active(written, x)
    law = f"{name}: its formula in NumPy is gpytorch's matrix"
    require_equal(law, covariance(written, formulas(type(spec)), x[:, None], x), K, atol=EXACT * size)
    law = f"{name}: its formula has the rows that inputs broadcast to"
    require_equal(law, covariance(written, formulas(type(spec)), x, x), np.diagonal(K), atol=EXACT * size)
    if spec.features is not None:
        found = np.sqrt(written["amplitude"]) * spec.features(columns, **values)
        require_equal(f"{name}: the products of its features are the matrix", found @ found.T, K, atol=EXACT * size)
    if spec.frequencies is not None:
        drawn = spec.frequencies(np.random.default_rng(0), DRAWN, columns.shape[1], **values)
        phase = columns[:8] @ drawn.T
        waves = np.cos(phase) @ np.cos(phase).T + np.sin(phase) @ np.sin(phase).T
        law = f"{name}: the mean cosine at {DRAWN} of its frequencies is the kernel, but for chance"
        require_equal(law, waves / DRAWN, K[:8, :8] / K[0, 0], atol=5 / math.sqrt(2 * DRAWN))


def _check_columns(name: str, spec: Any, data: Dataset) -> None:
    if "columns" not in type(spec).model_fields:
        return
    for column in data.levels or data.columns:
        only = without_values(spec).model_copy(update={"columns": [column]})
        j = data.columns.index(column)
        levels = {column: data.levels[column]} if data.levels else {}
        narrow = replace(data, x=data.x[:, [j]], columns=(column,), levels=levels)
        wide, alone = (model_of("kernel", only, SETTINGS[0]).build(d) for d in (replace(data, levels=levels), narrow))
        seen, expected = (matrix(gp.kernel, gp.x, gp.x) for gp in (wide, alone))
        law = f"{name}: with columns: [{column}] it is the kernel of that input alone"
        require_equal(law, seen, expected, atol=EXACT * float(np.abs(expected).max()))


def _check_sum(name: str, spec: Any, data: Dataset) -> None:
    terms = {"own": without_values(spec), "other": Rbf(columns=["number"] if data.levels else None)}
    both = Sum.model_construct(kind="sum", terms=terms)
    _check_one(f"{name} as a term", both, data, SETTINGS[0])
    gp = model_of("kernel", both, SETTINGS[0]).build(data)
    parts = []
    for term, alone in terms.items():
        prefix = f"kernel.{term}."
        values = {k.removeprefix(prefix): v for k, v in gp.parameters.in_data_units().items() if k.startswith(prefix)}
        seen = data if term == "own" else replace(data, levels={})
        one = model_of("kernel", with_values(alone, values), SETTINGS[0]).build(seen)
        parts.append(matrix(one.kernel, one.x[:-1], one.x[:-1]))
    law = f"{name}: a sum's matrix is the sum of its terms'"
    size = float(np.abs(parts[0]).max() + np.abs(parts[1]).max())
    require_equal(law, matrix(gp.kernel, gp.x[:-1], gp.x[:-1]), parts[0] + parts[1], atol=EXACT * size)


def _check_product(name: str, spec: Any, data: Dataset) -> None:
    product = Product.model_construct(
        kind="product", outputscale=None, factors={"own": without_values(spec), "other": Rbf()}
    )
    try:
        model_of("kernel", product, SETTINGS[0]).build(data)
    except InputError:
        return  # a kernel may refuse to be a factor of a product
    _check_one(f"{name} as a factor", product, data, SETTINGS[0])
    models.check_units(f"{name} as a factor", "kernel", product, data)
    check_start(f"{name} as a factor", product, data)


def check_start(name: str, spec: Any, data: Dataset) -> None:
    """Check that the prior variance that training starts from is of the size of y's, whatever the unit of x."""
    largest, smallest = 3 * float((data.observed**2).mean()), float(data.observed.var()) / 300
    for standardize in SETTINGS:
        for factor in (1.0, 1000.0):
            gp = model_of("kernel", without_values(spec), standardize).build(models.scaled(data, x=factor))
            variance = float(np.diagonal(matrix(gp.kernel, gp.x, gp.x)).mean()) * gp.scope.y_scale**2
            law = f"{name}: the start's mean prior variance, x times {factor:g} ({standardize!r}), is as y's"
            within = smallest < variance < largest
            require(within, f"{law}: {variance:g}, and should be between {smallest:g} and {largest:g}")
