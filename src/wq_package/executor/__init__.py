"""The Parsl executor: every app in its own packaged environment (shell package).

    from wq_package.executor import WQPackageExecutor

Knows Parsl, and through `analyze`, `build` and `manager` everything below; nothing below knows it. The executor is loaded
when its name is first asked for, so that the pure modules of this room cost nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wq_package.executor.executor import WQPackageExecutor, default_worker_command
    from wq_package.executor.memoization import EnvironmentMemoizer

__all__ = ["EnvironmentMemoizer", "WQPackageExecutor", "default_worker_command"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module `{__name__}` has no attribute `{name}`")
    from wq_package.executor import executor, memoization

    return getattr(memoization if name == "EnvironmentMemoizer" else executor, name)
