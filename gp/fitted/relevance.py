"""Inputs that a fitted model does not depend on."""

import math

from ..parameters.vector import Parameters

IRRELEVANT = 0.01  # of y's sd; an input that can change the function by less is irrelevant


def irrelevant_inputs(
    parameters: Parameters, reads: list[tuple[str, str]], extents: dict[str, float], y_sd: float
) -> dict[str, list[str]]:
    """Return column → names of its ARD lengthscales, for columns that no part of the model depends on noticeably.

    Over the column's extent r, a kernel s ρ(r/ℓ) lets the function move by about √s r/ℓ: nothing, if that is less than
    IRRELEVANT of y's sd.
    """
    values, unseen = parameters.by_name(), dict[str, list[str]]()
    for parameter in parameters.free:
        if parameter.is_distance and parameter.labels is not None:
            steps = parameter.name.split(".")[:-1]
            above = [".".join([*steps[:depth], "outputscale"]) for depth in range(1, len(steps) + 1)]
            amplitude = math.sqrt(math.prod(values.get(name, 1.0) for name in above))
            for name, column in zip(parameter.names, parameter.labels, strict=True):
                if amplitude * extents[column] / values[name] < IRRELEVANT * y_sd:
                    unseen.setdefault(column, []).append(name)
    readers = [column for _, column in reads]
    return {column: names for column, names in unseen.items() if len(names) == readers.count(column)}
