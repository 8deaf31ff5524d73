if True:
    import numpy
else:
    import pandas
