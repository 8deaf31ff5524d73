import numpy as np
import tqdm
from parsl import join_app, python_app

@python_app
def work(n):
    return np.zeros(n)

@join_app
def pipeline(n):
    return [work(i) for i in tqdm.tqdm(range(n))]
