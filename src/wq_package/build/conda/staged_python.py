"""Lay out a conda Python so that it can be run on this machine (shell module).

A build needs it to compile bytecode and to resolve wheels. Only Python and what it depends on is laid out, by hard links to
the extracted packages; it is kept, because it costs next to nothing and the next build wants it again.
"""

from __future__ import annotations

import hashlib
import shutil
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from wq_package.archive.layer import LayerEntry, Relocation
from wq_package.archive.relocation import relocate
from wq_package.build.conda.extracted import ExtractedPackage
from wq_package.build.conda.layer import plan_conda_layer
from wq_package.errors import DiskFullError

__all__ = ["select_python_closure", "stage_python"]


def select_python_closure(packages: Sequence[ExtractedPackage]) -> tuple[ExtractedPackage, ...]:
    """Select Python and everything that it depends on, sorted by name."""
    by_name = {package.record.name: package for package in packages}
    waiting, chosen = ["python"], dict[str, ExtractedPackage]()
    while waiting:
        name = waiting.pop()
        if name in by_name and name not in chosen:
            chosen[name] = by_name[name]
            waiting += [depend.split()[0] for depend in by_name[name].record.depends]
    return tuple(chosen[name] for name in sorted(chosen))


def stage_python(packages: Sequence[ExtractedPackage], root: Path) -> Path:
    """Lay packages out below `root`, unless that was done before; return the prefix."""
    names = "\n".join(package.record.sha256 for package in packages)
    prefix = root / hashlib.sha256(names.encode()).hexdigest()[:24]
    if prefix.is_dir():
        return prefix
    partial = root / f".partial-{uuid.uuid4().hex}"
    try:
        for package in packages:
            _lay_out(package, partial, prefix)
        partial.rename(prefix)
    except OSError as error:
        if not prefix.is_dir():  # else another build was faster
            raise DiskFullError(
                f"`{root}` cannot be written ({error.strerror})", hint="free some space"
            ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return prefix


def _lay_out(package: ExtractedPackage, folder: Path, prefix: Path) -> None:
    plan = plan_conda_layer(package)
    _make_folders({entry.path for entry in plan.entries}, folder)
    relocations = {relocation.path: relocation for relocation in plan.relocations}
    for entry in plan.entries:
        _write(entry, folder / entry.path, relocations.get(entry.path), prefix)


def _make_folders(paths: Iterable[str], folder: Path) -> None:
    for parent in sorted({PurePosixPath(path).parent for path in paths}):
        (folder / parent).mkdir(parents=True, exist_ok=True)


def _write(entry: LayerEntry, path: Path, relocation: Relocation | None, prefix: Path) -> None:
    if entry.link_target is not None:
        path.symlink_to(entry.link_target)
    elif entry.source is None:
        path.mkdir(exist_ok=True)
    elif isinstance(entry.source, Path) and relocation is None:
        path.hardlink_to(entry.source)
    else:
        data = entry.source if isinstance(entry.source, bytes) else entry.source.read_bytes()
        path.write_bytes(relocate(data, relocation, str(prefix)) if relocation else data)
        path.chmod(0o755 if entry.mode & 0o100 else 0o644)
