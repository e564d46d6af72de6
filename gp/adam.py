"""Adam's update, shared by the training method `adam` and by training on minibatches."""

import numpy as np

Moments = tuple[np.ndarray, np.ndarray]  # running means of the gradient and of its square, before bias correction


def adam_step(
    place: np.ndarray, gradient: np.ndarray, moments: Moments, step: int, rate: float
) -> tuple[np.ndarray, Moments]:
    """Return the point (p,) after one descent step along −`gradient` (p,), and the new moments.

    `step` counts from 1.  Kingma & Ba 2015, Alg. 1, with β₁ = 0.9, β₂ = 0.999, ε = 1e-8, in the order of operations of
    the paper's section 2.
    """
    first = 0.9 * moments[0] + 0.1 * gradient
    second = 0.999 * moments[1] + 0.001 * gradient**2
    size = rate / (1 - 0.9**step)
    return place - size * first / (np.sqrt(second / (1 - 0.999**step)) + 1e-8), (first, second)
