"""The laws can fail: parts that are wrong in one way each are caught by the law that says so."""

from typing import Literal

import pytest
import torch
from gpytorch import kernels
from linear_operator import to_dense

from gp.inference.exact import Exact
from gp.matrices import algebra
from gp.model.kernels import Kernel, leaf
from gp.model.kernels.leaf import log_constraint
from gp.model.kernels.stationary import Rbf, Stationary
from gp.model.means import Constant, PolynomialFeatures
from gp.model.noise.gaussian import Gaussian, GaussianNoise
from gp.parameters.vector import Bounds, Units
from gp.spec import parse
from gp.testing import check_kernel, check_mean, check_noise
from gp.testing.kernels import check_start
from gp.testing.models import rows


class Cauchy(Stationary):
    """1 / (1 + d²): somebody's own kernel, which no registry knows."""

    kind: Literal["cauchy"] = "cauchy"

    def base(self, scope, path, active):
        return self.lengthscaled(scope, path, active, CauchyKernel)


class CauchyKernel(kernels.Kernel):
    has_lengthscale = True

    def forward(self, x1, x2, diag=False, **options):
        return 1 / (1 + self.covar_dist(x1 / self.lengthscale, x2 / self.lengthscale, diag, square_dist=True))


def test_somebodys_own_kernel_is_judged_without_being_registered():
    check_kernel(Cauchy())
    check_kernel(Cauchy(ard=True, lengthscale=[2.0, 3.0]))


def wrong(forward):
    """Return the spec of an RBF whose `forward` is changed."""

    class WrongKernel(kernels.RBFKernel):
        def forward(self, x1, x2, diag=False, **options):
            return forward(self, x1, x2, diag, lambda *a, **k: to_dense(kernels.RBFKernel.forward(self, *a, **k)))

    class Wrong(Stationary):
        kind: Literal["wrong"] = "wrong"

        def base(self, scope, path, active):
            return self.lengthscaled(scope, path, active, WrongKernel)

    return Wrong()


class Gradient(torch.autograd.Function):
    """One, with a gradient of its own."""

    @staticmethod
    def forward(ctx, value):
        return value.clone()

    @staticmethod
    def backward(ctx, gradient):
        return 1.01 * gradient


KERNELS = {
    "asymmetric": (lambda k, a, b, diag, rbf: rbf(a, b, diag) + (0 if diag else 1e-3 * a[:, :1]), "symmetric"),
    "not positive": (lambda k, a, b, diag, rbf: rbf(a, b, diag) - 0.5, "positive semi-definite"),
    "another diagonal": (lambda k, a, b, diag, rbf: rbf(a, b, diag) * (1.001 if diag else 1), "diagonal"),
    "not finite": (lambda k, a, b, diag, rbf: rbf(a, b, diag) / (rbf(a, b, diag) > 1e-2), "finite"),
    "another block": (lambda k, a, b, diag, rbf: rbf(a, b, diag) * (1 if diag or len(a) == len(b) else 1.001), "block"),
    "a wrong gradient": (lambda k, a, b, diag, rbf: Gradient.apply(rbf(a, b, diag)), "gradient"),
    "a gradient cut off": (lambda k, a, b, diag, rbf: rbf(a, b, diag).detach(), "gradient"),
}


@pytest.mark.parametrize(("forward", "law"), KERNELS.values(), ids=KERNELS)
def test_a_wrong_kernel_is_caught(forward, law):
    with pytest.raises(AssertionError, match=f"^kernel wrong: .*{law}"):
        check_kernel(wrong(forward))


class InInternalUnits(Rbf):
    """Its lengthscale is written without the unit of x."""

    def base(self, scope, path, active):
        kernel = kernels.RBFKernel(active_dims=active, lengthscale_constraint=log_constraint())
        scope.declare(
            f"{path}.lengthscale", self.lengthscale, kernel.raw_lengthscale, default=1.0, bounds=Bounds(1e-3, 1e3)
        )
        return kernel


class WithoutAmplitude(Rbf):
    """Its outputscale does not say that it scales the covariance."""

    def scaled(self, base, scope, path, share, active):
        kernel = kernels.ScaleKernel(base, outputscale_constraint=log_constraint())
        scope.declare(
            f"{path}.outputscale",
            self.outputscale,
            kernel.raw_outputscale,
            default=scope.y_spread**2,
            bounds=Bounds(1e-8 * scope.y_spread**2, 1e8 * scope.y_spread**2),
            units=Units(scope.y_scale**2),
        )
        return kernel


class AllColumns(Rbf):
    """It reads every column, whatever `columns` says."""

    def base(self, scope, path, active):
        return super().base(scope, path, list(range(scope.x.shape[1])))


