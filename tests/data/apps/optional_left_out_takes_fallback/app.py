try:
    import numba as xp
except ImportError:
    import numpy as xp
