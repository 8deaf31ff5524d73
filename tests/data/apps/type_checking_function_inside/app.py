from typing import TYPE_CHECKING
if TYPE_CHECKING:
    def f():
        import pandas
