"""Finds or builds the archive of a spec in the user's cache (shell module).

Knows `build` and the archive's index; knows nothing of apps or tasks. An archive stands under the digest of its spec, of the
installed distributions' records and of the metadata of editable installs, so that a second run of an unchanged program reads one index and builds nothing,
and a changed installation is noticed.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import logging
import os
import platform
import secrets
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import assert_never

import cloudpickle

from wq_package import __version__
from wq_package.archive.launcher import make_launcher_entries
from wq_package.archive.layer import ArchiveIndex, Compression, LayerKind
from wq_package.archive.reader import ArchiveReader
from wq_package.build import (
    BuildOptions,
    BuiltEnvironment,
    build_environment,
    default_cache_root,
    load_lock,
)
from wq_package.build.editable_metadata import make_metadata_recipes
from wq_package.build.extension import extend_archive, list_absent
from wq_package.build.installed import find_running_distributions
from wq_package.build.interpreter import describe_running_interpreter
from wq_package.build.kept_archives import KeptArchives
from wq_package.build.lock_text import parse_lock
from wq_package.errors import ArchiveError, BuildError, hide_credentials
from wq_package.executor.drift import compare_versions, find_own_versions
from wq_package.executor.given import Given, GivenKind, find_given
from wq_package.executor.packed import Built, PackedLayer, digest_sources, digest_spec
from wq_package.spec.environment import EnvironmentSpec, LocalSource, WheelRequirement
from wq_package.spec.files import digest_local_source, load_spec

__all__ = ["ArchiveBuilder", "check_versions", "list_contents", "name_archive", "read_archive"]

logger = logging.getLogger(__name__)

_LOADER = "cloudpickle"
"""What loads an app's function in its environment."""
_OWN = LayerKind.LOCAL.value
"""Layers of the user's own code, whose versions say what is in them and not which release it is."""
_ENDINGS = {Compression.ZSTD: ".tar.zst", Compression.GZIP: ".tar.gz"}


