from typing import TYPE_CHECKING
if not TYPE_CHECKING:
    import numpy
else:
    import pandas
