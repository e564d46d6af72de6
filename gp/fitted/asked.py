"""What notebooks and other libraries ask of a fitted model, and no stage does.

Each module is imported when it is asked: imported here, its edits would train every study again.
"""

from collections.abc import Iterable, Mapping
from html import escape
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..inference.method import Conditioned, Method
from ..model.model import GaussianProcess
from ..spec import Spec
from .columns import inputs_of

if TYPE_CHECKING:
    from gpytorch.likelihoods import Likelihood
    from matplotlib.figure import Figure

    from ..asked.exact_gp import DataUnits
    from ..asked.joint import Joint
    from ..asked.paths import Paths
    from ..asked.slopes import Gradient
    from .fitted import Fitted

Chosen = Spec | Mapping[str, object] | None  # how hyperparameters are treated, as a spec or as a user writes it


class Text:
    """What a notebook shows as its own lines, alarms in bold."""

    def _repr_html_(self) -> str:
        lines = [escape(line) for line in str(self).splitlines()]
        return "<p>" + "<br>".join(f"<b>{line}</b>" if line.startswith("ALARM") else line for line in lines) + "</p>"


class Asked:
    """Joint posteriors, draws, slopes, new rows, and the model in other libraries' terms."""

    if TYPE_CHECKING:

        @property
        def gp(self) -> GaussianProcess: ...

        @property
        def inference(self) -> Method: ...

        def settings(self, label: str, hyperparameters: Chosen) -> tuple[Iterable[Conditioned], np.ndarray]: ...

        def predict(self, x: Any, noise_sd: Any, *, joint: Literal[True], hyperparameters: Chosen) -> "Joint": ...

    def joint(self, x: Any, noise_sd: Any = None, *, hyperparameters: Chosen = None) -> "Joint":
        """Return `predict` with `joint`: the posterior at x (m, d) or (m,) together, its covariance, and draws of it.

        Raises InputError as `predict` does, and where inference has no such posterior (vecchia).
        """
        return self.predict(x, noise_sd, joint=True, hyperparameters=hyperparameters)

    def jointly(self, inputs: np.ndarray, noise: np.ndarray | None, hyperparameters: Chosen) -> "Joint":
        """Return the joint posterior at `inputs` (m, d); `noise` (m,) are internal variances, where they are known."""
        found: Joint = self._at("joint", "joint", inputs, hyperparameters, noise)
        return found

    def gradient(self, x: Any, *, hyperparameters: Chosen = None) -> "Gradient":
        """Return the derivatives of mean, sd_f and sd_y by each input at x (m, d) or (m,); else as `joint`."""
        found: Gradient = self._at("slopes", "gradient", x, hyperparameters)
        return found

    def _at(self, module: str, name: str, x: Any, hyperparameters: Chosen, *others: Any) -> Any:
        inputs = inputs_of(x, self.gp.scope.columns, self.gp.scope.levels)
        function = getattr(import_module(f"..asked.{module}", __package__), name)
        return function(*self.settings(name, hyperparameters), inputs, self.gp.inputs(inputs), *others)

    def sample_paths(self, n: int, seed: int, *, hyperparameters: Chosen = None) -> "Paths":
        """Return n draws of the function that can be called anywhere (gp.asked.paths); the same for the same seed.

        Raises InputError where inference has none (vecchia), or a kernel neither frequencies nor features (white).
        """
        sample_paths = import_module("..asked.paths", __package__).sample_paths
        paths: Paths = sample_paths(self.gp, *self.settings("paths", hyperparameters), n, seed)
        return paths

    def plot(self, *, target: str = "y", hyperparameters: Chosen = None) -> "Figure":
        """Return a figure of the posterior and the training rows, over one input or two, else along each of them."""
        plot = import_module("..asked.notebook", __package__).plot
        figure: Figure = plot(self, target=target, hyperparameters=hyperparameters)
        return figure

    def page(self, path: str | Path, *, title: str = "Gaussian process", target: str = "y") -> None:
        """Write one HTML file that needs nothing else: hyperparameters, certificate, scores and every figure."""
        import_module("..asked.notebook", __package__).page(self, path, title=title, target=target)

    def _repr_html_(self) -> str:
        return str(import_module("..asked.notebook", __package__).table(self))

    def update(self, x: Any, y: Any, noise_sd: Any = None) -> "Fitted":
        """Return the model with new rows, x (m, d) or (m,) and y (m,), hyperparameters kept, in O(n²).

        Its `surprise` says whether they are what was expected, and whether a refit is due.  Exact inference alone; new
        rows are of the function at points, also where those so far are means along steps.
        """
        later: Fitted = import_module("..asked.update", __package__).update(self, x, y, noise_sd)
        return later

    def to_gpytorch(self) -> tuple["DataUnits", "Likelihood"]:
        """Return the model as gpytorch's ExactGP in the data's units, and its likelihood, both in evaluation mode.

        It predicts at the fitted hyperparameters, as `predict(x, hyperparameters={"kind": "plug_in"})`, and BoTorch's
        acquisition functions take it as it is.  Raises InputError where inference is not exact, the noise neither
        gaussian nor known, or y transformed.
        """
        model, likelihood = import_module("..asked.exact_gp", __package__).exact_gp(self.gp, self.inference)
        return model, likelihood
