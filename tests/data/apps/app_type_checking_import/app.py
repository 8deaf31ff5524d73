from __future__ import annotations
from typing import TYPE_CHECKING
from parsl import python_app
if TYPE_CHECKING:
    import pandas as pd

@python_app
def f(x: pd.DataFrame):
    return x.sum()
