import numpy
import mypkg
