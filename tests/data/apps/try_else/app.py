try:
    import numpy
except ImportError:
    pass
else:
    import scipy
