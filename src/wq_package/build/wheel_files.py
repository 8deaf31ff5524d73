"""Names the files of exact pins, without building anything (shell module). Asks the index; knows of no layer."""

from __future__ import annotations

import sys
from pathlib import Path

from wq_package.build.indexes import Indexes
from wq_package.errors import BuildError
from wq_package.spec.environment import EnvironmentSpec

__all__ = ["lock_wheels"]


def lock_wheels(spec: EnvironmentSpec, indexes: Indexes | None = None, *, offline: bool = False) -> str:
    """Ask an index for the files of a spec's distributions, exactly those that it lists.

    Args:
        spec: the environment; conda packages and local source in it are passed over.
        indexes: where to look, beside the settings of uv and pip.
        offline: use uv's cache only.

    Returns:
        The text of a pylock file; empty if the spec has no distributions.

    Raises:
        BuildError: no index can be reached, or none has all of them.
    """
    pins = [wheel.text for wheel in spec.wheels]
    if not pins:
        return ""
    import tempfile  # these two cost 10 ms, which no build has to pay

    from wq_package.build.uv import Access, list_artefacts

    access = Access(indexes or Indexes(), offline=offline)
    try:
        with tempfile.TemporaryDirectory(prefix="wq-package-") as folder:
            return list_artefacts(pins, sys.executable, Path(folder), access, spec.python or "")
    except OSError as error:
        raise BuildError(
            f"the files of the distributions cannot be listed: {error.strerror or error}",
            hint="set TMPDIR to a folder that you may write to",
        ) from error
