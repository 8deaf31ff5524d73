"""Make the interpreter layer: a copy of a Python that runs from any folder of any machine with a new enough C library (shell module).

Takes the files that `wq_package.build.interpreter_tree` names, adds the shared libraries that they and most wheels expect
from a host, and rewrites every path of this machine. Knows nothing of how layers are stored.

The *executable* gets DT_RPATH, which the loader also applies to libraries that wheels load later and that bring no path
of their own (numpy needs `libstdc++.so.6`); the newer RUNPATH would not reach them.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from wq_package.archive.layer import LayerEntry, LayerHeader, LayerKind, Relocation, RelocationMode
from wq_package.build.elf import ElfFacts, is_elf, read_elf, strip_sections
from wq_package.build.interpreter import Interpreter
from wq_package.build.interpreter_tree import TreeFile, iter_interpreter_files
from wq_package.build.layer_plan import LayerPlan
from wq_package.build.libraries import LibraryFinder, is_host_library, load_loader_cache
from wq_package.build.patchelf import find_patchelf
from wq_package.build.sysconfig_text import (
    PLACEHOLDER,
    is_shared_prefix,
    mask_prefix,
    replace_prefix,
    rewrite_pkgconfig,
    rewrite_variables,
)
from wq_package.errors import BackendFailedError, NotRelocatableError
from wq_package.programs import run_program

__all__ = ["plan_interpreter_layer"]

_LOG = logging.getLogger(__name__)

# What the manylinux policies let wheels expect from any host, and what bare hosts lack.
_EXPECTED_BY_WHEELS = ("libstdc++.so.6", "libgcc_s.so.1", "libz.so.1", "libexpat.so.1")


@dataclass(frozen=True, slots=True)
class _Binary:
    path: str
    source: Path
    data: bytes
    facts: ElfFacts

    @property
    def library_path(self) -> str:
        """Where it looks for libraries, from its own folder."""
        depth = self.path.count("/")
        if self.path.startswith("bin/"):
            return "$ORIGIN/../lib"
        return "/".join(["$ORIGIN", *[".."] * (depth - 1)])


def plan_interpreter_layer(interpreter: Interpreter, staging: Path) -> LayerPlan:
    """Collect and patch the files of an interpreter.

    Args:
        interpreter: what to copy.
        staging: an existing empty folder for patched files; it must stay until the layer is written.

    Raises:
        NotRelocatableError: a library that Python itself needs cannot be found.
        BackendNotFoundError: patchelf is missing.
    """
    plain, found = _split(iter_interpreter_files(interpreter))
    binaries, bundled = _add_libraries(found, interpreter)
    entries = list(_stage_binaries([*binaries, *bundled], interpreter, staging))
    entries += _make_links(interpreter, [binary.path for binary in binaries])
    relocations: list[Relocation] = []
    sources: list[tuple[Path, str]] = []
    for file in plain:
        entry, relocation = _rewrite(file, interpreter)
        entries.append(entry)
        relocations += relocation
        # What differs from prefix to prefix is not compiled: its bytecode would keep the placeholder.
        if file.path.endswith(".py") and not relocation:
            sources.append((_write_staged(entry, staging) or file.source, file.path))
    return LayerPlan(
        header=_make_header(interpreter, [*binaries, *bundled]),
        entries=tuple(entries),
        relocations=tuple(relocations),
        sources=tuple(sources),
        watched=tuple(binary.source for binary in bundled),
    )


def _split(files: Iterable[TreeFile]) -> tuple[list[TreeFile], list[_Binary]]:
    plain: list[TreeFile] = []
    binaries: list[_Binary] = []
    for file in files:
        data = file.source.read_bytes() if _may_be_binary(file) else b""
        facts = read_elf(data) if is_elf(data) else None
        if facts is None:
            plain.append(file)
        else:
            binaries.append(_Binary(file.path, file.source, data, facts))
    return plain, binaries


def _may_be_binary(file: TreeFile) -> bool:
    return file.path.startswith("bin/") or ".so" in file.source.name


def _make_header(interpreter: Interpreter, binaries: Iterable[_Binary]) -> LayerHeader:
    facts = [binary.facts for binary in binaries]
    machine = facts[0].machine if facts else os.uname().machine
    glibc = max((each.glibc for each in facts if each.glibc), default=None)
    return LayerHeader(LayerKind.INTERPRETER, "python", interpreter.version, machine=machine, glibc=glibc)


def _add_libraries(found: list[_Binary], interpreter: Interpreter) -> tuple[list[_Binary], list[_Binary]]:
    """Follow what every binary needs; leave out extension modules whose libraries this machine lacks itself."""
    finder = LibraryFinder(found[0].facts.machine if found else os.uname().machine, load_loader_cache())
    own = [folder for folder in (interpreter.lib_folder, f"{interpreter.prefix}/lib") if folder]
    libraries: dict[str, _Binary] = {}
    kept: list[_Binary] = []
    for binary in found:
        missing = _collect(binary, finder, own, libraries)
        if missing and binary.path.startswith("bin/"):
            hint = "install the library, or name another Python with --interpreter"
            raise NotRelocatableError(
                f"`{interpreter.executable}` needs `{missing}`, which was not found", hint=hint
            )
        if missing:
            _LOG.warning("leaving out %s: %s was not found", binary.path, missing)
        else:
            kept.append(binary)
    for soname in (*_EXPECTED_BY_WHEELS, "libpython3.so"):
        folders = own if soname == "libpython3.so" else ()
        if _collect_library(soname, finder, folders, libraries) and soname != "libpython3.so":
            _LOG.warning("%s was not found: wheels that need it will look for it on the worker", soname)
    return kept, sorted(libraries.values(), key=lambda library: library.path)


def _collect(binary: _Binary, finder: LibraryFinder, own: list[str], libraries: dict[str, _Binary]) -> str:
    """Add what a binary needs, and what that needs, to `libraries`; name what is missing, or return ""."""
    origin = str(binary.source.resolve().parent)
    folders = [
        folder.replace("$ORIGIN", origin).replace("${ORIGIN}", origin) for folder in binary.facts.search_path
    ]
    for soname in binary.facts.needed:
        missing = _collect_library(soname, finder, (*folders, *own), libraries)
        if missing:
            return missing
    return ""


def _collect_library(
    soname: str, finder: LibraryFinder, folders: Iterable[str], libraries: dict[str, _Binary]
) -> str:
    if soname in libraries or is_host_library(soname):
        return ""
    path = finder.find(soname, folders)
    if path is None:
        return soname
    data = path.read_bytes()
    facts = read_elf(data)
    assert facts is not None
    library = _Binary(f"lib/{soname}", path.resolve(), data, facts)
    libraries[soname] = library
    missing = _collect(library, finder, list(folders), libraries)
    if missing:
        del libraries[soname]
    return missing


def _stage_binaries(binaries: list[_Binary], interpreter: Interpreter, staging: Path) -> Iterable[LayerEntry]:
    groups: dict[str, list[Path]] = {}
    for number, binary in enumerate(binaries):
        target = staging / f"{number}-{Path(binary.path).name}"
        target.write_bytes(mask_prefix(strip_sections(binary.data), interpreter.prefix))
        groups.setdefault(binary.library_path, []).append(target)
        yield LayerEntry(binary.path, 0o755, target)
    _patch(groups)


def _patch(groups: Mapping[str, list[Path]]) -> None:
    program = find_patchelf()
    commands = []
    for library_path, files in groups.items():
        force = ("--force-rpath",) if library_path == "$ORIGIN/../lib" else ()
        half = -(-len(files) // 2)
        for part in (files[:half], files[half:]):
            if part:
                commands.append((program, *force, "--set-rpath", library_path, *map(str, part)))
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        list(pool.map(_run_patchelf, commands))


def _run_patchelf(command: tuple[str, ...]) -> None:
    ended = run_program(command)
    if ended.returncode:
        summary = f"patchelf could not rewrite a library path: {ended.stderr.strip()}"
        raise BackendFailedError(command, ended.returncode, ended.stderr, summary=summary)


def _make_links(interpreter: Interpreter, paths: Iterable[str]) -> Iterable[LayerEntry]:
    names = {"python", "python3", f"python{interpreter.short_version}"} - {interpreter.name}
    links = [LayerEntry(f"bin/{name}", 0o777, None, interpreter.name) for name in sorted(names)]
    if interpreter.platlibdir != "lib":
        links.append(LayerEntry(interpreter.platlibdir, 0o777, None, "lib"))
    if not interpreter.sees_site_packages:
        code = f"import os, site, sys; site.addsitedir(os.path.join(sys.prefix, *{interpreter.site_packages.split('/')!r}))\n"
        links.append(LayerEntry("lib/python3/dist-packages/site-packages.pth", 0o644, code.encode()))
    return links


def _rewrite(file: TreeFile, interpreter: Interpreter) -> tuple[LayerEntry, list[Relocation]]:
    data = file.source.read_bytes()
    prefix = interpreter.prefix
    rewritten, relocations = data, list[Relocation]()
    name = Path(file.path).name
    if name.startswith("_sysconfigdata"):
        rewritten = rewrite_variables(data.decode("utf-8"), prefix).encode()
    elif name.endswith(".pc"):
        rewritten = rewrite_pkgconfig(data.decode("utf-8"), prefix).encode()
    elif not is_shared_prefix(prefix) and prefix.encode() in data:
        rewritten = replace_prefix(data.decode("utf-8", "surrogateescape"), prefix, PLACEHOLDER).encode(
            "utf-8", "surrogateescape"
        )
        if rewritten != data:
            relocations.append(Relocation(file.path, RelocationMode.TEXT, PLACEHOLDER))
    mode = 0o755 if file.path.startswith("bin/") else 0o644
    return LayerEntry(file.path, mode, file.source if rewritten == data else rewritten), relocations


def _write_staged(entry: LayerEntry, staging: Path) -> Path | None:
    """Give a rewritten source a file of its own, which the compiler can read."""
    if not isinstance(entry.source, bytes):
        return None
    path = staging / f"text-{Path(entry.path).name}"
    path.write_bytes(entry.source)
    return path
