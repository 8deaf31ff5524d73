"""Text that runs on the worker, in an environment that has neither this package nor Parsl; never imported there."""

from __future__ import annotations
