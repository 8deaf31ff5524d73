import numpy as np
import pandas as pd
import parsl
from parsl import python_app

parsl.load()

@python_app
def total(values):
    return np.sum(values)

@python_app
def table(values):
    return pd.DataFrame(values)
