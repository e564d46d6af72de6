"""Where a study's rows come from: one file (or folder) per source; `Data` is the registry of them.

To add one: a `Source` (gp/data/source.py) in a file of its own, and its name in `Data`.
"""

from typing import Annotated

from gp.data.function import Function
from gp.data.oscillators import Oscillators
from gp.data.table import Table
from gp.spec import OneOf

Data = Annotated[Function | Table | Oscillators, OneOf()]
