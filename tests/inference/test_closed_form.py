"""Closed forms: gpytorch's own kernels and their autograd once more, and more exact where rows nearly meet."""

import math

import numpy as np
import pytest
import torch
from gpytorch import kernels

from gp.matrices.algebra import CLOSED_FORMS, closed_form
from gp.matrices.tiles import TILE, Kept, autograd, lower_tiles
from gp.model.kernels.categorical import Differing
from gp.model.kernels.leaf import Scale
from gp.parallel import one_thread

SAME = 1e-12  # the same formula in another order
GRADIENT = 1e-8  # relative to its largest element; autograd's own sums lose digits
DIFFERENCE = 1e-5  # relative to the largest element, of central differences

N, D = 300, 3  # more than one tile
ALL = [0, 1, 2]


def _with(kernel, seed=0):
    """Return the kernel with hyperparameters of its own, near one."""
    generator = torch.Generator().manual_seed(seed)
    for raw in kernel.parameters():
        raw.data = 0.5 + 0.5 * torch.rand(raw.shape, generator=generator, dtype=torch.float64)
    return kernel


def _ard(make, **options):
    return lambda: make(ard_num_dims=D, **options)


def _one_column(make, **options):
    return lambda: make(active_dims=[1], **options)


def _two_columns(make, **options):
    return lambda: make(active_dims=[2, 0], ard_num_dims=2, **options)


class _Unknown(kernels.RBFKernel):
    """A kernel that has no closed form: it is looked up by its very type."""


LEAVES = {
    "rbf": (kernels.RBFKernel, {}),
    "matern 1/2": (kernels.MaternKernel, {"nu": 0.5}),
    "matern 3/2": (kernels.MaternKernel, {"nu": 1.5}),
    "matern 5/2": (kernels.MaternKernel, {"nu": 2.5}),
    "rational quadratic": (kernels.RQKernel, {}),
    "periodic": (kernels.PeriodicKernel, {}),
}
SHAPES = {
    "": lambda make, **options: lambda: make(**options),
    "ard": _ard,
    "column": _one_column,
    "columns": _two_columns,
}
KERNELS = {
    **{
        f"{name} {shape}".strip(): of(make, **options)
        for name, (make, options) in LEAVES.items()
        for shape, of in SHAPES.items()
    },
    "constant": lambda: kernels.ScaleKernel(kernels.ConstantKernel()),
    "levels": lambda: kernels.ScaleKernel(Differing(2, active_dims=[0, 2])),
    "scaled without a batch": lambda: Scale(kernels.RBFKernel(active_dims=[0, 2])),
    "scaled": lambda: kernels.ScaleKernel(kernels.RBFKernel(active_dims=[0, 2])),
    "sum": lambda: kernels.AdditiveKernel(
        kernels.ScaleKernel(kernels.RBFKernel(ard_num_dims=D)),
        kernels.ScaleKernel(kernels.PeriodicKernel(active_dims=[0])),
        kernels.ConstantKernel(),
    ),
    "product": lambda: kernels.ProductKernel(
        kernels.RBFKernel(active_dims=[1]), kernels.PeriodicKernel(active_dims=[0]), kernels.MaternKernel()
    ),
    "scaled product in a sum, beside a sum in a product": lambda: kernels.AdditiveKernel(
        kernels.ScaleKernel(kernels.ProductKernel(kernels.RBFKernel(), kernels.PeriodicKernel())),
        kernels.ProductKernel(
            kernels.AdditiveKernel(kernels.RBFKernel(), kernels.ScaleKernel(kernels.RQKernel())), kernels.MaternKernel()
        ),
    ),
    "unknown": lambda: kernels.ScaleKernel(_Unknown(ard_num_dims=2, active_dims=[2, 1])),
    "unknown in a sum and a product": lambda: kernels.AdditiveKernel(
        kernels.ScaleKernel(kernels.RBFKernel()),
        kernels.ProductKernel(_Unknown(active_dims=[0]), kernels.PeriodicKernel(active_dims=[1])),
    ),
}


@pytest.fixture(autouse=True)
def _as_in_an_evaluation():
    with one_thread():
        yield


@pytest.fixture
def x():
    return torch.from_numpy(np.random.default_rng(0).normal(size=(N, D)))


