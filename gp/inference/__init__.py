"""Inference methods, one file for each; `Inference` is the registry.

To add one, write a `Method` (gp/inference/method.py) in a file of its own, and add its name to `Inference`.
"""

from typing import Annotated

from ..spec import OneOf
from .auto import Auto
from .exact import Exact
from .harmonic import Harmonic
from .inducing.sgpr import Sgpr
from .inducing.svgp import Svgp
from .markov.markov import Markov
from .nearest.vecchia import Vecchia

Inference = Annotated[Exact | Harmonic | Markov | Vecchia | Sgpr | Svgp | Auto, OneOf(default="exact")]
