"""Layers and environments on a worker's disk, shared by every worker of a user on a machine.

Knows the disk, and archives only by `wq_package.archive`. Knows nothing of managers, messages or tasks.
"""

from __future__ import annotations

from wq_package.worker.store.locks import Lease
from wq_package.worker.store.place import default_store_root
from wq_package.worker.store.store import Store

__all__ = ["Lease", "Store", "default_store_root"]
