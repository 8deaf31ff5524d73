import numpy as np
from parsl import python_app

CACHE = None

def prepare():
    global CACHE
    CACHE = np.zeros(3)

@python_app
def f():
    return CACHE
