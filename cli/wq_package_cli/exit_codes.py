"""The exit codes of `wq-package`, and which error ends in which (logic module)."""

from __future__ import annotations

import enum

from wq_package import errors


class ExitCode(enum.IntEnum):
    """What a `wq-package` process ends with."""

    DONE = 0
    UNEXPECTED = 1
    USAGE = 2
    ANALYSIS = 3
    BUILD = 4
    ARCHIVE = 5
    QUEUE = 6
    COMMAND_NOT_EXECUTABLE = 126
    COMMAND_NOT_FOUND = 127
    HUNG_UP = 129
    INTERRUPTED = 130
    TERMINATED = 143


_BY_ERROR: tuple[tuple[type[errors.WQPackageError], ExitCode], ...] = (
    (errors.AnalysisError, ExitCode.ANALYSIS),
    (errors.SpecError, ExitCode.ANALYSIS),
    (errors.BuildError, ExitCode.BUILD),
    (errors.ArchiveError, ExitCode.ARCHIVE),
    (errors.ProtocolError, ExitCode.QUEUE),
    (errors.QueueError, ExitCode.QUEUE),
)


def find_exit_code(error: errors.WQPackageError) -> ExitCode:
    """Tell which exit code an error of the library ends in."""
    for kind, code in _BY_ERROR:
        if isinstance(error, kind):
            return code
    return ExitCode.UNEXPECTED
