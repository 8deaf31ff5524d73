import pandas as pd
from parsl import python_app

@python_app
def f(x: "pd.DataFrame") -> "pd.Series":
    y: pd.Series = x[0]
    return y
