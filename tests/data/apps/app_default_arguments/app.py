import numpy as np
import pandas as pd
from parsl import python_app

@python_app
def f(x, scale=np.pi):
    return x * scale

@python_app
def g(x, *, key=lambda: pd.NA):
    return x
