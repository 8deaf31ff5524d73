"""How each layer of an environment is made, and the key it is kept under (logic and shell module).

A recipe knows its key before any work is done; only when the cache has nothing under that key is it carried out, and only
then is the code that does it imported. Knows nothing of order, threads or the archive.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import astuple, dataclass
from pathlib import Path

from wq_package.archive.launcher import make_launcher_entries
from wq_package.archive.layer import LayerEntry, LayerHeader, LayerKind
from wq_package.build.installed import InstalledDistribution
from wq_package.build.interpreter import Interpreter, is_wanted_folder
from wq_package.build.layer_cache import compute_key
from wq_package.build.layer_plan import LayerPlan
from wq_package.errors import BuildError, InvalidSpecError
from wq_package.spec.environment import LocalSource
from wq_package.spec.local_source import digest_local_source, iter_local_files, place_local_file

__all__ = [
    "Recipe",
    "make_installed_recipe",
    "make_interpreter_recipe",
    "make_launcher_recipe",
    "make_local_recipe",
    "make_pin_key",
]

BUILDER_VERSION = 5
"""Changes when the same input gives another layer than before."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to make one layer.

    Attributes:
        title: for people.
        key: digest of everything that decides what the layer will be.
        weight: roughly how much work it is; the heaviest are begun first.
        plan: collects the layer's files; is given an empty folder for its own.
    """

    title: str
    key: str
    weight: int
    plan: Callable[[Path], LayerPlan]


def _make_python_part(interpreter: Interpreter, *, bytecode: bool) -> list[object]:
    compiled = [interpreter.version, interpreter.magic, interpreter.cache_tag] if bytecode else []
    return [BUILDER_VERSION, interpreter.name, compiled]


def make_interpreter_recipe(interpreter: Interpreter, *, bytecode: bool) -> Recipe:
    """Copy the interpreter; known by its files' sizes and times."""
    identity = [astuple(interpreter), _stamp_tree(interpreter)]
    key = compute_key("interpreter", _make_python_part(interpreter, bytecode=bytecode), identity)

    def plan(staging: Path) -> LayerPlan:
        from wq_package.build.interpreter_layer import plan_interpreter_layer

        return plan_interpreter_layer(interpreter, staging)

    return Recipe(f"python {interpreter.version}", key, 2**26, plan)


