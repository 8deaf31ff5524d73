from typing import TYPE_CHECKING
import numpy
if TYPE_CHECKING:
    import pandas
