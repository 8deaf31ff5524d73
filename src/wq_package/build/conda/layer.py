"""Make the layer of one conda package from its extracted files (shell module).

The layer depends on the package, and for `noarch: python` on the version of Python, and on nothing else: files keep the
package's own placeholder, which is replaced where the environment is unpacked. Knows nothing of solving or fetching.
"""

from __future__ import annotations

import ast
import logging
import os
import posixpath
import stat
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from wq_package.archive.layer import LayerEntry, LayerHeader, LayerKind, Relocation, RelocationMode
from wq_package.build.conda.conda_meta import InstalledPath, render_conda_meta
from wq_package.build.conda.extracted import EditedFileError, ExtractedPackage
from wq_package.build.conda.package_files import PackageFile
from wq_package.build.conda.records import CondaRecord
from wq_package.build.elf import ElfFacts, is_elf, read_elf
from wq_package.build.elf_files import find_needs, read_elf_file
from wq_package.build.layer_plan import LayerPlan
from wq_package.build.script_text import normalize_script, render_entry_point
from wq_package.errors import BuildError, NotRelocatableError
from wq_package.spec.python_text import parse_python

__all__ = ["plan_conda_layer", "with_digest"]

_LOG = logging.getLogger(__name__)
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class _Placed:
    """A file on its way into the layer."""

    entry: LayerEntry
    installed: InstalledPath
    origin: Path | None = None
    relocation: Relocation | None = None
    facts: ElfFacts | None = None


def plan_conda_layer(package: ExtractedPackage, *, without: Collection[str] = ()) -> LayerPlan:
    """Collect the files of a package.

    Args:
        package: what was extracted.
        without: paths that another package of the environment owns.

    Raises:
        NotRelocatableError: a link leads to a place that only the machine of the package's maker has.
        BuildError: files that the package lists are missing or were edited; they are named.
    """
    record, placed = package.record, _place_all(package, without)
    meta = render_conda_meta(record, (each.installed for each in placed))
    entries = [each.entry for each in placed]
    entries.append(LayerEntry(f"conda-meta/{record.stem}.json", 0o644, meta.encode()))
    if record.name == "python":
        entries.append(LayerEntry("conda-meta/history", 0o644, b""))  # what conda knows an environment by
    return LayerPlan(
        header=_make_header(record, placed, package.site_packages),
        entries=tuple(entries),
        relocations=tuple(each.relocation for each in placed if each.relocation),
        sources=tuple(_iter_sources(placed, package.site_packages)),
    )


def _place_all(package: ExtractedPackage, without: Collection[str]) -> list[_Placed]:
    sources = {file.path for file in package.files if file.path.endswith(".py")}
    placed: list[_Placed] = []
    issues: list[str] = []
    for file in package.files:
        if _is_bytecode_of(file.path, sources) or package.place(file.path) in without:
            continue
        try:
            placed.append(_place(package, file))
        except EditedFileError:
            issues.append(f"`{file.path}` was edited")
            if package.keep_edits:
                placed.append(_place(replace(package, is_verified=False), file))
        except FileNotFoundError:
            issues.append(f"`{file.path}` is missing")
    if issues and not package.keep_edits:
        raise _explain_issues(package, issues)
    if issues:
        _LOG.warning("`%s` is packed as it is: %s", package.record.stem, ", ".join(issues))
    return [*placed, *_iter_commands(package, without)]


def _explain_issues(package: ExtractedPackage, issues: list[str]) -> BuildError:
    shown = ", ".join(issues[:_SHOWN]) + (f" and {len(issues) - _SHOWN} more" if len(issues) > _SHOWN else "")
    if package.installed_prefix:
        hint = "install it anew, or build with --fresh to take it from its channel, or with --keep-edits as it is"
        return BuildError(
            f"the installed conda package `{package.record.stem}` was altered: {shown}", hint=hint
        )
    hint = f"remove `{package.folder}` to have it fetched again"
    return BuildError(f"the conda package `{package.record.stem}` is damaged: {shown}", hint=hint)


def _iter_commands(package: ExtractedPackage, without: Collection[str]) -> Iterator[_Placed]:
    for name, target in package.entry_points.items():
        path = f"bin/{name}"
        if path not in without:
            script = render_entry_point(target).encode()
            yield _Placed(LayerEntry(path, 0o755, script), InstalledPath(path, "unix_python_entry_point"))


