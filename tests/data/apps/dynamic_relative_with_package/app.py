import importlib
importlib.import_module(".stats", package="scipy")
importlib.import_module(".optimize", "scipy")
