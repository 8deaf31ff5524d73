"""Runs tasks on workers: ours and real Work Queue's.

`state/` decides and is pure; `server.py` is the asyncio shell round it; `blocking.py` runs that in a thread.
"""

from __future__ import annotations

from wq_package.manager.blocking import BlockingManager
from wq_package.manager.options import ManagerOptions
from wq_package.manager.server import Manager
from wq_package.manager.state import Statistics

__all__ = ["BlockingManager", "Manager", "ManagerOptions", "Statistics"]
