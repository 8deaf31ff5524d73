try:
    import cupy
except (AttributeError, ImportError):
    cupy = None
