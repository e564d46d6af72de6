"""Inference methods, one file for each; `Inference` is the registry.

To add one, write a `Method` (gp/inference/method.py) in a file of its own, and add its name to `Inference`.
"""

from typing import Annotated

from gp.inference.auto import Auto
from gp.inference.exact import Exact
from gp.inference.harmonic import Harmonic
from gp.inference.inducing.sgpr import Sgpr
from gp.inference.inducing.svgp import Svgp
from gp.inference.markov.markov import Markov
from gp.inference.nearest.vecchia import Vecchia
from gp.spec import OneOf

Inference = Annotated[Exact | Harmonic | Markov | Vecchia | Sgpr | Svgp | Auto, OneOf(default="exact")]
