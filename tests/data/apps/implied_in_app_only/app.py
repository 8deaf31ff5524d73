import pandas as pd
from parsl import python_app

@python_app
def f(x):
    return pd.read_parquet(x)

def report(x):
    x.to_excel("report.xlsx")
