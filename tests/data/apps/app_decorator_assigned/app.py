import functools
import numpy as np
from parsl import python_app, bash_app

remote = python_app(executors=["wq"])
shell = functools.partial(bash_app, cache=True)

@remote
def f():
    return np.pi

@shell
def g():
    return "true"
