import platform, sys
if platform.python_implementation() == "PyPy":
    import cffi
if sys.implementation.name == "pypy":
    import greenlet
