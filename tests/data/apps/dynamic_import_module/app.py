import importlib
np = importlib.import_module("numpy")
stats = importlib.import_module("scipy.stats")
