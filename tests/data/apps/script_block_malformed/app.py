# /// script
# dependencies = [
# ///
import numpy
