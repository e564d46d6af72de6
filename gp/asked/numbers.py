"""A built kernel and mean as plain numbers, from which gp.predictor computes without torch."""

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
import torch
from gpytorch import kernels

from ..model.kernels import Kernel, Product, Sum
from ..model.kernels.changepoint import Changepoint
from ..model.noise.base import NoiseModel
from ..spec import Fault, InputError, Spec, kind_of, kinds
from ..transforms.base import Base

SIDES = ("before", "after")
Formula = Callable[..., Any]


def kernel_numbers(spec: Any, kernel: kernels.Kernel, path: str = "kernel") -> dict[str, Any]:
    """Return what `spec` built, in internal units: its kind, columns, amplitude and values, or its terms or factors.

    Raises InputError where a kernel has no formula in NumPy.
    """
    if isinstance(spec, Sum):
        terms = zip(spec.terms.items(), kernel.kernels, strict=True)
        return {"kind": "sum", "terms": [kernel_numbers(term, part, f"{path}.{name}") for (name, term), part in terms]}
    if isinstance(spec, Changepoint):
        sides = {
            name: kernel_numbers(getattr(spec, name), getattr(kernel, name), f"{path}.{name}")
            for name in SIDES
            if getattr(spec, name) is not None
        }
        switch = {"column": kernel.j, "location": kernel.raw_location.item(), "width": kernel.raw_width.exp().item()}
        return {"kind": "changepoint", **switch, **sides}
    amplitude, base = 1.0, kernel
    if isinstance(kernel, kernels.ScaleKernel):
        amplitude, base = kernel.outputscale.item(), kernel.base_kernel
    if isinstance(spec, Product):
        factors = [
            kernel_numbers(factor, part, f"{path}.{name}")
            for (name, factor), part in zip(spec.factors.items(), base.kernels, strict=True)
        ]
        return {"kind": "product", "amplitude": amplitude, "factors": factors}
    if getattr(spec, "formula", None) is None:
        raise InputError(
            Fault(
                path,
                f"a kernel of kind {spec.kind} has no formula in NumPy",
                f"give {type(spec).__name__} a `formula` (gp.model.kernels.leaf)",
            )
        )
    return {
        "kind": spec.kind,
        "columns": None if base.active_dims is None else base.active_dims.tolist(),
        "amplitude": amplitude,
        "values": _values(spec.formula, ("x1", "x2"), spec, base),
    }


def formulas(*others: type[Spec]) -> dict[str, Formula]:
    """Return the formula of each kind of kernel that has one, and of `others` that are not registered."""
    return _registered("formula", others)


def spectra() -> dict[str, Formula]:
    """Return what draws frequencies of each kind of kernel that has a spectral density."""
    return _registered("frequencies")


def finite() -> dict[str, Formula]:
    """Return the features of each kind of kernel that is a finite sum of products."""
    return _registered("features")


def mean_numbers(mean: torch.nn.Module) -> dict[str, Any]:
    """Return the name of the mean's formula, and its arguments besides x: the parameters by name."""
    formula = _formula_of(mean, "mean")
    return {"formula": formula.__name__, "values": _values(formula, ("x",), None, mean)}


def noise_numbers(spec: Any, noise: NoiseModel) -> dict[str, Any]:
    """Return the name of the noise's formula, its arguments besides x, and its kernel if it has one."""
    found = {"formula": _formula_of(noise, "noise").__name__, "values": noise.numbers()}
    kernel = getattr(noise, "kernel", None)
    return found if kernel is None else found | {"kernel": kernel_numbers(spec.kernel, kernel, "noise.kernel")}


def transform_numbers(transform: Base) -> dict[str, Any]:
    """Return the name of the formula of the inverse, its arguments besides z, and the lowest z and the kink if any."""
    found = {"of": _formula_of(transform, "transform").__name__, "values": transform.numbers()}
    if transform.closed_moments is not None:
        found["closed"] = transform.closed_moments.__name__
    if transform.is_mixed and type(transform).inward is not None:
        found["to"] = type(transform).inward.__name__  # type: ignore[union-attr]
    places = {"lowest": transform.lowest, "kink": transform.kink}
    return found | {"places": {name: at for name, at in places.items() if np.isfinite(at).any()}}


def _formula_of(module: Any, path: str) -> Formula:
    formula: Formula | None = getattr(module, "formula", None)
    if formula is None:
        raise InputError(Fault(path, f"{type(module).__name__} has no formula in NumPy", "give it a `formula`"))
    return formula


@cache
def _registered(name: str, others: tuple[type[Spec], ...] = ()) -> dict[str, Formula]:
    every = kinds(Kernel) | {kind_of(cls): cls for cls in others}
    found = {kind: getattr(cls, name, None) for kind, cls in every.items()}
    return {kind: formula for kind, formula in found.items() if formula is not None}


def _values(formula: Formula, given: tuple[str, ...], spec: Spec | None, module: torch.nn.Module) -> Mapping[str, Any]:
    """Return the formula's arguments besides those `given`.

    Each is the exponential of the module's parameter raw_<name>, its parameter or what else it holds by that name, or a
    field of the spec.
    """
    tensors, found = dict(module.named_parameters(recurse=False)), dict[str, Any]()
    for name in inspect.signature(formula).parameters:
        if name in given:
            continue
        if f"raw_{name}" in tensors:
            found[name] = tensors[f"raw_{name}"].detach().exp()
        elif name in tensors:
            found[name] = tensors[name].detach()
        else:
            found[name] = getattr(module, name) if hasattr(module, name) else getattr(spec, name)
        if isinstance(found[name], torch.Tensor):
            found[name] = found[name].tolist()
    return found
