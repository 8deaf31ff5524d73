import numpy, pandas
from parsl import python_app

@python_app
def f(): return numpy

@python_app
def f(): return pandas
