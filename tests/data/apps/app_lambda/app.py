import numpy as np
from parsl import python_app

double = python_app(lambda x: np.multiply(x, 2))