def _stamp_tree(interpreter: Interpreter) -> str:
    """Digest names, sizes and times of an interpreter's files, which takes a hundredth of reading them."""
    digest = hashlib.sha256()
    for folder in (interpreter.stdlib, interpreter.dynload):
        for line in _list_tree(folder):
            digest.update(line.encode("utf-8", "surrogateescape"))
    library = Path(interpreter.lib_folder, f"lib{interpreter.name}.so.1.0")
    for path in (Path(interpreter.executable), library):
        if path.exists():
            found = path.stat()
            digest.update(f"{path} {found.st_size} {found.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _list_tree(folder: str) -> list[str]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return []
    lines: list[str] = []
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            lines += _list_tree(entry.path) if is_wanted_folder(entry.name) else []
        elif entry.name.endswith((".py", ".so")):
            found = entry.stat()
            lines.append(f"{entry.path} {found.st_size} {found.st_mtime_ns}\n")
    return lines


def make_launcher_recipe(interpreter: Interpreter) -> Recipe:
    """The scripts that every environment has; they are small, so their own bytes are the key."""
    entries = make_launcher_entries(interpreter.version)
    header = LayerHeader(LayerKind.LAUNCHER, "launcher", interpreter.short_version)
    contents = [[entry.path, hashlib.sha256(_read(entry)).hexdigest()] for entry in entries]
    plan = LayerPlan(header, entries)
    return Recipe(
        "launcher", compute_key("launcher", BUILDER_VERSION, header.version, contents), 0, lambda _: plan
    )


def _read(entry: LayerEntry) -> bytes:
    assert isinstance(entry.source, bytes)
    return entry.source


def make_pin_key(pin: str, interpreter: Interpreter, *, bytecode: bool, platform: str = "") -> str:
    """Make the key of a released distribution, wherever its files come from.

    Args:
        pin: name and version.
        interpreter: the Python that it is for.
        bytecode: whether it is compiled.
        platform: the kind of machines that it is for, if that was named.
    """
    part = _make_python_part(interpreter, bytecode=bytecode)
    return compute_key("wheel", part, [interpreter.version, platform or os.uname().machine], pin)


def make_installed_recipe(
    distribution: InstalledDistribution,
    interpreter: Interpreter,
    *,
    bytecode: bool,
    keep_edits: bool = False,
) -> Recipe:
    """Take an installed distribution; its RECORD decides every byte, unless edits are kept."""
    record = distribution.read("RECORD") or b""
    identity = [distribution.name, distribution.version, hashlib.sha256(record).hexdigest()]
    if keep_edits:
        identity.append(_stamp_files(distribution, record))
    key = compute_key("installed", _make_python_part(interpreter, bytecode=bytecode), identity)

    def plan(_: Path) -> LayerPlan:
        from wq_package.build.wheel_layer import plan_wheel_layer

        return plan_wheel_layer(distribution, interpreter, keep_edits=keep_edits)

    return Recipe(f"{distribution.name} {distribution.version}", key, len(record), plan)


def _stamp_files(distribution: InstalledDistribution, record: bytes) -> str:
    """Digest sizes and times of a distribution's files, whether RECORD is right or not."""
    from wq_package.build.record import is_installer_trace, parse_record

    digest = hashlib.sha256()
    for row in parse_record(record.decode("utf-8", "replace")):
        if not is_installer_trace(row.path):
            path = Path(distribution.site_folder, row.path)
            found = path.stat() if path.exists() else None
            stamp = f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}" if found else "missing"
            digest.update(f"{row.path} {stamp}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def make_local_recipe(source: LocalSource, interpreter: Interpreter, *, bytecode: bool) -> Recipe:
    """Take the user's own code as it is now."""
    try:
        digest = digest_local_source(Path(source.path))
    except InvalidSpecError as error:
        hint = "correct its `path` in the spec, or write the spec again with `wq-package analyze`"
        raise BuildError(f"the local source `{source.import_name}`: {error}", hint=hint) from error
    key = compute_key(
        "local", _make_python_part(interpreter, bytecode=bytecode), [source.import_name, digest]
    )
    return Recipe(source.import_name, key, 0, lambda _: _plan_local_layer(source, digest, interpreter))


def _find_needs(files: Iterable[Path]) -> tuple[str, tuple[int, int] | None]:
    """Tell what the compiled modules among some files need."""
    compiled = [file for file in files if ".so" in file.suffixes]
    if not compiled:
        return "", None
    from wq_package.build.elf_files import find_needs, read_elf_file  # most local source is text

    return find_needs(read_elf_file(file) for file in compiled)


def _plan_local_layer(source: LocalSource, digest: str, interpreter: Interpreter) -> LayerPlan:
    root = Path(source.path)
    site = interpreter.site_packages
    if root.is_file():
        paths = [(root, f"{site}/{place_local_file(source.import_name, root)}")]
    else:
        folder = f"{site}/{source.import_name.replace('.', '/')}"
        paths = [(file, f"{folder}/{name}") for name, file in iter_local_files(root)]
    machine, glibc = _find_needs(file for file, _ in paths)
    imports = (source.import_name.split(".")[0],)
    return LayerPlan(
        header=LayerHeader(
            LayerKind.LOCAL,
            source.import_name,
            digest[:12],
            machine=machine,
            glibc=glibc,
            imports=imports,
        ),
        entries=tuple(LayerEntry(path, file.stat().st_mode, file) for file, path in paths),
        sources=tuple((file, path) for file, path in paths if path.endswith(".py")),
    )
