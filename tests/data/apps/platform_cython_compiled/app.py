try:
    import cython
except ModuleNotFoundError:
    from helper import cython

if cython.compiled:
    from cython.cimports.cpython import PyList_New
else:
    import numpy
