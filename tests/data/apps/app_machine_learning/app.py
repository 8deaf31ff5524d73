import pandas as pd
import parsl
from parsl import python_app
from parsl.config import Config
from parsl.executors.high_throughput import HighThroughputExecutor
from sklearn.ensemble import RandomForestRegressor

config = Config(executors=[HighThroughputExecutor(label="htex")])
parsl.load(config)

def read(path):
    return pd.read_csv(path)

@python_app
def train(path, trees):
    table = read(path)
    return RandomForestRegressor(trees).fit(table, table["y"])

@python_app
def plot(values):
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    plt.plot(values)