class ArchiveBuilder:
    """Keeps archives in `<cache>/environments/`."""

    def __init__(self, cache: Path | None = None) -> None:
        self._kept = KeptArchives(cache or default_cache_root())
        self._folder = self._kept.folder
        self._options = BuildOptions() if cache is None else BuildOptions(cache=cache)

    def close(self) -> None:
        """Need none of the archives any more: they may be removed."""
        self._kept.close()

    def build(self, spec: EnvironmentSpec) -> Built:
        """Build a spec's archive, or find it.

        Raises:
            BuildError: it cannot be built.
        """
        path = self._folder / f"{name_archive(spec)}.tar.zst"
        return self._find(path) or self._build(spec, path)

    def _find(self, path: Path) -> Built | None:
        if not self._kept.hold(path):
            return None
        try:
            return read_archive(path)
        except ArchiveError as error:
            logger.warning("building `%s` again: %s", path, error)
            return None

    def _build(self, spec: EnvironmentSpec, path: Path) -> Built:
        logger.info(
            "building an environment, because none is kept that has just this: %s", list_contents(spec)
        )
        return self._keep(lambda: _describe_built(build_environment(spec, path, self._options)))

    def _keep(self, build: Callable[[], Built]) -> Built:
        """Build an archive, and make room for it."""
        self._kept.make_folder()
        built = build()
        while not self._kept.hold(built.path):  # somebody has emptied the cache in this moment
            built = build()
        self._kept.prune()
        return built

    def find_given(self, given: str) -> Built:
        """Turn what the user named into an archive.

        Raises:
            SpecError: it names nothing that can be an environment.
            ArchiveError: the archive is damaged.
            BuildError: it cannot be built, or apps cannot run in it.
        """
        built = self._make(find_given(given, self._folder, os.environ))
        if not any(layer.name == _LOADER for layer in built.layers):
            raise BuildError(
                f"apps cannot run in `{given}`: it has no {_LOADER}, which loads their functions there",
                hint=f"add {_LOADER} to what it was made from, and make it again",
            )
        check_versions(given, built)
        return built

    def extend(self, built: Built, sources: Sequence[LocalSource]) -> Built:
        """Find or make an archive that has local source on top of another one.

        What the archive has as an installed distribution stays as it is there; local source of another day is replaced.

        Raises:
            ArchiveError: the archive is damaged.
            BuildError: the source cannot be packed.
        """
        with ArchiveReader(built.path) as reader:
            index = reader.index
        absent = list_absent(index, sources)
        if not absent:
            return built
        stamps = (built.digest, _stamp_python(), _stamp_makers(), *_stamp_metadata(absent))
        name = digest_sources(" ".join(stamps), absent)
        path = self._folder / f"{name[:32]}{_ENDINGS[index.compression]}"
        return self._find(path) or self._extend(built, absent, path)

    def _extend(self, built: Built, sources: Sequence[LocalSource], path: Path) -> Built:
        names = ", ".join(source.import_name for source in sources)
        logger.info("adding your modules to environment %s: %s", built.digest[:12], names)
        return self._keep(lambda: _describe_built(extend_archive(built.path, sources, path, self._options)))

    def identify_given(self, given: str) -> str:
        """Name what the user named by what is in it, without building it.

        Raises:
            SpecError: it names nothing that can be an environment.
            ArchiveError: the archive is damaged.
            BuildError: the folder is no environment.
        """
        found = find_given(given, self._folder, os.environ)
        match found.kind:
            case GivenKind.ARCHIVE:
                return read_archive(found.path).digest
            case GivenKind.SPEC:
                return digest_spec(load_spec(found.path))
            case GivenKind.LOCK:
                return hashlib.sha256(load_lock(found.path).encode()).hexdigest()
            case GivenKind.PREFIX:
                from wq_package.build.prefix import read_prefix  # seldom needed

                return digest_spec(read_prefix(found.path).spec)
            case _:
                assert_never(found.kind)

    def _make(self, given: Given) -> Built:
        match given.kind:
            case GivenKind.ARCHIVE:
                if given.path.parent == self._folder:
                    self._kept.hold(given.path)
                return read_archive(given.path)
            case GivenKind.SPEC:
                return self._build_given(given.path, _add_loader(load_spec(given.path)))
            case GivenKind.LOCK:
                options = replace(self._options, lock=_load_whole_lock(given.path))
                return self._build_by_content(
                    given.path, lambda output: build_environment(EnvironmentSpec(), output, options)
                )
            case GivenKind.PREFIX:
                return self._build_by_content(
                    given.path, lambda output: self._build_prefix(given.path, output)
                )
            case _:
                assert_never(given.kind)

    def _build_given(self, given: Path, spec: EnvironmentSpec) -> Built:
        """Build a spec; one whose data may change is asked anew each time, and named by what came of it."""
        if all(source.is_pinned for source in spec.data):
            return self.build(spec)
        return self._build_by_content(given, lambda output: build_environment(spec, output, self._options))

    def _build_prefix(self, prefix: Path, output: Path) -> BuiltEnvironment:
        from wq_package.build.prefix import build_prefix  # seldom needed

        source = Path(cloudpickle.__file__).parent
        loader = LocalSource(_LOADER, str(source), digest_local_source(source))
        return build_prefix(prefix, output, self._options, fallback=(loader,))

    def _build_by_content(self, given: Path, build: Callable[[Path], BuiltEnvironment]) -> Built:
        """Build, and name the archive by what is in it: another program may read the last one."""
        logger.info("packing `%s`", given)
        return self._keep(lambda: self._name_by_content(build))

    def _name_by_content(self, build: Callable[[Path], BuiltEnvironment]) -> Built:
        temporary = self._folder / f".{secrets.token_hex(8)}.tar.zst"
        try:
            built = build(temporary)
            path = temporary.replace(self._folder / f"{built.digest[:32]}.tar.zst")
        finally:
            with suppress(FileNotFoundError):
                temporary.unlink()
        return _describe_built(replace(built, path=path))


