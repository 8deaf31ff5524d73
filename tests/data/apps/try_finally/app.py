try:
    import cupy
except ImportError:
    pass
finally:
    import tqdm
