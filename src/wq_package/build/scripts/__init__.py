"""Programs that run in another Python than ours: standard library only, Python 3.8 syntax."""

from __future__ import annotations
