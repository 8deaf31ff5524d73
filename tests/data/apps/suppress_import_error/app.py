import contextlib
from contextlib import suppress as quiet
with contextlib.suppress(ImportError):
    import cupy
with quiet(ModuleNotFoundError, ValueError):
    import numpy
