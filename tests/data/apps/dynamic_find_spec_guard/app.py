from importlib.util import find_spec
if find_spec("cupy"):
    import cupy
