"""Builds environment archives from specs: interpreter, wheels, local source, and a cache of finished layers.

Knows what is installed on this machine, how uv is asked, and how a Python is made relocatable. Knows nothing of imports
(`analyze`), of workers or of Parsl.
"""

from __future__ import annotations

from wq_package.build.environment import build_environment, load_lock, lock_environment
from wq_package.build.indexes import Indexes
from wq_package.build.layer_cache import LayerCache, default_cache_root
from wq_package.build.options import (
    BuildOptions,
    BuiltEnvironment,
    Reporter,
    SilentReporter,
    find_compression,
)
from wq_package.build.wheel_files import lock_wheels

__all__ = [
    "BuildOptions",
    "BuiltEnvironment",
    "Indexes",
    "LayerCache",
    "Reporter",
    "SilentReporter",
    "build_environment",
    "default_cache_root",
    "find_compression",
    "load_lock",
    "lock_environment",
    "lock_wheels",
]
