import numpy as np
import pandas as case
import scipy as error
import tqdm as found
from parsl import python_app

@python_app
def f(x):
    match x:
        case {"a": case, **rest}:
            pass
        case [*error]:
            pass
    try:
        y = np.sum(x)
    except ValueError as error:
        print(error, case, rest)
    if (found := y) > 1:
        return found
    global later
    later = [found for found in x]
