import runpy
runpy.run_module("tqdm")