def _dense(blocks, n1=N, n2=N):
    matrix = np.empty((n1, n2))
    for rows in range(0, n1, TILE[0]):
        for columns in range(0, n2, TILE[1]):
            tile = slice(rows, min(rows + TILE[0], n1)), slice(columns, min(columns + TILE[1], n2))
            matrix[tile], _ = blocks.block(*tile)
    return matrix


def _lower(blocks, n=N):
    matrix = np.zeros((n, n))
    for tile in lower_tiles(n):
        matrix[tile], _ = blocks.block(*tile)
    return np.tril(matrix)


def _gradient(make_blocks, kernel, x):
    """Return Σ_ik w_ik ∂k(x_i, x_k)/∂θ by the raw parameters, for some weights of the lower triangle."""
    kernel.zero_grad()
    blocks = make_blocks(kernel, x, x)
    weights = np.tril(np.random.default_rng(1).normal(size=(len(x), len(x))))
    for tile in lower_tiles(len(x)):
        _, derivative = blocks.block(*tile)
        derivative.pull(0.5 * weights[tile], 2.0)
    for tensor, gradient in blocks.gradients():
        tensor.backward(torch.from_numpy(gradient))
    return np.concatenate([raw.grad.numpy().reshape(-1) for raw in kernel.parameters()])


def _pairwise(kernel, x):
    """Return the exact gradient of `_gradient`'s sum for a Matérn 1/2: gpytorch's distances are off near zero."""
    kernel.zero_grad()
    weights = np.tril(np.random.default_rng(1).normal(size=(len(x), len(x))))
    i, k = np.nonzero(np.tril(np.ones((len(x), len(x))), -1))
    columns = x if kernel.active_dims is None else x[:, kernel.active_dims]
    r = ((columns[i] - columns[k]) / kernel.lengthscale).norm(dim=1)
    (torch.exp(-r) * torch.from_numpy(weights[i, k])).sum().backward()
    return np.concatenate([raw.grad.numpy().reshape(-1) for raw in kernel.parameters()])


def test_every_closed_form_is_tried_here():
    tried = {type(part) for make in KERNELS.values() for part in make().modules()}
    assert set(CLOSED_FORMS) <= tried


