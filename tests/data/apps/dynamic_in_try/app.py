import importlib
try:
    importlib.import_module("cupy")
except ImportError:
    pass
