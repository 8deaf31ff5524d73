import numpy
import numpy as np
from numpy import array
def f():
    import numpy
