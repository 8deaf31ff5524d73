try:
    import cupy
except:
    cupy = None
