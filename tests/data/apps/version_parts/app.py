import sys
if sys.version_info[0] == 2:
    import pandas
if sys.version_info.major < 3:
    import numpy
if sys.version_info[:2] >= (3, 6):
    import tqdm
if sys.version_info < (3,):
    import scipy
