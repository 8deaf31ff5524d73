"""Manifests of layers that were parsed before (shell module).

An environment's take as long to parse as its links take to make. Knows files, and when one is as it was.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path

from wq_package.archive.index_text import parse_manifest
from wq_package.archive.layer import LayerManifest

_MEMBERS_KEPT = 30_000
"""Of how many files the parsed manifests are kept: some ten MB."""


class ManifestCache:
    """The manifests that were used last. Safe from several threads."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[int, int, LayerManifest]] = {}
        self._lock = threading.Lock()

    def load(self, path: Path) -> LayerManifest:
        """Parse a manifest, or give it again if its file is as it was.

        Raises:
            OSError: it cannot be read.
            TextError: it is no manifest.
        """
        status = path.stat()
        known = self._known.get(path)
        if known is not None and known[:2] == (status.st_size, status.st_mtime_ns):
            return known[2]
        manifest = parse_manifest(path.read_bytes())
        self.remember(path, manifest)
        return manifest

    def remember(self, path: Path, manifest: LayerManifest) -> None:
        """Keep what was parsed already."""
        with suppress(OSError), self._lock:
            status = path.stat()
            self._known.pop(path, None)
            self._known[path] = (status.st_size, status.st_mtime_ns, manifest)
            kept = sum(len(each.members) for _, _, each in self._known.values())
            while kept > _MEMBERS_KEPT and len(self._known) > 1:
                kept -= len(self._known.pop(next(iter(self._known)))[2].members)
