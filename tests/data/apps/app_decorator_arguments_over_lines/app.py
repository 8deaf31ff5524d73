import numpy as np
from parsl import python_app

@python_app(
    executors=["wq"],
    cache=True,
    ignore_for_cache=["stdout"],
)
def f(
    x,
    y=1,
):
    return np.add(x, y)
