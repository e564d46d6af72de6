"""Where a study's rows come from: one file per source; `Data` is the registry of them.

A source is a spec with `columns` (input names), `target` (the target's name) and
`sample(seed) -> (train, test or None)`.
"""

from typing import Annotated, Any

from gp.data.function import Function
from gp.data.table import Table
from gp.spec import OneOf

Data = Annotated[Any, OneOf(Function, Table)]
