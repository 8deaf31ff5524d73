"""Carries recipes out: cache first, else plan, compile, compress (shell module).

Knows threads and the cache. Knows nothing of what a recipe makes or of the archive.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from wq_package.archive.layer import Compression, LayerEntry, StoredLayer
from wq_package.archive.writer import write_layer
from wq_package.build.bytecode import Compiler, name_bytecode
from wq_package.build.interpreter import Interpreter
from wq_package.build.layer_cache import CachedLayer, LayerCache
from wq_package.build.layer_plan import LayerPlan
from wq_package.build.options import BuildOptions, Reporter
from wq_package.build.recipes import Recipe

__all__ = ["LayerMaker"]

_PROCESSORS = max(1, len(os.sched_getaffinity(0)))


class LayerMaker:
    """Makes the layers of one build, several at once.

    Attributes:
        built: how many layers had to be made so far.
        reused: how many were there.
    """

    def __init__(
        self,
        cache: LayerCache,
        interpreter: Interpreter,
        options: BuildOptions,
        staging: Path,
        reporter: Reporter,
    ) -> None:
        self.built = 0
        self.reused = 0
        self._cache = cache
        self._interpreter = interpreter
        self._options = options
        self._compression = options.compression or Compression.ZSTD
        self._staging = staging
        self._reporter = reporter
        self._compiler = Compiler(interpreter, _PROCESSORS)
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(_PROCESSORS, "wq-package-layer")
        self._begun = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._compiler.close()

    def find(self, key: str) -> CachedLayer | None:
        """Find a layer that is there already."""
        found = self._cache.find(key, self._compression)
        if found is not None:
            self._count(built=False)
        return found

    def begin(self, recipes: Iterable[Recipe]) -> Mapping[str, Future[CachedLayer]]:
        """Begin to make layers, the heaviest first; returns them by key."""
        ordered = sorted(recipes, key=lambda recipe: -recipe.weight)
        self._begun += len(ordered)
        return {recipe.key: self._pool.submit(self.make, recipe) for recipe in ordered}

    def make_all(self, recipes: Iterable[Recipe]) -> Mapping[str, CachedLayer]:
        """Make layers; returns them by key.

        An exception of one recipe ends all: nothing is begun after it.
        """
        futures = self.begin(recipes)
        self._reporter.start("making layers", self._begun)
        try:
            return {key: future.result() for key, future in futures.items()}
        except BaseException:
            self._pool.shutdown(cancel_futures=True)
            raise
        finally:
            self._reporter.done()

    def make(self, recipe: Recipe) -> CachedLayer:
        """Make one layer, unless another builder does so meanwhile."""
        with self._cache.lock(recipe.key):
            found = self.find(recipe.key)
            if found is not None:
                return found
            other = self._cache.find_any(recipe.key)
            made = self._make_new(recipe) if other is None else self._recompress(recipe, other)
        self._count(built=True)
        return made

    def _recompress(self, recipe: Recipe, other: CachedLayer) -> CachedLayer:
        from wq_package.build.recompress import recompress_layer

        return self._cache.add(
            recipe.key,
            lambda sink: recompress_layer(other.stored, other.path, sink, self._compression),
            requires=other.requires,
            watched=other.watched,
            artefact=other.artefact,
        )

    def _make_new(self, recipe: Recipe) -> CachedLayer:
        folder = self._staging / recipe.key
        folder.mkdir(exist_ok=True)
        plan = recipe.plan(folder)
        made = self._cache.add(
            recipe.key,
            lambda sink: self._write(plan, sink),
            requires=plan.requires,
            watched=plan.watched,
            artefact=plan.artefact,
        )
        with suppress(OSError):  # most recipes put nothing there
            folder.rmdir()
        return made

    def _count(self, *, built: bool) -> None:
        with self._lock:
            self.built += built
            self.reused += not built
            self._reporter.advance(1)

    def _write(self, plan: LayerPlan, sink: BinaryIO) -> StoredLayer:
        entries = [*plan.entries, *(self._compile(plan) if self._options.bytecode else ())]
        return write_layer(plan.header, entries, plan.relocations, sink, self._compression)

    def _compile(self, plan: LayerPlan) -> Iterable[LayerEntry]:
        sources = [(str(file), path) for file, path in plan.sources]
        for (_, path), pyc in zip(sources, self._compiler.compile_all(sources), strict=True):
            if pyc:
                yield LayerEntry(name_bytecode(path, self._interpreter.cache_tag), 0o644, pyc)
