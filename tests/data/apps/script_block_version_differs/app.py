# /// script
# dependencies = ["numpy<2"]
# ///
import numpy
