from helpers import half
from plots import draw
from parsl import python_app

@python_app
def f(x):
    return half(x)

draw()
