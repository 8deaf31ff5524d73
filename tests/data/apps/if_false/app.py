if False:
    import pandas
if 0:
    import numpy
while False:
    import scipy
