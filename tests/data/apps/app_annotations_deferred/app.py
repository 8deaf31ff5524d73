from __future__ import annotations
import numpy as np
import pandas as pd
from parsl import python_app

@python_app
def f(x: pd.DataFrame) -> pd.Series:
    y: pd.Series = np.sum(x)
    return y
