import numpy as np
import pandas as pd
from parsl import python_app

FIRST, (SECOND, *REST) = np.zeros(1), (pd.NA, 2, 3)

@python_app
def f():
    return REST
