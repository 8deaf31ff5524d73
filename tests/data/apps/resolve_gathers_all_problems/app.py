import unknownone
import numpy
from unknowntwo.sub import thing
