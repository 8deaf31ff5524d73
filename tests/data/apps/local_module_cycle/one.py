import two
import numpy
