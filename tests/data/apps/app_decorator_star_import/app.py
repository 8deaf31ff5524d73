from parsl import *

@python_app
def f():
    import numpy
