"""Data sources of studies: one file or folder for each; `Data` is the registry.

To add one, write a `Source` (gp/data/source.py) in a file of its own, and add its name to `Data`.
"""

from typing import Annotated

from ..spec import OneOf
from .function import Function
from .oscillators import Oscillators
from .recordings import Phases
from .table import Table

Data = Annotated[Function | Table | Oscillators | Phases, OneOf()]
