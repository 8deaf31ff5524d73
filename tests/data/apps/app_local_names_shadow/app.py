import numpy as np
import pandas as pd
from parsl import python_app

@python_app
def f(np):
    pd = 3
    return np + pd + sum(pd for pd in range(3))

@python_app
def g(x):
    total = [np for x in range(2)]
    return total