def check_versions(given: str, built: Built) -> None:
    """Compare what the user named with this process; refuse a Python that apps from here cannot run in.

    Raises:
        BuildError: its Python is of another minor release.
    """
    here_too = find_own_versions()
    there = {layer.name: layer.version for layer in built.layers if layer.kind != _OWN}
    if _LOADER not in there and any(layer.name == _LOADER for layer in built.layers):
        there[_LOADER] = here_too[_LOADER]  # a copy of this program's
    table = compare_versions(here_too, there)
    if not table:
        return
    here, other = (version.split(".")[:2] for version in (platform.python_version(), there.get("python", "")))
    if here != other:
        raise BuildError(
            f"apps of this program cannot run in `{given}`:\n{table}",
            hint=f"make it with Python {'.'.join(here)}, or run the program with Python {'.'.join(other)}",
        )
    logger.warning("`%s` differs from this program:\n%s", given, table)


def _load_whole_lock(path: Path) -> str:
    text = load_lock(path)
    own = (LayerKind.LOCAL.value, LayerKind.DATA.value)
    names = [each.name for each in parse_lock(text, str(path)).artefacts if each.kind in own]
    if names:
        raise BuildError(
            f"`{path}` alone is not enough to build from: where {', '.join(f'`{name}`' for name in names)} comes from, "
            "only the spec says",
            hint="name the spec, or the archive that `wq-package build SPEC --locked LOCK` makes",
        )
    return text


def _add_loader(spec: EnvironmentSpec) -> EnvironmentSpec:
    known = {requirement.canonical_name for requirement in spec.wheels} | {item.name for item in spec.conda}
    if _LOADER in known:
        return spec
    return replace(spec, wheels=(*spec.wheels, WheelRequirement(_LOADER)))


def list_contents(spec: EnvironmentSpec) -> str:
    """Say in a line what is in an environment, for logs."""
    names = sorted([*(each.text for each in spec.conda), *(each.text for each in spec.wheels)])
    names += [f"your module {source.import_name}" for source in sorted(spec.local)]
    return hide_credentials(", ".join([f"Python {spec.python or platform.python_version()}", *names]))


def name_archive(spec: EnvironmentSpec) -> str:
    """Name the archive of a spec by everything here that decides what is in it."""
    lines = [digest_spec(spec), _stamp_python(), _stamp_makers()]
    lines += [_stamp(requirement.canonical_name) for requirement in sorted(spec.wheels)]
    lines += _stamp_metadata(spec.local)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]


def _stamp_python() -> str:
    return f"{sys.version}\n{Path(sys.base_prefix).resolve()}"


@functools.cache
def _stamp_makers() -> str:
    """Tell one release of what makes archives from another: an archive has scripts of ours in it."""
    entries = make_launcher_entries(f"{sys.version_info[0]}.{sys.version_info[1]}")
    lines = [f"{entry.path} {entry.mode} {entry.link_target} {entry.source!r}" for entry in entries]
    return hashlib.sha256("\n".join([__version__, *lines]).encode()).hexdigest()


def _stamp_metadata(sources: Sequence[LocalSource]) -> list[str]:
    """Tell one state of the metadata and commands that travel with local source from another."""
    if not sources:
        return []
    installed = find_running_distributions().values()
    return [
        recipe.key for recipe in make_metadata_recipes(sources, installed, describe_running_interpreter())
    ]


def _stamp(name: str) -> str:
    """Tell one state of an installed distribution from another without reading its files."""
    try:
        folder = importlib.metadata.distribution(name)._path  # type: ignore[attr-defined]
        status = (Path(str(folder)) / "RECORD").stat()  # an installer writes it anew
    except (importlib.metadata.PackageNotFoundError, AttributeError, OSError):
        return f"{name} unknown"
    return f"{name} {status.st_mtime_ns} {status.st_size}"


def read_archive(path: Path) -> Built:
    """Read what is in an archive.

    Raises:
        ArchiveError: there is none, or it is damaged.
    """
    with ArchiveReader(path) as reader:
        return _describe(path, reader.index, 0, len(reader.index.layers))


def _describe_built(built: BuiltEnvironment) -> Built:
    return _describe(built.path, built.index, built.layers_built, built.layers_reused)


def _describe(path: Path, index: ArchiveIndex, built: int, reused: int) -> Built:
    layers = tuple(
        PackedLayer(
            layer.header.kind.value, layer.header.name, layer.header.version, layer.size, layer.header.build
        )
        for layer in index.layers
    )
    return Built(path, index.environment, layers, built, reused, path.stat().st_size)
