"""Every registered figure keeps the laws of gp.testing, and a wrong one is caught."""

import itertools

import numpy as np
import pytest

from gp.plots import PLOTS
from gp.testing import check_figure


@pytest.mark.parametrize("name", PLOTS)
def test_a_figure_keeps_the_laws(name):
    check_figure(PLOTS[name])


def never(study):
    return None


def nameless(study):
    figure = PLOTS["data"](study)
    for axes in figure.axes:
        axes.set_xlabel("")
    return figure


def untitled(study):
    figure = PLOTS["data"](study)
    figure.suptitle("")
    return figure


COUNTER = itertools.count()


def changing(study):
    figure = PLOTS["data"](study)
    figure.axes[0].plot([0, next(COUNTER)])
    return figure


def sorting(study):
    x = study.train.x
    x.setflags(write=True)
    x[:] = np.sort(x, axis=0)
    return PLOTS["data"](study)


def a_path(study):
    return "figure.png"


WRONG = {
    never: "drawn for none",
    nameless: "a horizontal axis has a label",
    untitled: "title",
    changing: "it has other bytes",
    sorting: "leaves the study as it was",
    a_path: "it is a matplotlib Figure",
}


@pytest.mark.parametrize(("plot", "law"), WRONG.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_a_wrong_figure_is_caught(plot, law):
    with pytest.raises(AssertionError, match=f"^figure {plot.__name__}.*{law}"):
        check_figure(plot)
