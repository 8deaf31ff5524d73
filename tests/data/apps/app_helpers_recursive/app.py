import numpy as np
from parsl import python_app

def even(n):
    return n == 0 or odd(n - 1)

def odd(n):
    return n != 0 and even(np.subtract(n, 1))

@python_app
def f(n):
    return even(n) or f
