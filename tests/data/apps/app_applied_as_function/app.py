import numpy as np
import parsl
import scipy.stats
from parsl import python_app

def f(x):
    return np.sum(x)

def g(x):
    return scipy.stats.norm(x)

remote = python_app(f)
other = parsl.python_app(g, executors=["wq"])
