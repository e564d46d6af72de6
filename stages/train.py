"""Learn a study's hyperparameters: model.safetensors, trace.csv, loo.csv and fit.json."""

import sys
from pathlib import Path

from gp.dataset import Dataset
from gp.fitting import fit_dataset
from gp.inference import Inference
from gp.models import Model
from gp.optimizers import Train
from gp.spec import Seed, Spec
from stages import folder, run, write_json


class Params(Spec):
    """What this stage reads of a study."""

    seed: Seed
    model: Model
    inference: Inference
    train: Train


def main(study: str, params: Params, out: Path) -> None:
    """Fit, and write the model and what can be said of the fit."""
    data = Dataset.load(folder(study, "synthesize") / "train.csv")
    fitted = fit_dataset(data, model=params.model, inference=params.inference, train=params.train, seed=params.seed)
    fitted.save(out / "model.safetensors")
    fitted.trace.to_csv(out / "trace.csv", index=False, lineterminator="\n")
    fitted.leave_one_out.to_csv(out / "loo.csv", index=False, lineterminator="\n")
    write_json(out / "fit.json", fitted.report())
    print(f"{study}: log marginal likelihood {fitted.log_marginal_likelihood:.3f} nats", fitted.certificate, sep="\n")


if __name__ == "__main__":
    sys.exit(run("train", Params, main))
