import numpy
import private
