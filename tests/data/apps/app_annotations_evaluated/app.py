import pandas as pd
from parsl import python_app

@python_app
def f(x: pd.DataFrame):
    return x
