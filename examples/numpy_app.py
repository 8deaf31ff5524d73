"""The numpy apps of Parsl's documentation, as they stand there.

    python examples/numpy_app.py

The user guide (Apps, Python apps) shows `linear_model` twice: with numpy imported at the top of the program, as what does not work, and with
the import inside, as what does; and `my_max_app`. With `pack=True` all three run unchanged, on workers that have
no numpy: what an app uses of its module travels with it.
"""

from __future__ import annotations

import tempfile

import numpy as np
import parsl
from parsl import Config, python_app
from parsl.providers import LocalProvider

from wq_package.executor import WQPackageExecutor, default_worker_command

# fmt: off


@python_app
def linear_model(x: list[float] | np.ndarray, m: float, b: float):
    return np.multiply(x, m) + b


import_at_the_top = linear_model


@python_app
def linear_model(x: list[float] | 'np.ndarray', m: float, b: float):
    import numpy as np
    return np.multiply(x, m) + b


import_inside = linear_model


@python_app
def my_max_app(*args, **kwargs):
    import numpy as np
    return np.max(*args, keepdims=True, axis=0, **kwargs)


# fmt: on


def main() -> None:
    executor = WQPackageExecutor(
        pack=True,
        worker_executable=f"env -i PATH=/nowhere {default_worker_command()}",
        provider=LocalProvider(init_blocks=1, max_blocks=1),
    )
    with (
        tempfile.TemporaryDirectory(prefix="numpy-app-") as run_dir,
        parsl.load(Config(executors=[executor], run_dir=run_dir, initialize_logging=False)),
    ):
        x = np.array([1.0, 2.0, 3.0])
        top, inside = import_at_the_top(x, 2, 1), import_inside(x, 2, 1)
        largest = my_max_app(np.array([[1, 5], [4, 2]]))
        print(f"imported at the top: {top.result()}")
        print(f"imported inside:     {inside.result()}")
        print(f"largest of columns:  {largest.result()}")


if __name__ == "__main__":
    main()
