import attr
import numpy as np
import torch.nn as nn
from parsl import python_app

class Net(nn.Module):
    def forward(self, x):
        return x

@attr.s
class Point:
    x: np.ndarray = attr.ib()

@python_app
def f(x):
    return Net()(x)

@python_app
def g():
    return Point(1)
