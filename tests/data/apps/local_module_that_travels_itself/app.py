import numpy
from parsl import python_app

@python_app
def f():
    return numpy.pi
