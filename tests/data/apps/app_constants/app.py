import numpy as np
import pandas as pd
import requests
from parsl import python_app

WEIGHTS = np.ones(3)
LIMIT = 10
SETTINGS = {}
SETTINGS["table"] = pd.DataFrame()
SESSION = requests.Session()

@python_app
def f(x):
    return x * WEIGHTS + LIMIT

@python_app
def g(x):
    return SETTINGS[x]
