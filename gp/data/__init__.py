"""Where a study's rows come from: one file per source; `Data` is the registry of them.

A source is a spec with `columns` (input names), `target` (the target's name) and
`sample(seed) -> (train, test or None)`.
"""

from gp.data.function import Function
from gp.data.table import Table
from gp.spec import one_of

Data = one_of(Function, Table)
