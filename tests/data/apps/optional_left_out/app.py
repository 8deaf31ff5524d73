import pandas
try:
    import tqdm
except ImportError:
    tqdm = None
