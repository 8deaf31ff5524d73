import numpy.plugin
