import importlib
backend = "numpy"
importlib.import_module(f"{backend}.linalg")
