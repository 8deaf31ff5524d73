"""Joins an environment archive that is there with the user's own code as it is now (shell module).

Nothing is resolved, and none of the archive's layers is opened: they are copied as they stand. Knows nothing of where the
archive came from.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from wq_package.archive.layer import ArchiveIndex, IndexedLayer, LayerHeader, LayerKind, StoredLayer
from wq_package.archive.reader import ArchiveReader
from wq_package.archive.writer import write_archive
from wq_package.build.artefacts import Artefact
from wq_package.build.editable_metadata import make_metadata_recipes
from wq_package.build.environment import translated_errors
from wq_package.build.installed import find_running_distributions
from wq_package.build.interpreter import Interpreter, describe_running_interpreter
from wq_package.build.layer_cache import CachedLayer, LayerCache, default_cache_root
from wq_package.build.layer_maker import LayerMaker
from wq_package.build.lock_text import parse_lock, render_lock
from wq_package.build.options import BuildOptions, BuiltEnvironment, SilentReporter
from wq_package.build.recipes import Recipe, make_local_recipe
from wq_package.errors import BuildError
from wq_package.spec.environment import LocalSource, canonicalize_name

__all__ = ["extend_archive", "list_absent", "list_kept"]


def list_absent(index: ArchiveIndex, sources: Iterable[LocalSource]) -> tuple[LocalSource, ...]:
    """List the local sources that an archive has not from a distribution; what it has of local source, it has of another day."""
    names = {
        name
        for layer in index.layers
        if layer.header.kind is not LayerKind.LOCAL
        for name in layer.header.imports
    }
    return tuple(source for source in sources if source.import_name not in names)


def list_kept(index: ArchiveIndex, new: Iterable[LayerHeader]) -> tuple[IndexedLayer, ...]:
    """List the layers of an archive that stay when others join it: not local source, or its metadata, of another day."""
    names = {_find_subject(header) for header in new}
    return tuple(
        layer
        for layer in index.layers
        if layer.header.kind is not LayerKind.LOCAL or _find_subject(layer.header) not in names
    )


def _find_subject(header: LayerHeader) -> str:
    """Tell what a layer is of; metadata have a version in their name."""
    distribution, _, rest = header.name.partition("-")
    return f"{canonicalize_name(distribution)}-" if rest.endswith(".dist-info") else header.name


def extend_archive(
    base: Path, sources: Sequence[LocalSource], output: Path, options: BuildOptions | None = None
) -> BuiltEnvironment:
    """Write an archive that has everything of another one, and local sources; it appears complete, or not at all.

    Args:
        base: an environment archive for the minor release of Python that runs now.
        sources: what joins it, or replaces what it has of the same names.
        output: the archive file.
        options: where layers are kept, and whether they have bytecode.

    Raises:
        ArchiveError: the archive cannot be read.
        BuildError: a source cannot be read, or nothing can be written.
    """
    started = time.monotonic()
    options = options or BuildOptions()
    cache = LayerCache(options.cache or default_cache_root())
    interpreter = describe_running_interpreter()
    with ArchiveReader(base) as reader:
        index = reader.index
    _check_python(base, index, interpreter)
    options = replace(options, compression=index.compression)
    with translated_errors(cache), cache.use(), cache.make_staging() as staging:
        with LayerMaker(cache, interpreter, options, staging, SilentReporter()) as maker:
            made = maker.make_all(_make_recipes(sources, interpreter, bytecode=options.bytecode))
        written = write_archive(
            _iter_layers(index, base, made.values()),
            output.absolute(),
            make_lock=lambda layers: _render_lock(layers, index.lock),
            python=index.python,
            verified=True,
        )
    kept = len(written.layers) - len(made)
    seconds = time.monotonic() - started
    return BuiltEnvironment(output, written.environment, written, maker.built, maker.reused + kept, seconds)


def _check_python(base: Path, index: ArchiveIndex, interpreter: Interpreter) -> None:
    minor = ".".join(index.python.split(".")[:2])
    if minor != interpreter.short_version:
        raise BuildError(
            f"`{base}` has Python {minor}, and code from here is for Python {interpreter.short_version}",
            hint=f"make it with Python {interpreter.short_version}",
        )


def _make_recipes(
    sources: Sequence[LocalSource], interpreter: Interpreter, *, bytecode: bool
) -> list[Recipe]:
    installed = find_running_distributions().values()
    return [
        *(make_local_recipe(source, interpreter, bytecode=bytecode) for source in sources),
        *make_metadata_recipes(sources, installed, interpreter),
    ]


def _iter_layers(
    index: ArchiveIndex, base: Path, made: Iterable[CachedLayer]
) -> Iterator[tuple[StoredLayer | IndexedLayer, Path]]:
    new = sorted(made, key=lambda layer: layer.stored.header.name)
    yield from ((layer, base) for layer in list_kept(index, (layer.stored.header for layer in new)))
    yield from ((layer.stored, layer.path) for layer in new)


def _render_lock(layers: Sequence[StoredLayer], lock: str) -> str:
    known: dict[str, Artefact] = parse_lock(lock, "the archive's lock").known if lock else {}
    return render_lock(layers, known)
