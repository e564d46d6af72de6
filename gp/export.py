"""`python -m gp.export MODEL FOLDER`: write a fitted model as arrays and one file of Python that needs NumPy alone.

The folder then holds `predictor.py` (gp.predictor, and the formulas of this model's kernels, mean and noise),
model.json and arrays.npz.  With `--plug-in` it predicts at the fitted hyperparameters alone, which needs one factor of
the rows instead of one for each draw.
"""

import argparse
import inspect
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from . import predictor
from .asked.numbers import SIDES, Formula, formulas, kernel_numbers, mean_numbers, noise_numbers, transform_numbers
from .fitted.asked import Chosen
from .fitted.fitted import Fitted
from .inference.refusals import refuse_steps
from .inference.solved import solve, solve_flat
from .inference.together import Sites, Solves, Waves, together
from .parallel import one_thread
from .spec import Fault, InputError
from .transforms import mixed

MOST_ROWS = 10_000  # of a model that has no dense factor of its own: one of 800 MB


def export(fitted: Fitted, folder: str | Path, *, hyperparameters: Chosen = None) -> None:
    """Write the predictor of a fitted model into `folder`, which is made; `hyperparameters` as in `Fitted.predict`.

    Raises InputError where inference, a kernel, the mean or the noise has no form in NumPy.
    """
    gp, known = fitted.gp, formulas()
    conditioned, weights = fitted.settings("export", hyperparameters)
    settings, used, transforms = [], dict[str, Formula](), []
    units = dict[str, Any](x={"offset": gp.scope.x_offset, "scale": gp.scope.x_scale})
    offsets, scales = [], []
    for each in conditioned:
        offsets.append([each.gp.scope.y_offset])
        scales.append([each.gp.scope.y_scale])
        transforms.append(each.gp.spec.transform)
        known_there = together(each)
        settings.append(_setting(_with_factor(known_there) if isinstance(known_there, Solves) else known_there, used))
    for kind in {kind for setting in settings for part in (setting, setting["noise"]) for kind in _kinds(part)}:
        used[kind] = known[kind]
    units["y"] = {"offset": np.array(offsets), "scale": np.array(scales)}  # (S, 1), as the power may be each one's own
    if transform := mixed(transforms):
        units["transform"] = transform_numbers(transform)
        for formula in (type(transform).formula, type(transform).closed_moments, type(transform).inward):
            if formula is not None:
                used[formula.__name__] = formula
    levels = {name: list(texts) for name, texts in fitted.data.levels.items()}
    model = {
        "columns": list(fitted.columns),
        "levels": levels,
        "weights": np.asarray(weights)[:, None],
        "settings": settings,
        **units,
    }
    stored = dict[str, np.ndarray]()
    written, where = _packed(model, stored), Path(folder)
    where.mkdir(parents=True, exist_ok=True)
    np.savez(where / "arrays.npz", **stored)  # type: ignore[arg-type]
    (where / "model.json").write_text(json.dumps(written) + "\n", encoding="utf-8")
    (where / "predictor.py").write_text(_source(used), encoding="utf-8")


def _setting(known: Sites | Waves, used: dict[str, Formula]) -> dict[str, Any]:
    """Return the model at one setting of its hyperparameters as numbers, and add the formulas that these need."""
    gp = known.gp
    mean, noise = mean_numbers(gp.mean), noise_numbers(gp.spec.noise, gp.noise)
    parts: list[tuple[str, dict[str, Any], Any]] = [("mean", mean, gp.mean), ("noise", noise, gp.noise)]
    found: dict[str, Any] = {}
    for name, numbers, module in parts:
        found[name] = numbers
        used[numbers["formula"]] = module.formula
    if isinstance(known, Waves):
        names = ("frequencies", "phases", "mean", "root")
        return found | {"waves": {name: getattr(known, name) for name in names}}
    refuse_steps(gp, "the exported predictor")
    found["kernel"] = kernel_numbers(gp.spec.kernel, gp.kernel)
    found["sites"] = {"z": known.z.numpy(), "factor": known.lower, "mean": known.mean}
    if known.root is not None:
        found["sites"]["root"] = known.root
    if known.flat:
        names_of: dict[Any, str] = {tensor: name for name, tensor in gp.mean.named_parameters()}
        names_learnt = [names_of[tensor] for tensor in known.flat.tensors]
        found["flat"] = {"names": names_learnt, "root": known.flat.root, "whitened": known.flat.whitened}
    return found


def _with_factor(known: Solves) -> Sites:
    """Return the same posterior by a dense factor over its rows.  Raises InputError where these are too many."""
    if (n := len(known.z)) > MOST_ROWS:
        why = f"a predictor holds the factor of all rows, which for n={n} takes {8 * n**2 / 2**30:.0f} GiB"
        raise InputError(Fault("inference", why, "fit with inference={'kind': 'sgpr'}, which holds a small one"))
    with one_thread(), torch.no_grad():
        return (solve_flat if known.flat else solve)(known.gp).together()


def _kinds(part: dict[str, Any]) -> Iterator[str]:
    """Yield the kinds of the leaves of a part's kernel."""
    left = [part["kernel"]] if "kernel" in part else []
    while left:
        kernel = left.pop()
        sides = [kernel[side] for side in SIDES if side in kernel]
        below = kernel.get("terms") or kernel.get("factors") or sides
        if below:
            left += below
        else:
            yield kernel["kind"]


def _packed(tree: Any, stored: dict[str, np.ndarray]) -> Any:
    """Return a tree for JSON, with {"array": name} in place of each array, which is `stored` once if it repeats."""
    if isinstance(tree, np.ndarray):
        same = (name for name, array in stored.items() if array.shape == tree.shape and (array == tree).all())
        name = next(same, f"a{len(stored)}")
        stored[name] = tree
        return {"array": name}
    if isinstance(tree, dict):
        return {name: _packed(value, stored) for name, value in tree.items()}
    return [_packed(value, stored) for value in tree] if isinstance(tree, list) else tree


def _source(used: dict[str, Formula]) -> str:
    """Return the text of predictor.py: gp.predictor, then the formulas by the name that the numbers give."""
    text = [inspect.getsource(predictor).rstrip("\n")]
    text += [inspect.getsource(formula).rstrip("\n") for _, formula in sorted(used.items())]
    names = ", ".join(f'"{name}": {formula.__name__}' for name, formula in sorted(used.items()))
    text += [f"FORMULAS.update({{{names}}})", 'if __name__ == "__main__":\n    main()']
    return "\n\n\n".join(text) + "\n"


def main(arguments: list[str]) -> str:
    """Write the predictor that the command line asks for, and return what was written."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {__package__}.export", description="Write a fitted model for NumPy alone."
    )
    parser.add_argument("model", help="a model file: data/STUDY/train/model.safetensors")
    parser.add_argument("folder", help="where predictor.py, model.json and arrays.npz go")
    parser.add_argument("--plug-in", action="store_true", help="at the fitted hyperparameters alone: a smaller folder")
    asked = parser.parse_args(arguments)
    fitted = Fitted.load(asked.model)
    export(fitted, asked.folder, hyperparameters={"kind": "plug_in"} if asked.plug_in else None)
    size = sum(file.stat().st_size for file in Path(asked.folder).iterdir())
    return f"{asked.folder}: predictor.py, model.json and arrays.npz, {size / 2**20:.1f} MB"


if __name__ == "__main__":
    try:
        print(main(sys.argv[1:]))
    except InputError as error:
        print("\n".join(error.messages), file=sys.stderr)
        sys.exit(2)
