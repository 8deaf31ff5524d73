"""Build an environment archive from a spec (shell module).

The order of a build: choose the interpreter; find every pin installed, cached or on the index; let a resolver complete
pins that are not complete; make the missing layers; join all of them. Nothing is solved and nothing is asked of a network
when every pin is exact, complete, and installed or cached.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from wq_package.archive.layer import ArchiveIndex, Compression, LayerKind, StoredLayer
from wq_package.archive.writer import write_archive
from wq_package.build.artefacts import Artefact
from wq_package.build.base import EnvironmentBase, is_conda_spec
from wq_package.build.installed import find_distributions, find_running_distributions
from wq_package.build.interpreter import Interpreter, check_wanted, find_interpreter, satisfies_version
from wq_package.build.layer_cache import CachedLayer, LayerCache, default_cache_root
from wq_package.build.layer_maker import LayerMaker
from wq_package.build.lock_text import Lock, check_lock, parse_lock, render_lock
from wq_package.build.noted import is_noted, read_noted
from wq_package.build.options import (
    BuildOptions,
    BuiltEnvironment,
    Reporter,
    SilentReporter,
    find_compression,
)
from wq_package.build.recipes import Recipe, make_interpreter_recipe, make_launcher_recipe, make_local_recipe
from wq_package.build.wheels import WheelSource, make_access
from wq_package.errors import BuildError, ChannelUnreachableError, DiskFullError, InvalidSpecError
from wq_package.spec.environment import EnvironmentSpec, WheelRequirement

__all__ = ["build_environment", "load_lock", "lock_environment", "translated_errors"]

_LOG = logging.getLogger(__name__)


def build_environment(
    spec: EnvironmentSpec, output: Path, options: BuildOptions | None = None, reporter: Reporter | None = None
) -> BuiltEnvironment:
    """Build the archive of an environment; it appears at `output` complete, or not at all.

    Args:
        spec: what is to be in it. Wheels without an exact version are resolved first.
        output: the archive file; replaced if it is there.
        options: how to build it.
        reporter: is told how it goes on.

    Raises:
        BuildError: in one of its kinds, with a hint.
    """
    options = _complete(options or BuildOptions(), output)
    started = time.monotonic()
    _check_output(output)
    with (
        _freed_meanwhile(output),
        _prepare(spec, options, reporter or SilentReporter()) as build,
    ):
        index = _join(_Layers(build), output, build)
    seconds = time.monotonic() - started
    return BuiltEnvironment(output, index.environment, index, build.maker.built, build.maker.reused, seconds)


@contextmanager
def _freed_meanwhile(output: Path) -> Iterator[None]:
    """Keep a file that is about to be replaced until all is done, and let nobody wait while it is freed.

    That takes nearly as long as writing it, and holds up whatever else happens on its disk.
    """
    before = -1
    with suppress(OSError):
        before = os.open(output, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield
    finally:
        if before >= 0:
            _close_meanwhile(before)


def _close_meanwhile(file: int) -> None:
    try:
        threading.Thread(target=os.close, args=(file,), daemon=True).start()
    except RuntimeError:  # no more threads may be had
        os.close(file)


def lock_environment(
    spec: EnvironmentSpec, options: BuildOptions | None = None, reporter: Reporter | None = None
) -> str:
    """Find out exactly what a build of a spec would pack; returns the text of the lock.

    The layers are made on the way, and kept: a build that follows only joins them.

    Args:
        spec: what is to be locked.
        options: those of the builds to come.
        reporter: is told how it goes on.

    Raises:
        BuildError: in one of its kinds, with a hint.
    """
    options = _complete(options or BuildOptions(), Path())
    with _prepare(spec, options, reporter or SilentReporter()) as build:
        layers = _Layers(build)
        stored = [layer.stored for layer in layers]
        return render_lock(stored, layers.find_artefacts(stored, ask=True), names_folders=True)


def load_lock(path: Path) -> str:
    """Read the text of a lock file.

    Raises:
        InvalidSpecError: it cannot be read, or is not a lock.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        issue = f"it cannot be read ({getattr(error, 'strerror', None) or error})"
        raise InvalidSpecError(str(path), (issue,), hint="write a lock with `wq-package lock`") from error
    parse_lock(text, str(path))
    return text


@contextmanager
def _prepare(spec: EnvironmentSpec, options: BuildOptions, reporter: Reporter) -> Iterator[_Build]:
    """Open the cache and choose the interpreter; the cache is kept as it is while the build runs."""
    lock = parse_lock(options.lock, "the lock") if options.lock else None
    cache = LayerCache(options.cache or default_cache_root())
    wanted = _take_python(spec, options.python) if options.python else spec
    if lock:
        wanted = _take_locked(wanted, lock, options.python)
    with translated_errors(cache), cache.use(), cache.make_staging() as staging:
        wanted, base = _prepare_base(wanted, options, cache, reporter)
        with LayerMaker(cache, base.interpreter, options, staging, reporter) as maker:
            yield _Build(wanted, cache, base, options, staging, reporter, maker, lock)


