import numpy as np
import pandas as pd
import tqdm
from parsl import python_app

class Model:
    def prepare(self):
        return tqdm.tqdm(range(3))

    @python_app
    def fit(self):
        return np.sum(self.prepare())

    @staticmethod
    @python_app
    def name():
        return "model"

def unrelated():
    return pd.DataFrame()
