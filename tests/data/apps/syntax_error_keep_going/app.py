import numpy
from scipy import (
    stats,
)
def f(:
    import requests
