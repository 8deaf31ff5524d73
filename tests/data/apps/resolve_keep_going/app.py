import unknownone
import numpy
