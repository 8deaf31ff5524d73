"""Where the store is (shell module).

Reads the environment and tries folders; creates them for this user alone. Must work with no variables set at all.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from wq_package.errors import ArchiveError
from wq_package.worker.store.locks import hold_lock


def default_store_root(variables: Mapping[str, str] | None = None) -> Path:
    """Find the folder for the store, and create it if it is not there.

    `$WQ_PACKAGE_STORE` if set; else `wq-package/store` in `$XDG_CACHE_HOME` or `$HOME/.cache`; else, or where neither can be
    written, `wq-package-<uid>/store` in the folder for temporary files.

    Raises:
        ArchiveError: no such folder can be used.
    """
    variables = os.environ if variables is None else variables
    named = variables.get("WQ_PACKAGE_STORE")
    if named:
        return _prepare(Path(named).absolute())
    for cache in _iter_caches(variables):
        root = cache / "wq-package" / "store"
        if _can_prepare(root):
            return root
    return _prepare(Path(tempfile.gettempdir()) / f"wq-package-{os.getuid()}" / "store")


def _iter_caches(variables: Mapping[str, str]) -> Iterator[Path]:
    # The XDG specification wants relative paths ignored.
    for name, below in (("XDG_CACHE_HOME", "."), ("HOME", ".cache")):
        folder = variables.get(name, "")
        if folder.startswith("/"):
            yield Path(folder) / below


def _can_prepare(root: Path) -> bool:
    try:
        _prepare(root)
        with hold_lock(root / "probe"):  # some network file systems have no locks
            return True
    except (ArchiveError, OSError):
        return False


def _prepare(root: Path) -> Path:
    try:
        _make_private(root.parent)
        _make_private(root)
    except OSError as error:
        raise ArchiveError(
            f"`{root}` cannot be used as the store ({error.strerror})",
            hint="name another folder with `$WQ_PACKAGE_STORE`",
        ) from error
    if not os.access(root, os.W_OK | os.X_OK):
        raise ArchiveError(f"`{root}` cannot be written", hint="name another folder with `$WQ_PACKAGE_STORE`")
    return root


def _make_private(folder: Path) -> None:
    """Create a folder for this user alone; refuse one below a public folder that somebody else has put there."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.stat(follow_symlinks=False) if _is_public(folder.parent) else folder.stat()
    if status.st_uid not in {os.getuid(), 0} or (_is_public(folder.parent) and folder.is_symlink()):
        raise ArchiveError(
            f"`{folder}` belongs to somebody else", hint="name another folder with `$WQ_PACKAGE_STORE`"
        )


def _is_public(folder: Path) -> bool:
    return bool(folder.stat().st_mode & 0o002)
