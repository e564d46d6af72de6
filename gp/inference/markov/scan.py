"""What runs of rows do to a state, as elements of an associative product, and the products up to each of many.

Särkkä & García-Fernández 2021, "Temporal parallelization of Bayesian smoothers", lemmas 7–8.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Element(NamedTuple):
    """What rows do to the state x (m,) before them: x' | x ~ N(Ax + b, C), and exp(ηᵀx − ½xᵀJx) is their likelihood.

    A, C and J are (k, m, m), b and η (k, m, q), for k lanes.
    """

    a: np.ndarray
    b: np.ndarray
    c: np.ndarray
    eta: np.ndarray
    j: np.ndarray

    def part(self, lanes: slice) -> "Element":
        """Return those of some lanes."""
        return Element(*(each[lanes] for each in self))


def then(first: Element, second: Element) -> Element:
    """Return what `first` and then `second` do  (Särkkä & García-Fernández 2021, lemma 8)."""
    a1, b1, c1, eta1, j1 = first
    a2, b2, c2, eta2, j2 = second
    m, q = a1.shape[-1], b1.shape[-1]
    mixed = np.eye(m) + c1 @ j2
    solved = np.linalg.solve(mixed, np.concatenate([a1, b1 + c1 @ eta2, c1], axis=-1))
    a, b, c = solved[..., :m], solved[..., m : m + q], solved[..., m + q :]
    said = np.linalg.solve(mixed.mT, np.concatenate([eta2 - j2 @ b1, j2 @ a1], axis=-1))
    return Element(
        a2 @ a,
        a2 @ b + b2,
        a2 @ c @ a2.mT + c2,
        a1.mT @ said[..., :q] + eta1,
        a1.mT @ said[..., q:] + j1,
    )


def scan(elements: Element, product: Callable[[Element, Element], Element]) -> Element:
    """Return the products of the elements up to each one, in about log₂ k rounds  (Hillis & Steele 1986)."""
    apart = 1
    while apart < len(elements.a):
        joined = product(elements.part(slice(-apart)), elements.part(slice(apart, None)))
        elements = Element(*(np.concatenate(parts) for parts in zip(elements.part(slice(apart)), joined, strict=True)))
        apart *= 2
    return elements