def _take_python(spec: EnvironmentSpec, python: str) -> EnvironmentSpec:
    check_wanted(python)
    return replace(spec, python=python, conda=tuple(each for each in spec.conda if each.name != "python"))


def _take_locked(spec: EnvironmentSpec, lock: Lock, python: str) -> EnvironmentSpec:
    if python and lock.python and not satisfies_version(lock.python, python):
        hint = "leave --python out, or write another lock with `wq-package lock --python`"
        raise BuildError(f"the lock has Python {lock.python}, and --python asks for {python}", hint=hint)
    channels = spec.channels if lock.conda else ()
    return replace(spec, python=lock.python or spec.python, conda=lock.conda, channels=channels)


def _prepare_base(
    spec: EnvironmentSpec, options: BuildOptions, cache: LayerCache, reporter: Reporter
) -> tuple[EnvironmentSpec, EnvironmentBase]:
    """Choose the Python: that of the spec's conda packages, or one of this machine.

    Returns:
        The spec as it can be had, and what the environment stands on.
    """
    if not is_conda_spec(spec):
        return spec, _copy_interpreter(spec, options)
    if options.platform:
        hint = "build on such a machine, or take the packages from the Python package index: list them under `pip:`"
        raise BuildError("conda packages are built for machines like this one only: no --platform", hint=hint)
    from wq_package.build.conda.conda_base import prepare_conda_base  # most builds need none of it

    try:
        return spec, prepare_conda_base(spec, options, cache.root / "conda", reporter)
    except ChannelUnreachableError as error:
        if not options.allow_pypi or options.lock:
            raise
        _LOG.warning(
            "%s: the Python package index has to do for %s", error, ", ".join(error.wheels) or "Python"
        )
        wheels = (*map(WheelRequirement, error.wheels), *spec.wheels)
        spec = replace(spec, channels=(), conda=(), wheels=wheels)
        return spec, _copy_interpreter(spec, options)


def _find_interpreter(version: str | None, options: BuildOptions) -> Interpreter:
    if options.platform:
        # Most builds are for machines like this one.
        from wq_package.build.foreign import find_foreign_interpreter
        from wq_package.build.platforms import parse_platform

        platform = parse_platform(options.platform)
        if platform.machine != os.uname().machine:
            return find_foreign_interpreter(version, options.interpreter, platform)
    return find_interpreter(version, options.interpreter)


def _copy_interpreter(spec: EnvironmentSpec, options: BuildOptions) -> EnvironmentBase:
    interpreter = _find_interpreter(spec.python, options)
    return EnvironmentBase(interpreter, make_interpreter_recipe(interpreter, bytecode=options.bytecode))


_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def translated_errors(cache: LayerCache) -> Iterator[None]:
    """Turn what goes wrong with files and disks into errors that say where and what to do."""
    try:
        yield
    except OSError as error:
        where = f"`{error.filename}`" if error.filename else f"the layer cache `{cache.root}`"
        if error.errno in _FULL:
            hint = "free some space, or set WQ_PACKAGE_CACHE to another disk"
            raise DiskFullError(f"there is no room left for {where} ({error.strerror})", hint=hint) from error
        hint = "check its owner and mode, or set WQ_PACKAGE_CACHE to a folder of your own"
        raise BuildError(f"{where} cannot be used ({error.strerror})", hint=hint) from error


def _complete(options: BuildOptions, output: Path) -> BuildOptions:
    if options.compression is not None:
        return options
    try:
        return replace(options, compression=find_compression(output))
    except BuildError:
        return replace(options, compression=Compression.ZSTD)


def _check_output(output: Path) -> None:
    if output.is_dir():
        raise BuildError(f"`{output}` is a folder", hint="name a file, for example `-o env.tar.zst`")
    if not output.absolute().parent.is_dir():
        raise BuildError(
            f"the folder `{output.absolute().parent}` does not exist",
            hint="make it first, or name another one",
        )


@dataclass(frozen=True, slots=True)
class _Build:
    """What all steps of one build need."""

    spec: EnvironmentSpec
    cache: LayerCache
    base: EnvironmentBase
    options: BuildOptions
    staging: Path
    reporter: Reporter
    maker: LayerMaker
    lock: Lock | None


