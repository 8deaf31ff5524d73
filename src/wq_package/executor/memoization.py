"""Parsl's memoization and checkpoints, aware of environments (logic module).

    Config(executors=[WQPackageExecutor(pack=True)], memoizer=EnvironmentMemoizer(checkpoint_mode="task_exit"))

Parsl knows a call by its app's name and its arguments: results of an older numpy would be taken for those of today's. Here
what is in the app's environment counts as one more argument. Knows Parsl's task records; knows nothing of how an environment is found.
"""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

from parsl.dataflow.memoization import BasicMemoizer
from parsl.dataflow.taskrecord import TaskRecord

from wq_package.executor.executor import WQPackageExecutor

__all__ = ["EnvironmentMemoizer"]


class EnvironmentMemoizer(BasicMemoizer):  # type: ignore[misc]  # Parsl is not followed
    """Parsl's `BasicMemoizer`, with the same parameters; calls in another environment are other calls.

    Calls through other executors, and through one without `pack` or `environment`, are known as ever.
    """

    def check_memo(self, task: TaskRecord) -> Future[Any] | None:
        """Find the result of an earlier call in the same environment."""
        identity = self._identify(task)
        if not identity:
            return super().check_memo(task)  # type: ignore[no-any-return]  # Parsl is not followed
        seen: TaskRecord = {**task, "args": (*task["args"], f"environment {identity}")}
        found: Future[Any] | None = super().check_memo(seen)
        task["hashsum"] = seen["hashsum"]
        return found

    def _identify(self, task: TaskRecord) -> str:
        if not self.memoize or not task["memoize"]:
            return ""
        executor = task["dfk"].executors.get(task["executor"])
        return executor.identify_environment(task["func"]) if isinstance(executor, WQPackageExecutor) else ""
