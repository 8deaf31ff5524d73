"""Checks every byte of an archive without unpacking it, and starts an environment to see that it works (shell module).

Reads an archive as a stranger would: nothing that its index or its manifests say is taken on trust.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from wq_package.archive.decoder import LayerDecoder
from wq_package.archive.frames import FrameError
from wq_package.archive.index_text import TextError, parse_manifest
from wq_package.archive.launcher import make_environment_variables
from wq_package.archive.layer import (
    MANIFEST_FOLDER,
    MAX_MANIFEST,
    ArchiveIndex,
    IndexedLayer,
    Member,
    MemberKind,
)
from wq_package.archive.reader import ArchiveReader
from wq_package.archive.tar_segment import Piece, SegmentError, SegmentParser
from wq_package.errors import ArchiveError, CorruptArchiveError
from wq_package.programs import run_program

_START_SECONDS = 300


def verify_archive(path: Path) -> ArchiveIndex:
    """Check every layer of an archive: its stored and raw digest, its members, and each file's digest.

    Raises:
        CorruptArchiveError: something differs; every damaged layer is named.
        UnsafeMemberError: a layer has a member that is never unpacked.
    """
    with ArchiveReader(path) as archive, LayerDecoder() as decoder:
        issues = list(archive.find_damage())
        damaged = len(issues)
        for layer in archive.index.layers if not damaged else ():
            try:
                _verify_layer(archive, layer, decoder)
            except (FrameError, SegmentError, TextError) as error:
                issues.append(f"layer `{layer.header.name}` {layer.header.version}: {error}")
        if issues:
            raise CorruptArchiveError(str(path), tuple(issues), hint="fetch or build it again")
        return archive.index


def verify_start(prefix: Path, imports: Sequence[str] = ()) -> None:
    """Start the Python of an unpacked environment and import modules in it.

    Raises:
        ArchiveError: it does not start, or a module cannot be imported.
    """
    command = [
        str(prefix / "bin" / "python3"),
        "-I",
        "-c",
        "import sys, importlib\nfor n in sys.argv[1:]: importlib.import_module(n)",
    ]
    try:
        variables = make_environment_variables(prefix, os.environ)
        done = run_program([*command, *imports], environ=variables, seconds=_START_SECONDS)
    except OSError as error:
        raise ArchiveError(f"the environment's Python does not start ({error.strerror})") from error
    except subprocess.TimeoutExpired as error:
        raise ArchiveError(f"the environment's Python did not end within {_START_SECONDS} s") from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        hint = (
            "add what is missing to the spec, and build again" if "ModuleNotFoundError" in lines[-1] else None
        )
        raise ArchiveError(f"the environment does not work: {lines[-1]}", hint=hint)


def _verify_layer(archive: ArchiveReader, layer: IndexedLayer, decoder: LayerDecoder) -> None:
    members = _MemberHasher()
    parser = SegmentParser()
    with archive.open_layer(layer.digest) as stream:
        for raw in decoder.iter_raw(stream, layer.digest, layer.size):
            for piece in parser.feed(raw):
                members.add(piece)
    if not parser.is_between_members:
        raise SegmentError("its last member is cut short")
    manifest = parse_manifest(members.last)
    if list(manifest.members) != members.found[:-1] or manifest.header != layer.header:
        raise TextError("its manifest does not name what it holds")


class _MemberHasher:
    """Collects what members a layer has, with their digests, and the bytes of the last one."""

    def __init__(self) -> None:
        self.found: list[Member] = []
        self.last = b""
        self._digest = hashlib.sha256()
        self._last = bytearray()

    def add(self, piece: Piece) -> None:
        if piece.offset == 0:
            self._digest = hashlib.sha256()
            self._last.clear()
        self._digest.update(piece.data)
        if piece.member.path.startswith(MANIFEST_FOLDER):
            if piece.member.size > MAX_MANIFEST:
                raise SegmentError("a layer's manifest is too large")
            self._last += piece.data
        if piece.is_last:
            member, is_file = piece.member, piece.member.kind is MemberKind.FILE
            digest = self._digest.hexdigest() if is_file else ""
            self.found.append(
                Member(member.path, member.kind, member.mode, member.size, digest, member.target)
            )
            self.last = bytes(self._last)
