from numpy import (
    array,  # one
    # import pandas
    zeros as z,
)
