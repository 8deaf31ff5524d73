import importlib
from parsl import python_app

def load():
    return importlib.import_module("numpy")

@python_app
def f():
    return load()

choose = lambda name: importlib.import_module(name)
@python_app
def g():
    return choose
