"""Make the conda package `python` from a Python of this machine.

It is laid out as conda's own: libraries beside it are found relative to the program, texts that name the prefix carry the
placeholder. A Python that was built here has a short prefix compiled into it, which no placeholder can replace: Python
finds its folder by itself, so that path is overwritten by one that exists nowhere.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from channel_package import PLACEHOLDER, Package, PackageFile, with_build

from wq_package.build.elf import ElfFacts, read_elf, strip_sections
from wq_package.build.interpreter import Interpreter, describe_interpreter
from wq_package.build.interpreter_tree import iter_interpreter_files
from wq_package.build.libraries import LibraryFinder, is_host_library, load_loader_cache
from wq_package.build.patchelf import find_patchelf
from wq_package.build.sysconfig_text import is_shared_prefix, mask_prefix, replace_prefix

# Wheels leave these to their host; conda-forge has them in packages of their own.
_CPLUSPLUS = ("libstdc++.so.6", "libgcc_s.so.1")
_MAX_TEXT = 1 << 20


@dataclass(frozen=True, slots=True)
class _Binary:
    path: str
    data: bytes
    facts: ElfFacts


def make_python_package(executable: str, scratch: Path) -> Package:
    """Make the package of the base interpreter behind a program."""
    interpreter = describe_interpreter(executable)
    scratch.mkdir(parents=True)
    files: list[PackageFile] = []
    binaries: list[_Binary] = []
    for tree_file in iter_interpreter_files(interpreter):
        data = tree_file.source.read_bytes()
        facts = read_elf(data)
        if facts is None:
            files.append(_make_text(tree_file.path, data, tree_file.source, interpreter.prefix))
        else:
            binaries.append(_Binary(tree_file.path, data, facts))
    binaries += _gather_libraries(binaries, interpreter)
    with ThreadPoolExecutor(2) as threads:
        files += threads.map(lambda each: _make_binary(each, interpreter.prefix, scratch), binaries)
    files += [PackageFile(path, None, link_target=target) for path, target in _iter_links(interpreter)]
    if not interpreter.sees_site_packages:
        # Debian's Python looks into `dist-packages`; every conda package goes to `site-packages`.
        names = interpreter.site_packages.split("/")
        code = f"import os, site, sys; site.addsitedir(os.path.join(sys.prefix, *{names!r}))\n"
        files.append(PackageFile("lib/python3/dist-packages/site-packages.pth", code.encode()))
    package = Package(
        name="python",
        version=interpreter.version,
        build="",
        files=tuple(files),
        summary="Python of the machine on which this channel was made",
        license="PSF-2.0",
    )
    made = with_build(package, "")
    return replace(made, build=f"{made.build}_cpython")


def _iter_links(interpreter: Interpreter) -> Iterator[tuple[str, str]]:
    yield "bin/python", interpreter.name
    yield f"bin/python{interpreter.version.split('.')[0]}", interpreter.name
    if interpreter.platlibdir != "lib":
        yield interpreter.platlibdir, "lib"


def _make_text(path: str, data: bytes, source: Path, prefix: str) -> PackageFile:
    executable = bool(source.stat().st_mode & 0o100)
    if prefix.encode() not in data or len(data) > _MAX_TEXT or is_shared_prefix(prefix):
        return PackageFile(path, data, executable=executable)
    changed = replace_prefix(data.decode("utf-8", "surrogateescape"), prefix, PLACEHOLDER)
    return PackageFile(
        path, changed.encode("utf-8", "surrogateescape"), executable=executable, prefix_mode="text"
    )


def _gather_libraries(binaries: Iterable[_Binary], interpreter: Interpreter) -> list[_Binary]:
    """Find the shared libraries that are needed and that a bare machine lacks."""
    waiting = [soname for each in binaries for soname in each.facts.needed] + list(_CPLUSPLUS)
    machine = next(iter(binaries)).facts.machine
    finder = LibraryFinder(machine, load_loader_cache())
    folders = [interpreter.lib_folder, f"{interpreter.prefix}/lib"]
    found: dict[str, _Binary] = {}
    while waiting:
        soname = waiting.pop()
        path = None if soname in found or is_host_library(soname) else finder.find(soname, folders)
        if path is None:
            continue
        data = path.read_bytes()
        facts = read_elf(data)
        assert facts is not None
        found[soname] = _Binary(f"lib/{soname}", data, facts)
        waiting += facts.needed
    return [found[soname] for soname in sorted(found)]


def _make_binary(binary: _Binary, prefix: str, scratch: Path) -> PackageFile:
    depth = len(PurePosixPath(binary.path).parts) - 1
    library = (
        "$ORIGIN/../lib" if binary.path.startswith("bin/") else "/".join(["$ORIGIN", *[".."] * (depth - 1)])
    )
    file = scratch / binary.path.replace("/", "_")
    file.write_bytes(strip_sections(binary.data))
    # RPATH, not RUNPATH: it also holds for libraries that extension modules load later.
    subprocess.run([find_patchelf(), "--force-rpath", "--set-rpath", library, str(file)], check=True)
    return PackageFile(binary.path, mask_prefix(file.read_bytes(), prefix), executable=True)
