import matplotlib.pyplot as plt
import pandas as pd
from parsl import python_app
from scipy import stats

def smooth(x):
    return tidy(stats.zscore(x))

def tidy(x):
    return pd.Series(x)

def plot(x):
    plt.plot(x)

@python_app
def f(x):
    return smooth(x)
