import numpy as np
import pandas as pd
from parsl import python_app

TABLE: pd.DataFrame = pd.DataFrame()
SIZE: int
COUNT = 0
COUNT += np.size(3)

@python_app
def f():
    return TABLE, SIZE, COUNT
