import functools

import numpy as np
import yaml
from parsl import python_app


@functools.singledispatch
def show(value):
    return str(value)


@show.register
def _(value: dict):
    return yaml.dump(value)


@show.register(list)
def show_list(value):
    return np.array(value)


@functools.singledispatch
def other(value):
    return value


@other.register(int)
def _(value):
    import pandas

    return pandas.Series(value)


@functools.cache
def cached(value):
    return functools.reduce(max, value)


@python_app
def render(value):
    return show(value)


@python_app
def largest(value):
    return cached(value)
