import importlib
importlib.import_module()
importlib.import_module(3)
importlib.import_module("not a name")
exec("this is no python")
exec("x = 1; from os import path")
importlib.resources.files()
