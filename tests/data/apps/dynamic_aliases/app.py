from importlib import import_module as im
import importlib as il
im("numpy")
il.import_module("pandas")
il.import_module(name="requests")
