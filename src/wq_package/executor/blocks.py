"""Blocks of workers: started at once, ended when they are idle, never when they are busy (shell module).

Knows Parsl's providers and the manager; knows nothing of apps.
"""

from __future__ import annotations

import logging
import re
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence

from parsl.executors.status_handling import BlockProviderExecutor
from parsl.jobs.states import TERMINAL_STATES
from parsl.providers import LocalProvider
from parsl.providers.base import ExecutionProvider

from wq_package.errors import WQPackageError
from wq_package.executor.listening import BLOCK, BLOCK_FEATURE

__all__ = ["WorkerBlocks", "choose_blocks"]

logger = logging.getLogger(__name__)


def choose_blocks(
    active: Sequence[str], counts: Mapping[str, int], wanted: int, *, has_tasks: bool
) -> list[str]:
    """Choose blocks to end: those whose workers are idle, and then those whose workers are still to come, if nobody waits for them.

    Args:
        active: all that have begun and not ended.
        counts: the tasks at the workers of those whose workers are there.
        wanted: how many.
        has_tasks: whether any task has not ended.
    """
    idle = [block for block in active if counts.get(block) == 0]
    coming = [] if has_tasks else [block for block in active if block not in counts]
    return [*idle, *coming][:wanted]


class WorkerBlocks(BlockProviderExecutor):  # type: ignore[misc]  # Parsl is not followed
    """The part of an executor that scales.

    Attributes:
        worker_command: starts a worker; `BLOCK` in it stands for the id of its block.
    """

    worker_command: str
    init_command: str
    scaling_cores_per_worker: int

    def __init__(
        self,
        provider: ExecutionProvider,
        block_error_handler: bool | Callable[..., None],  # noqa: FBT001 - as in Parsl
    ) -> None:
        super().__init__(provider=provider, block_error_handler=block_error_handler)
        self._blocks_ahead = 0

    @abstractmethod
    def count_tasks_by_feature(self) -> dict[str, int]:
        """Count the tasks at the workers that announced each feature."""

    def check_script_folder(self) -> None:
        """Refuse what would wait for ever: Parsl's local provider starts nothing from a path with blanks in it.

        Raises:
            WQPackageError: that is where it would start workers from.
        """
        folder = str(getattr(self.provider, "script_dir", None) or "")
        if isinstance(self.provider, LocalProvider) and re.search(r"\s", folder):
            raise WQPackageError(
                f"Parsl's `LocalProvider` cannot start workers from `{folder}`: its path has blanks",
                hint="give Parsl's `Config` a `run_dir` without blanks",
            )

    def start_first_blocks(self) -> None:
        """Start them now, instead of at the first tick of Parsl's strategy."""
        if self.provider.init_blocks:
            first = super().scale_out_facade(self.provider.init_blocks)
            self._blocks_ahead = self.provider.init_blocks
            logger.debug("started blocks %s ahead of the strategy", first)

    @property
    def workers_per_node(self) -> int | float:
        """Cores of a worker, as Parsl's strategy understands it."""
        return self.scaling_cores_per_worker

    def scale_out_facade(self, n: int) -> list[str]:
        """Start blocks, but for those that Parsl's strategy asks for first and `start` has started already."""
        ahead = min(n, self._blocks_ahead)
        self._blocks_ahead -= ahead
        return super().scale_out_facade(n - ahead) if n > ahead else []

    def scale_in(self, blocks: int) -> list[str]:
        """End blocks that nobody needs, as many as that is true for; return their ids.

        What is busy at the very end, `cancel_blocks` ends.
        """
        active = [block for block, status in self._status.items() if status.state not in TERMINAL_STATES]
        active = [block for block in active if block in self.blocks_to_job_id]
        counts = self.count_tasks_by_block()
        chosen = choose_blocks(active, counts, blocks, has_tasks=self.outstanding() > 0)
        if not chosen:
            return []
        jobs = [self.blocks_to_job_id[block] for block in chosen]
        logger.debug("ending blocks %s", chosen)
        ended = self._filter_scale_in_ids(jobs, self.provider.cancel(jobs))
        return [self.job_ids_to_block[job] for job in ended]

    def count_tasks_by_block(self) -> dict[str, int]:
        """Count the tasks at the connected workers of each block."""
        counts = self.count_tasks_by_feature()
        start = len(BLOCK_FEATURE)
        return {name[start:]: count for name, count in counts.items() if name.startswith(BLOCK_FEATURE)}

    def _get_launch_command(self, block_id: str) -> str:
        command = self.worker_command.replace(BLOCK, block_id)
        before = f"{self.init_command}; " if self.init_command else ""
        return f"{before}PARSL_WORKER_BLOCK_ID={block_id} {command}"

    def cancel_blocks(self) -> None:
        """End every block that has not ended."""
        left = [block for block, status in self._status.items() if status.state not in TERMINAL_STATES]
        jobs = [self.blocks_to_job_id[block] for block in left if block in self.blocks_to_job_id]
        if jobs:
            self.provider.cancel(jobs)
