import sys
from typing import TYPE_CHECKING
if TYPE_CHECKING and sys.version_info >= (3, 8):
    import pandas
