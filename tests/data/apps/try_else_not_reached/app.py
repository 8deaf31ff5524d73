try:
    import cupy
except ImportError:
    pass
else:
    import scipy
