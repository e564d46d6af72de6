"""Fit a study's hyperparameters: model.safetensors, trace.csv and fit.json."""

import sys
from pathlib import Path

from gp.dataset import Dataset, varied
from gp.fitted.fit import check_noise_sd, fit_dataset
from gp.fitted.gap import gap_to_exact, with_gap
from gp.inference import Inference
from gp.model.model import Model
from gp.spec import Seed, Spec
from gp.training import Train
from stages import folder, run, write_json
from stages.checkpoints import checkpoints

SHOWN = 10  # kernels of a search that are printed


class Params(Spec):
    """What this stage reads of a study."""

    seed: Seed
    model: Model
    inference: Inference
    train: Train


def main(study: str, params: Params, out: Path) -> None:
    """Fit, and write the model, its trace and the report of the fit."""
    data = varied(Dataset.load(folder(study, "synthesize") / "train.csv"))
    check_noise_sd(data, params.model)
    with checkpoints("train", study) as kept:
        fitted = fit_dataset(
            data,
            model=params.model,
            inference=params.inference,
            train=params.train,
            seed=params.seed,
            checkpoints=kept,
        )
        fitted.save(out / "model.safetensors")
        fitted.trace.to_csv(out / "trace.csv", index=False, lineterminator="\n")
        gap = fitted.gap or gap_to_exact(fitted, params.seed)
        write_json(out / "fit.json", with_gap(fitted.report(), gap))
    if params.model.search and fitted.ranking is not None:
        score = params.model.search.score
        best = fitted.ranking[score].head(SHOWN)
        ranked = (f"{name} ({value:.3f})" for name, value in best.items())
        rest = f", and {more} more" if (more := len(fitted.ranking) - len(best)) else ""
        print(f"{study}: kernels by {score}, best first: {', '.join(ranked)}{rest}")
    print(f"{study}: log marginal likelihood {fitted.log_marginal_likelihood:.3f} nats", fitted.certificate, sep="\n")
    if (rows := fitted.inference.effective_rows(fitted.gp)) < data.n:
        print(f"noise of rows that follow each other is correlated: {data.n} rows count as {rows:.0f}")
    for alarm in gap.alarms if gap else ():
        print(f"ALARM: {alarm}")


if __name__ == "__main__":
    sys.exit(run("train", Params, main))
