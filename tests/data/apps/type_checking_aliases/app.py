import typing
import typing as t
import typing_extensions as te
from typing import TYPE_CHECKING as TC
if typing.TYPE_CHECKING:
    import pandas
if t.TYPE_CHECKING:
    import numpy
if TC:
    import scipy
