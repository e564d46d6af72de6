"""Data sources of studies: one file or folder for each; `Data` is the registry.

To add one, write a `Source` (gp/data/source.py) in a file of its own, and add its name to `Data`.
"""

from typing import Annotated

from gp.data.function import Function
from gp.data.oscillators import Oscillators
from gp.data.table import Table
from gp.spec import OneOf

Data = Annotated[Function | Table | Oscillators, OneOf()]
