import numpy
def compute(): return numpy.pi
