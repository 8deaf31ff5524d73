from parsl import python_app

@python_app
def f(n):
    import numpy
    return numpy.arange(n)

@python_app
def g(url):
    from requests import get
    return get(url)
