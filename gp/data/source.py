"""Source: what every data source is."""

from gp.dataset import Dataset
from gp.spec import Spec


class Source(Spec):
    """Where a study's rows come from."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the inputs' names."""
        raise NotImplementedError

    @property
    def target(self) -> str:
        """Return the target's name."""
        raise NotImplementedError

    @property
    def periods(self) -> dict[str, float]:
        """Return the period of each input that is an angle."""
        return {}

    def sample(self, seed: int) -> tuple[Dataset, Dataset | None]:
        """Return the training rows, and rows to test on: held-out observations, or where the true function is known."""
        raise NotImplementedError
