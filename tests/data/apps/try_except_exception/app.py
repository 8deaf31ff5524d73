try:
    import cupy
except Exception:
    cupy = None
