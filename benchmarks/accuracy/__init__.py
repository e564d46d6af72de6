"""How good fits are, on data that others have published figures for: `python -m benchmarks.accuracy NAME`.

To add one: a module here with `run(options) -> dict` (what its JSON file holds: `rows`, and the `machine`) and
`tables(result) -> str`, and its name in STUDIES.  Where rows have a `group`, and each its machine, `--only` runs whole
groups anew.
"""

from types import ModuleType

from benchmarks.accuracy import (
    bayesian,
    calibration,
    coverage,
    large,
    motorcycle,
    network,
    optimum,
    oscillators,
    series,
    structure,
    uci,
)

STUDIES: dict[str, ModuleType] = {
    "calibration": calibration,
    "bayesian": bayesian,
    "coverage": coverage,
    "motorcycle": motorcycle,
    "network": network,
    "optimum": optimum,
    "oscillators": oscillators,
    "large": large,
    "uci": uci,
    "series": series,
    "structure": structure,
}