SPECS = {
    "no unit of x": (InInternalUnits(), "x times 1024 does not change|read and written back"),
    "no amplitude": (WithoutAmplitude(), "as its `amplitude` says"),
    "all columns": (AllColumns(), r"with columns: \[a\]"),
}


@pytest.mark.parametrize(("spec", "law"), SPECS.values(), ids=SPECS)
def test_a_wrong_spec_is_caught(spec, law):
    with pytest.raises(AssertionError, match=law):
        check_kernel(spec)


@pytest.mark.parametrize(("mode", "law"), [("pull", "gradient by closed form"), ("push", "forwards by closed form")])
def test_a_wrong_closed_form_is_caught(monkeypatch, mode, law):
    class Off:
        def __init__(self, *arguments):
            self.right = rbf(*arguments)

        def __getattr__(self, name):
            return getattr(self.right, name)

        def block(self, rows, columns):
            value, right = self.right.block(rows, columns)
            wrong = {mode: lambda weight, factor, *rest: getattr(right, mode)(weight, 1.01 * factor, *rest)}
            return value, right._replace(**wrong)

    rbf = algebra.CLOSED_FORMS[kernels.RBFKernel]
    monkeypatch.setitem(algebra.CLOSED_FORMS, kernels.RBFKernel, Off)
    with pytest.raises(AssertionError, match=f"{law} is that of differences"):
        check_kernel({"kind": "rbf"})


def test_a_start_that_ignores_the_size_of_factors_is_caught(monkeypatch):
    monkeypatch.setattr(leaf, "_mean_variance", lambda kernel, scope: 1.0)
    spec = {"kind": "product", "factors": {"bump": {"kind": "rbf"}, "slope": {"kind": "linear"}}}
    data = rows(("a", "b"))
    with pytest.raises(AssertionError, match=r"start's mean prior variance, x times .*x=False"):
        check_start("kernel product", parse(Kernel, spec), data)
    check_start("kernel rbf", Rbf(), data)


def test_a_wrong_likelihood_is_caught(monkeypatch):
    evaluate = Exact.evaluate

    def off(self, gp, **options):
        value, gradient = evaluate(self, gp, **options)
        return value + 1e-4 * gp.n, gradient

    monkeypatch.setattr(Exact, "evaluate", off)
    with pytest.raises(AssertionError, match="likelihood of exact inference is that of dense matrices"):
        check_kernel({"kind": "rbf"})


# Means and noise models.


class OtherDesign(PolynomialFeatures):
    """Its design matrix is not what it computes."""

    def columns(self, x):
        return [(self.bias, torch.full((len(x), 1), 1.5)), *super().columns(x)[1:]]


class Centred(PolynomialFeatures):
    """It looks at other rows."""

    def forward(self, x):
        return super().forward(x) + x[:, 0] - x[:, 0].mean()


def mean_of(module):
    class Wrong(Constant):
        def build(self, scope, path):
            made = super().build(scope, path)
            made.__class__ = module
            return made

    return Wrong()


@pytest.mark.parametrize(("module", "law"), [(OtherDesign, "design matrix"), (Centred, "each row's mean is its own")])
def test_a_wrong_mean_is_caught(module, law):
    with pytest.raises(AssertionError, match=law):
        check_mean(mean_of(module))


class StandardDeviation(GaussianNoise):
    """It returns a standard deviation where a variance is asked for."""

    def forward(self, x):
        return super().forward(x).sqrt()


class OtherRows(GaussianNoise):
    """The training rows have another noise than new observations: not by itself wrong, but it is not by row."""

    def of_rows(self, x, noise_sd):
        return self(x) * torch.linspace(1, 2, len(x)), None


class Excess(GaussianNoise):
    """It has an excess."""

    def of_rows(self, x, noise_sd):
        return self(x), torch.tensor(1.0)


class Negative(GaussianNoise):
    """A variance that may be negative."""

    def forward(self, x):
        return super().forward(x) - 1e3


def noise_of(module):
    class Wrong(Gaussian):
        def build(self, scope, path):
            made = super().build(scope, path)
            made.__class__ = module
            return made

    return Wrong()


NOISES = {
    StandardDeviation: "as its `amplitude` says multiplies variances",
    OtherRows: "the same of some rows as of all",
    Excess: "has no excess",
    Negative: "positive and finite",
}


@pytest.mark.parametrize(("module", "law"), NOISES.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_a_wrong_noise_model_is_caught(module, law):
    with pytest.raises(AssertionError, match=law):
        check_noise(noise_of(module))
