import numpy as np
from functools import partial
from parsl import python_app

@partial(python_app, executors=["wq"])
def work(x):
    return np.sum(x)

@python_app(cache=True)
def other(x):
    return x
