from importlib import import_module
@import_module("tqdm").wraps
def f():
    return [import_module("numpy") for _ in range(2)]