class _Layers:
    """The layers of an environment, in order; those of local sources are made while the others are already taken."""

    def __init__(self, build: _Build) -> None:
        self._build = build
        spec = build.spec
        interpreter, bytecode = build.base.interpreter, build.options.bytecode
        local = [make_local_recipe(source, interpreter, bytecode=bytecode) for source in sorted(spec.local)]
        self._own = build.maker.begin([*local, *_make_metadata_recipes(build), *_make_data_recipes(build)])
        base = [build.base.python, make_launcher_recipe(interpreter), *build.base.others]
        wanted = build.lock.pins if build.lock else [requirement.text for requirement in spec.wheels]
        source = WheelSource(build.cache, build.base, build.options, build.staging, build.maker)
        self._wheels, made = source.provide(wanted, base)
        self._fetched = source.fetched
        self._finished: list[CachedLayer] = []
        self._base = [made[recipe.key] for recipe in base]
        _check_overlaps(self._wheels, build.cache)

    def __iter__(self) -> Iterator[CachedLayer]:
        yield from (*self._base, *self._wheels)
        yield from self._finish()

    def _finish(self) -> list[CachedLayer]:
        build = self._build
        with translated_errors(build.cache):
            local = self._finished = [future.result() for future in self._own.values()]
            if build.base.owners:
                from wq_package.build.conda.conflicts import check_conflicts

                check_conflicts((*self._wheels, *local), build.base.owners, build.cache)
        if build.lock:
            check_lock([layer.stored for layer in (*self._base, *self._wheels, *local)], build.lock)
        return local

    def find_artefacts(self, layers: Sequence[StoredLayer], *, ask: bool) -> dict[str, Artefact]:
        """Tell which files the layers came from, by the layer's digest.

        An archive has in its lock what follows from where its layers come from: of what is installed here, no more
        than its installer left, even if an index was asked about it some other day.

        Args:
            layers: all of them.
            ask: whether an index is asked about what is installed here as well.
        """
        build = self._build
        if build.lock:
            return build.lock.known
        conda = build.base.artefacts
        known = {
            each.digest: conda[each.header.name] for each in layers if each.header.kind is LayerKind.CONDA
        }
        known |= {each.stored.digest: each.artefact for each in (*self._wheels, *self._finished)}
        wheels = [each for each in self._wheels if ask or each.stored.digest in self._fetched]
        known |= read_noted(wheels, build.cache)
        unknown = [each for each in wheels if build.options.fresh or _is_unknown(known[each.stored.digest])]
        missing = unknown if ask else [each for each in unknown if not is_noted(each, build.cache)]
        if missing:
            from wq_package.build.lock_sources import ask_index  # most builds ask nobody

            access = make_access(build.options)
            known |= ask_index(missing, build.cache, build.base.interpreter.program, build.staging, access)
        return known

    def render_lock(self, layers: Sequence[StoredLayer]) -> str:
        """Write the lock that goes into the archive."""
        _check_platform(layers, self._build.options)
        with translated_errors(self._build.cache):
            artefacts = self.find_artefacts(layers, ask=False)
        return render_lock(layers, artefacts)


def _is_unknown(artefact: Artefact) -> bool:
    """Tell whether an index may know more of a file; what has an address of its own is on none."""
    return not artefact.sha256 and not artefact.requirement


def _check_platform(layers: Sequence[StoredLayer], options: BuildOptions) -> None:
    """Refuse what needs a newer C library than the platform that was asked for has."""
    if not options.platform:
        return
    from wq_package.build.platforms import parse_platform

    glibc = parse_platform(options.platform).glibc
    newer = [each.header for each in layers if glibc and each.header.glibc and each.header.glibc > glibc]
    if glibc and newer:
        named = ", ".join(f"`{each.name}` {'.'.join(map(str, each.glibc or ()))}" for each in newer[:3])
        hint = "name an older Python build with --interpreter, or a newer platform"
        raise BuildError(
            f"the platform `{options.platform}` has glibc {glibc[0]}.{glibc[1]}, and more is needed by {named}",
            hint=hint,
        )


def _make_metadata_recipes(build: _Build) -> list[Recipe]:
    local, folders = build.spec.local, build.options.site_folders
    if not local:
        return []
    from wq_package.build.editable_metadata import make_metadata_recipes  # not every program has local source

    installed = find_distributions(folders) if folders else find_running_distributions()
    return make_metadata_recipes(local, installed.values(), build.base.interpreter)


def _make_data_recipes(build: _Build) -> list[Recipe]:
    spec = build.spec
    if not spec.data and not spec.variables:
        return []
    from wq_package.build.data import make_data_recipe, make_variables_recipe  # most builds need none of it

    offline = build.options.offline
    recipes = [make_data_recipe(source, build.staging, offline=offline) for source in sorted(spec.data)]
    return [*recipes, make_variables_recipe(spec.variables)] if spec.variables else recipes


def _check_overlaps(wheels: Sequence[CachedLayer], cache: LayerCache) -> None:
    if len(wheels) > 1:
        from wq_package.build.overlaps import check_overlaps  # noted in the cache once it was found right

        check_overlaps(wheels, cache)


def _join(layers: _Layers, output: Path, build: _Build) -> ArchiveIndex:
    build.reporter.start("writing the archive", None)
    index = write_archive(
        ((layer.stored, layer.path) for layer in layers),
        output.absolute(),
        make_lock=layers.render_lock,
        python=build.base.interpreter.version,
        verified=True,
    )
    build.reporter.done()
    return index
