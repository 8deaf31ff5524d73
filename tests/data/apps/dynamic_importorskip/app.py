import pytest
np = pytest.importorskip("numpy")
cp = pytest.importorskip("cupy", minversion="1")
