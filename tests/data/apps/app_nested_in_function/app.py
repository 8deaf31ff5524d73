import scipy as lib
from parsl import python_app

def main():
    import numpy as lib

    @python_app
    def f(x):
        return lib.zeros(x)

    return f(3)
