def get_array_module():
    try:
        import cupy as xp
    except ImportError:
        import numpy as xp
    return xp
