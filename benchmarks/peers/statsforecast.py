"""statsforecast: `python -m benchmarks.peers.statsforecast SERIES.json` prints forecasts by each method.

The file has a list of {y, horizon, season}; the answer, on the last line, is method → for each series {mean, sd,
seconds}, with the sd that its 95 % interval has as a normal one's.
"""

import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from statsforecast.models import AutoARIMA, AutoETS, AutoTheta

METHODS = {"AutoETS": AutoETS, "AutoARIMA": AutoARIMA, "AutoTheta": AutoTheta}
WIDTH = 2 * 1.959963984540054  # of a normal 95 % interval, in standard deviations


def main(path: str) -> None:
    """Forecast, and print the answer."""
    series, answers = json.loads(Path(path).read_text(encoding="utf-8")), {}
    warnings.simplefilter("ignore")
    for name, method in METHODS.items():
        method(season_length=12).forecast(y=np.sin(np.arange(40.0)) + np.arange(40), h=2, level=[95])  # compiles
        answers[name] = []
        for each in series:
            began = time.process_time()
            model = method(season_length=each["season"])
            made = model.forecast(y=np.array(each["y"], dtype=float), h=each["horizon"], level=[95])
            sd = np.maximum(np.asarray(made["hi-95"]) - np.asarray(made["lo-95"]), 1e-9) / WIDTH
            seconds = time.process_time() - began
            answers[name].append({"mean": list(map(float, made["mean"])), "sd": sd.tolist(), "seconds": seconds})
    print(json.dumps(answers))


if __name__ == "__main__":
    main(sys.argv[1])
