import h5py
import numpy as np
from parsl import python_app

with h5py.File("x") as DATA:
    pass
if (SIZE := np.size(3)) > 1:
    pass

@python_app
def f():
    return DATA, SIZE
