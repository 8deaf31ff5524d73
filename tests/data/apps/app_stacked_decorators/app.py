import functools
import numpy as np
import tqdm
from parsl import python_app

def with_progress(function):
    @functools.wraps(function)
    def wrapper(*args):
        return function(*tqdm.tqdm(args))
    return wrapper

@python_app
@with_progress
def f(x):
    return np.sum(x)
