"""
import numpy
from pandas import DataFrame
"""
# import requests
x = "import scipy"
