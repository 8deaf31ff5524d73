import importlib.util
has_tqdm = importlib.util.find_spec("tqdm") is not None
has_cupy = importlib.util.find_spec("cupy") is not None