def _is_bytecode_of(path: str, sources: Collection[str]) -> bool:
    """Tell whether a file is the bytecode of a source in the package; ours is made anew, to hold whatever its time stamp."""
    pure = PurePosixPath(path)
    if pure.suffix != ".pyc" or pure.parent.name != "__pycache__":
        return False
    return str(pure.parent.parent / f"{pure.name.split('.')[0]}.py") in sources


def _place(package: ExtractedPackage, file: PackageFile) -> _Placed:
    path, origin = package.place(file.path), package.folder / file.path
    if file.is_folder:
        return _Placed(LayerEntry(path, 0o755, None), InstalledPath(path, "directory"))
    status = origin.lstat()
    if stat.S_ISLNK(status.st_mode):
        target = _make_relative(path, str(origin.readlink()), file.placeholder)
        return _Placed(LayerEntry(path, 0o777, None, target), InstalledPath(path, "softlink"))
    if file.mode is not None:
        return _place_relocated(path, file, package, status.st_mode)
    entry = LayerEntry(path, status.st_mode, origin)
    package.check(file)
    return _Placed(entry, InstalledPath(path, "hardlink", file.sha256), origin, facts=read_elf_file(origin))


def _make_relative(path: str, target: str, placeholder: str) -> str:
    if placeholder and target.startswith(placeholder + "/"):
        inside = target.removeprefix(placeholder + "/")
        return os.path.relpath(inside, PurePosixPath(path).parent)
    if target.startswith("/"):
        raise NotRelocatableError(
            f"`{path}` links to `{target}`, which lies outside its package",
            hint="choose another build of the package",
        )
    return posixpath.normpath(target)


def _place_relocated(path: str, file: PackageFile, package: ExtractedPackage, mode: int) -> _Placed:
    """Place a file with a placeholder; a Python script first gets a header that needs none."""
    assert file.mode is not None
    data = package.read(file)
    rewritten = data
    if file.mode is RelocationMode.TEXT and _is_script(path, mode) and not _has_docstring(data):
        rewritten = normalize_script(data)
    left = os.fsencode(file.placeholder) in rewritten
    is_on_disk = rewritten == data and not package.installed_prefix
    return _Placed(
        entry=LayerEntry(path, mode, package.folder / file.path if is_on_disk else rewritten),
        installed=InstalledPath(path, "hardlink"),
        relocation=Relocation(path, file.mode, file.placeholder) if left else None,
        facts=_find_facts(data),
    )


def _is_script(path: str, mode: int) -> bool:
    """The header finds its Python in its own folder, so it serves in `bin` alone."""
    return path.startswith("bin/") and path.count("/") == 1 and bool(mode & 0o100)


def _has_docstring(data: bytes) -> bool:
    """The header is a string at the top, so it would take a docstring's place, before which no `__future__` import may stand."""
    try:
        return ast.get_docstring(parse_python(data)) is not None
    except (SyntaxError, ValueError):
        return True


def _find_facts(data: bytes) -> ElfFacts | None:
    return read_elf(data) if is_elf(data) else None


def _make_header(record: CondaRecord, placed: Iterable[_Placed], site_packages: str) -> LayerHeader:
    placed = list(placed)
    machine, glibc = find_needs(each.facts for each in placed)
    return LayerHeader(
        kind=LayerKind.CONDA,
        name=record.name,
        version=record.version,
        build=record.build,
        source=f"sha256:{record.sha256}" if record.sha256 else "",
        machine=machine,
        glibc=glibc,
        imports=tuple(sorted(set(_iter_import_names(placed, site_packages)))),
    )


def _iter_import_names(placed: Iterable[_Placed], site_packages: str) -> Iterator[str]:
    for each in placed:
        path = each.entry.path
        if path.startswith(site_packages + "/") and path.endswith((".py", ".so", ".pyi")):
            name = path[len(site_packages) + 1 :].split("/")[0].split(".")[0]
            if name.isidentifier():
                yield name


def _iter_sources(placed: Iterable[_Placed], site_packages: str) -> Iterator[tuple[Path, str]]:
    """Name what is compiled: modules, but neither tests nor texts that differ from prefix to prefix."""
    library = f"{PurePosixPath(site_packages).parent}/"
    for each in sorted(placed, key=lambda each: each.entry.path):
        path = each.entry.path
        if each.origin is None or each.relocation or not path.endswith(".py") or not path.startswith(library):
            continue
        if not {"test", "tests"} & set(PurePosixPath(path.removeprefix(library)).parts[:-1]):
            yield each.origin, path


def with_digest(record: CondaRecord, sha256: str) -> CondaRecord:
    """Fill in the digest that fetching a package has shown."""
    return record if record.sha256 else replace(record, sha256=sha256)
