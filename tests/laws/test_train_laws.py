"""Every registered optimizer keeps the laws of gp.testing, and a wrong one is caught."""

import dataclasses

import numpy as np
import pytest

from gp.testing import check_train, examples
from gp.training import Lbfgs, Train

EXAMPLES = examples(Train)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_optimizer_keeps_the_laws(name):
    check_train(EXAMPLES[name], converges=not name.startswith("adam"))  # a hundred steps stop short


class Wrong(Lbfgs):
    """An optimizer of which `change` makes another end."""

    def run(self, problem, seed):
        search = super().run(problem, seed)
        return dataclasses.replace(search, **self.change(search, problem))


class Short(Wrong):
    """It stops on the way."""

    def change(self, search, problem):
        return {"vector": 0.7 * search.vector + 0.3 * problem.parameters.start}


class Beyond(Wrong):
    """It leaves the bounds."""

    def change(self, search, problem):
        return {"vector": search.vector + 100}


class Restless(Wrong):
    """It ends a little elsewhere each time."""

    def change(self, search, problem):
        return {"vector": search.vector + 1e-6 * np.random.default_rng().normal(size=len(search.vector))}


class Boasting(Wrong):
    """It reports a value that it never had."""

    def change(self, search, problem):
        return {"values": (*search.values, 1e3)}


class Still(Wrong):
    """It ends where it began."""

    def change(self, search, problem):
        return {"vector": problem.parameters.start}


WRONG = {
    Short: "it converges|reports",
    Beyond: "within the bounds",
    Restless: "the same seed ends at the same bits",
    Boasting: "the highest value that it reports",
    Still: "ends higher than it began",
}


@pytest.mark.parametrize(("optimizer", "law"), WRONG.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_a_wrong_optimizer_is_caught(optimizer, law):
    with pytest.raises(AssertionError, match=law):
        check_train(optimizer(restarts=0))