@pytest.mark.parametrize("name", KERNELS)
def test_a_closed_form_is_gpytorchs_matrix(name, x):
    kernel = _with(KERNELS[name]())
    other = x[: N // 2] + 0.1
    with torch.no_grad():
        np.testing.assert_allclose(_lower(closed_form(kernel, x, x)), np.tril(kernel(x).to_dense()), rtol=0, atol=SAME)
        np.testing.assert_allclose(
            _dense(closed_form(kernel, other, x), N // 2), kernel(other, x).to_dense(), rtol=0, atol=SAME
        )
        np.testing.assert_allclose(closed_form(kernel, x, x).diagonal(), kernel(x, diag=True), rtol=SAME)


@pytest.mark.parametrize("name", KERNELS)
def test_a_closed_forms_gradient_is_autograds(name, x):
    kernel = _with(KERNELS[name]())
    expected = _pairwise(kernel, x) if name.startswith("matern 1/2") else _gradient(autograd, kernel, x)
    np.testing.assert_allclose(_gradient(closed_form, kernel, x), expected, rtol=0, atol=GRADIENT * abs(expected).max())


def _products(blocks, v, n=N):
    """Return (∂K/∂θ_i) v for each raw hyperparameter θ_i, (n,) each."""
    for tile in lower_tiles(n):
        value, derivative = blocks.block(*tile)
        derivative.push(np.full_like(value, 0.5), 2.0, v)
    return dict(blocks.products())


@pytest.mark.parametrize("nearby", [False, True], ids=["apart", "nearly equal rows"])
@pytest.mark.parametrize("name", KERNELS)
def test_a_matrix_derivatives_product_is_that_of_differences(name, nearby, x):
    if nearby:
        x[200:] = x[:100] + 1e-3 * x[200:]
    kernel, v = _with(KERNELS[name]()), np.random.default_rng(1).normal(size=N)
    found = _products(closed_form(kernel, x, x), v)
    assert set(found) == set(kernel.parameters())
    for raw, product in found.items():
        for j in range(raw.numel()):
            sides = []
            for shift in (1e-5, -1e-5):
                raw.data.view(-1)[j] += shift
                lower = _lower(closed_form(kernel, x, x))
                sides.append((lower + np.tril(lower, -1).T) @ v)
                raw.data.view(-1)[j] -= shift
            expected = (sides[0] - sides[1]) / 2e-5
            np.testing.assert_allclose(product[:, j], expected, rtol=0, atol=DIFFERENCE * abs(expected).max())


@pytest.mark.parametrize("name", ["sum", "unknown in a sum and a product"])
def test_blocks_that_are_kept_are_the_same(name, x):
    kernel = _with(KERNELS[name]())

    def kept(*arguments):
        blocks = Kept(closed_form(*arguments))
        _lower(blocks)
        return blocks

    assert np.array_equal(_lower(kept(kernel, x, x)), _lower(closed_form(kernel, x, x)))
    assert np.array_equal(_gradient(kept, kernel, x), _gradient(closed_form, kernel, x))


@pytest.mark.parametrize("name", LEAVES)
@pytest.mark.parametrize("d", [1, 2, 3, 8])
def test_equal_rows_are_perfectly_correlated(name, d):
    x = np.random.default_rng(0).normal(size=(N, d)) * 100
    x[-1] = x[0]
    make, options = LEAVES[name]
    x = torch.from_numpy(x)
    matrix = _lower(closed_form(_with(make(**options)), x, x))
    assert (np.diagonal(matrix) == 1).all()
    assert matrix[-1, 0] == 1


@pytest.mark.parametrize(
    ("name", "nu"), [("matern 1/2", 0.5), ("matern 3/2", 1.5), ("matern 5/2", 2.5), ("rbf", math.inf)]
)
@pytest.mark.parametrize("d", [1, 2, 3, 8])
def test_nearly_equal_rows_keep_their_distance(name, nu, d):
    x = np.random.default_rng(0).normal(size=(N, d))
    x[200:] = x[:100] + 1e-9 * np.random.default_rng(1).normal(size=(100, d))
    make, options = LEAVES[name]
    kernel, inputs = _with(make(**options)), torch.from_numpy(x)
    seen = _lower(closed_form(kernel, inputs, inputs))[200:, :100].diagonal()
    r = np.linalg.norm(x[200:] - x[:100], axis=1) / kernel.lengthscale.item()
    expected = np.exp(-r) if nu == 0.5 else np.ones(100)
    np.testing.assert_allclose(seen, expected, rtol=0, atol=1e-15)


def test_nearly_equal_rows_do_not_spoil_the_gradient_at_a_cusp():
    x = np.random.default_rng(0).normal(size=(N, D))
    x[200:] = x[:100] + 1e-12 * np.random.default_rng(1).normal(size=(100, D))
    kernel, x = _with(kernels.MaternKernel(nu=0.5, ard_num_dims=D)), torch.from_numpy(x)
    expected = _pairwise(kernel, x)
    np.testing.assert_allclose(_gradient(closed_form, kernel, x), expected, rtol=0, atol=GRADIENT * abs(expected).max())


def test_an_outlier_does_not_spoil_the_others_distances():
    x = np.random.default_rng(0).normal(size=(N, D))
    x[7] = 1e6  # all the others are close to each other, seen from there
    kernel, x = _with(kernels.MaternKernel(nu=0.5, ard_num_dims=D)), torch.from_numpy(x)
    r = torch.cdist(x / kernel.lengthscale, x / kernel.lengthscale, compute_mode="donot_use_mm_for_euclid_dist")
    np.testing.assert_allclose(_lower(closed_form(kernel, x, x)), np.tril(torch.exp(-r).detach()), rtol=0, atol=SAME)
    expected = _pairwise(kernel, x)
    np.testing.assert_allclose(_gradient(closed_form, kernel, x), expected, rtol=0, atol=GRADIENT * abs(expected).max())


@pytest.mark.parametrize("name", LEAVES)
@pytest.mark.parametrize("d", [1, 3])
def test_inputs_far_from_zero_lose_nothing(name, d):
    x = torch.from_numpy(np.random.default_rng(0).integers(-1024, 1024, size=(N, d)) / 256)  # exact also when shifted
    make, options = LEAVES[name]
    kernel = _with(make(**options))
    near, far = (_lower(closed_form(kernel, at, at)) for at in (x, x + 2.0**30))
    np.testing.assert_allclose(far, near, rtol=0, atol=SAME)


def test_rows_without_any_likeness_are_uncorrelated():
    x = torch.tensor([[0.0, 0.0, 0.0], [1e9, 1.0, 2.0]], dtype=torch.float64)
    assert np.array_equal(_lower(closed_form(_with(kernels.RBFKernel()), x, x), n=2), np.eye(2))
