"""How much is measured: sizes, limits of time, and who takes part."""

from dataclasses import dataclass

from benchmarks.machine import cores
from benchmarks.peers import OURS, PEERS, UNIT


@dataclass(frozen=True)
class Plan:
    """Sizes and limits; the limits (wall seconds) keep one slow library from taking all the time there is."""

    peers: tuple[str, ...] = tuple(PEERS)
    # On one core every library's CPU seconds count work alone, not threads that wait for each other.
    evaluation_sizes: tuple[int, ...] = (100, 200, 500, 1000, 2000, 4000, 8000)
    # On all cores each library has its default threads: wall seconds.
    threaded_sizes: tuple[int, ...] = (500, 1000, 2000)
    series_sizes: tuple[int, ...] = (1000, 10_000, 100_000, 1_000_000)  # of one input
    memory_size: int = 4000
    fit_sizes: tuple[int, ...] = (100, 500, 1000, 2000)
    restarts: int = 50  # of the reference optimum
    restart_rows: int = 1000  # at most
    prediction_size: int = 1000
    new_points: int = 100_000
    evaluation_limit: float = 20.0  # one evaluation
    fit_limit: float = 80.0  # one fit
    prediction_limit: float = 20.0
    repeat: float = 6.0  # what may be spent on repeating one library's call of one size
    rounds: int = 5  # at most

    def taking_part(self, task: str) -> list[str]:
        """Return the names of those who take part in a task, the unit first."""
        chosen = [name for name in PEERS if name in (UNIT, OURS) or name in self.peers]
        return [name for name in chosen if task in PEERS[name].tasks]

    @property
    def all_cores(self) -> int:
        """Return how many cores the machine lends."""
        return cores()


QUICK = Plan(
    evaluation_sizes=(100, 200),
    threaded_sizes=(200,),
    series_sizes=(1000, 10_000),
    memory_size=400,
    fit_sizes=(100,),
    restarts=5,
    prediction_size=200,
    new_points=2000,
    evaluation_limit=5.0,
    fit_limit=30.0,
    prediction_limit=10.0,
    repeat=0.5,
    rounds=3,
)
