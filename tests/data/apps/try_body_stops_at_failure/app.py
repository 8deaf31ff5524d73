try:
    import cupy
    import numba
except ImportError:
    import requests
