import numpy
from . import constants
from .deep.inner import value
