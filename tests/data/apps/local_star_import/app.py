from helpers import *
from parsl import python_app

@python_app
def f():
    return compute()
