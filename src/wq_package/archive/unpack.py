"""Unpacks layers and archives into a folder (shell module).

Decompresses on other threads while it writes files, and checks size and digest of what it was given. Never follows a link: every
folder is opened by name below its parent, without following, and every file is created, never opened. What may be a
member is decided in `wq_package.archive.tar_segment`.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, Self

from wq_package.archive.decoder import LayerDecoder
from wq_package.archive.frames import FrameError
from wq_package.archive.index_text import TextError, parse_manifest
from wq_package.archive.layer import (
    FIXED_MTIME,
    INDEX_PATH,
    MANIFEST_FOLDER,
    MAX_MANIFEST,
    METADATA_FOLDER,
    PREFIX_NOTE,
    ArchiveIndex,
    LayerManifest,
    Member,
    MemberKind,
    Relocation,
    make_manifest_path,
)
from wq_package.archive.member_paths import show
from wq_package.archive.reader import ArchiveReader
from wq_package.archive.relocation import relocate
from wq_package.archive.tar_segment import Piece, SegmentError, SegmentParser, TarMember
from wq_package.archive.unfinished import claim, name_unfinished, remove_abandoned
from wq_package.errors import ArchiveError, CorruptArchiveError, DiskFullError, UnsafeMemberError

_FIXED_NS = FIXED_MTIME * 10**9
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class NamedLayer(Protocol):
    """What must be known of a layer before it arrives; `StoredLayer` and `IndexedLayer` are two."""

    @property
    def digest(self) -> str:
        """Hex sha256 of the uncompressed bytes."""

    @property
    def size(self) -> int:
        """Uncompressed bytes."""


def unpack_layer(
    stream: BinaryIO, layer: NamedLayer, destination: Path, *, read_only: bool = False, label: str = ""
) -> LayerManifest:
    """Unpack the stored bytes of one layer into a folder that exists.

    What was written before an error is left there: unpack into a folder that is thrown away then.

    Args:
        stream: gives the stored bytes, and is read to its end.
        layer: its digest and size.
        destination: where the members go; nothing of theirs may be there yet.
        read_only: take the right to write from every file.
        label: what error messages call the source; the layer's digest if empty.

    Raises:
        CorruptArchiveError: the bytes are not that layer.
        UnsafeMemberError: a member may not be unpacked.
    """
    with Unpacker(destination, read_only=read_only) as unpacker:
        return unpacker.add_layer(stream, layer, label or f"layer {layer.digest[:12]}")


def unpack_archive(path: Path, destination: Path) -> ArchiveIndex:
    """Unpack an archive and relocate it to `destination`, which appears complete or not at all.

    Raises:
        ArchiveError: `destination` is there and not empty, or the archive is damaged or unsafe.
    """
    destination = destination.absolute()
    with ArchiveReader(path) as archive, _open_new_folder(destination) as folder:
        check_room(folder, sum(layer.size for layer in archive.index.layers))
        relocations: dict[str, list[Relocation]] = {}
        with Unpacker(folder) as unpacker:
            for layer in archive.index.layers:
                manifest = unpacker.add_layer(archive.open_layer(layer.digest), layer, str(path))
                if manifest.header != layer.header:
                    issue = f"its index says something else of layer {layer.digest[:12]} than the layer does"
                    raise CorruptArchiveError(str(path), (issue,))
                for member in manifest.members:  # of two layers that have one file, the later counts
                    relocations.pop(member.path, None)
                for relocation in manifest.relocations:
                    relocations.setdefault(relocation.path, []).append(relocation)
            unpacker.add_file(INDEX_PATH, archive.index_text.encode("ascii"))
            unpacker.add_file(PREFIX_NOTE, os.fsencode(destination) + b"\n")
        for some in relocations.values():
            relocate_file(folder, some, str(destination))
        return archive.index


def check_room(folder: Path, size: int) -> None:
    """Raise `DiskFullError` if `size` bytes certainly do not fit on the disk of `folder`."""
    status = os.statvfs(folder)
    free = status.f_bavail * status.f_frsize
    if size > free:
        raise DiskFullError(
            f"there is no room to unpack {size / 1e6:.0f} MB below `{folder.parent}`, where {free / 1e6:.0f} MB are free",
            hint="free disk space or name another folder",
        )


def relocate_file(folder: Path, relocations: Sequence[Relocation], prefix: str) -> None:
    """Relocate one file of a tree in `folder` that will be used at `prefix`."""
    path = folder / relocations[0].path
    data = path.read_bytes()
    for relocation in relocations:
        data = relocate(data, relocation, prefix)
    path.write_bytes(data)
    os.utime(path, ns=(_FIXED_NS, _FIXED_NS))


@contextmanager
def _open_new_folder(destination: Path) -> Iterator[Path]:
    """Give a folder that becomes `destination` when all went well, and goes away when not."""
    if destination.is_symlink() or (destination.exists() and not _is_empty_folder(destination)):
        raise ArchiveError(
            f"`{destination}` is there already", hint="name a folder that does not exist or is empty"
        )
    remove_abandoned(destination)
    temporary = name_unfinished(destination)
    try:
        temporary.mkdir()
        lock = os.open(temporary, _DIRECTORY)
    except OSError as error:
        hint = "name a new folder in one that is there and that you may write to"
        raise ArchiveError(f"`{destination}` cannot be made ({error.strerror})", hint=hint) from error
    try:
        claim(lock)
        yield temporary
        temporary.rename(destination)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if isinstance(error, OSError):
            raise DiskFullError(f"`{destination}` cannot be written ({error.strerror})") from error
        raise
    finally:
        os.close(lock)


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and next(path.iterdir(), None) is None


class Unpacker:
    """Unpacks any number of layers into one folder."""

    def __init__(self, destination: Path, *, read_only: bool = False) -> None:
        self._tree = _TreeWriter(destination, read_only=read_only)
        self._decoder = LayerDecoder()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._tree.close()
        self._decoder.close()

    def add_file(self, path: str, data: bytes) -> None:
        """Write one file that is not a layer's."""
        self._tree.write(Piece(TarMember(path, MemberKind.FILE, 0o644, len(data)), 0, memoryview(data)))

    def add_layer(self, stream: BinaryIO, layer: NamedLayer, label: str) -> LayerManifest:
        """Unpack a layer, and return its manifest."""
        try:
            return self._add_layer(stream, layer)
        except (FrameError, SegmentError, TextError) as error:
            raise CorruptArchiveError(
                label, (str(error),), hint="it is incomplete or altered: fetch or build it again"
            ) from error

    def _add_layer(self, stream: BinaryIO, layer: NamedLayer) -> LayerManifest:
        self._tree.start_layer()
        parser = SegmentParser()
        for raw in self._decoder.iter_raw(stream, layer.digest, layer.size):
            for piece in parser.feed(raw):
                self._tree.write(piece)
        if not parser.is_between_members:
            raise SegmentError("its last member is cut short")
        return self._tree.finish_layer()


class _TreeWriter:
    """Creates folders, files and links below one folder, and nothing outside it."""

    def __init__(self, root: Path, *, read_only: bool) -> None:
        self._mask = 0o555 if read_only else 0o777
        # The open folders on the way to where the last member went: members come sorted, so most share it.
        self._names: list[str] = []
        self._folders = [os.open(root, _DIRECTORY)]
        self._parent = ""
        self._file = -1
        self._earlier: set[str] = set()
        self._written: list[TarMember] = []
        self._manifest = bytearray()

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        for folder in self._folders:
            os.close(folder)
        self._folders.clear()

    def start_layer(self) -> None:
        self._earlier.update(member.path for member in self._written)
        self._written = []
        self._manifest.clear()

    def finish_layer(self) -> LayerManifest:
        """Check that what was written is what the manifest names."""
        if not self._manifest:
            raise TextError("a layer has no manifest")
        manifest = parse_manifest(bytes(self._manifest))
        self._manifest.clear()
        if self._written[-1].path != make_manifest_path(manifest.header):
            raise TextError("a layer's manifest is not in its place")
        if [_strip(member) for member in manifest.members] != self._written[:-1]:
            raise TextError("a layer's manifest does not name what the layer holds")
        for member in manifest.members:
            if member.path.startswith(METADATA_FOLDER):
                raise UnsafeMemberError(member.path, f"`{METADATA_FOLDER}` belongs to the archive itself")
        files = {member.path for member in manifest.members if member.kind is MemberKind.FILE}
        if not all(relocation.path in files for relocation in manifest.relocations):
            raise TextError("a layer's manifest relocates a file that the layer lacks")
        return manifest

    def write(self, piece: Piece) -> None:
        """Write a piece of a member; its first one creates it."""
        if piece.offset == 0 and self._file < 0:
            self._start(piece.member)
        if piece.member.kind is not MemberKind.FILE:
            return
        try:
            _write_all(self._file, piece.data)
        except OSError as error:
            raise _translate(error, piece.member.path) from error
        if self._written[-1].path.startswith(MANIFEST_FOLDER):
            self._keep_manifest(piece)
        if piece.is_last:
            os.utime(self._file, ns=(_FIXED_NS, _FIXED_NS))
            os.close(self._file)
            self._file = -1

    def _keep_manifest(self, piece: Piece) -> None:
        if piece.member.size > MAX_MANIFEST:
            raise SegmentError("a layer's manifest is too large")
        self._manifest += piece.data

    def _start(self, member: TarMember) -> None:
        if self._manifest:
            raise SegmentError("a layer goes on after its manifest")
        parent, _, name = member.path.rpartition("/")
        try:
            if parent != self._parent:
                self._enter(parent)
            self._create_or_replace(member, name.encode("utf-8", "surrogateescape"))
        except FileExistsError:
            raise SegmentError(f"`{show(member.path)}` is there twice") from None
        except OSError as error:
            raise _translate(error, member.path) from error
        self._written.append(member)

    def _create_or_replace(self, member: TarMember, name: bytes) -> None:
        """Create a member, in the place of one that an earlier layer had, as tar does."""
        try:
            self._create(member, name)
        except FileExistsError:
            is_again = member.path in self._earlier and all(member.path != old.path for old in self._written)
            if not is_again:
                raise
            if member.kind is not MemberKind.FOLDER:
                os.unlink(name, dir_fd=self._folders[-1])
                self._create(member, name)

    def _create(self, member: TarMember, name: bytes) -> None:
        folder = self._folders[-1]
        match member.kind:
            case MemberKind.FILE:
                self._file = os.open(name, _NEW_FILE, member.mode & self._mask, dir_fd=folder)
            case MemberKind.LINK:
                os.symlink(member.target.encode("utf-8", "surrogateescape"), name, dir_fd=folder)
            case MemberKind.FOLDER:
                os.mkdir(name, 0o755, dir_fd=folder)

    def _enter(self, parent: str) -> None:
        names = parent.split("/") if parent else []
        shared = 0
        while shared < min(len(names), len(self._names)) and names[shared] == self._names[shared]:
            shared += 1
        while len(self._names) > shared:
            self._names.pop()
            os.close(self._folders.pop())
        self._parent = "/".join(self._names)
        for name in names[shared:]:
            self._folders.append(_open_folder(name.encode("utf-8", "surrogateescape"), self._folders[-1]))
            self._names.append(name)
        self._parent = parent


def _write_all(file: int, data: memoryview) -> None:
    while len(data):
        data = data[os.write(file, data) :]


def _open_folder(name: bytes, parent: int) -> int:
    try:
        return os.open(name, _DIRECTORY, dir_fd=parent)
    except FileNotFoundError:
        os.mkdir(name, 0o755, dir_fd=parent)
        return os.open(name, _DIRECTORY, dir_fd=parent)


def _strip(member: Member) -> TarMember:
    return TarMember(member.path, member.kind, member.mode, member.size, member.target)


def _translate(error: OSError, path: str) -> Exception:
    if error.errno in {errno.ELOOP, errno.ENOTDIR}:
        return UnsafeMemberError(show(path), "it would be written through a link or a file")
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return DiskFullError(
            f"there is no room to unpack `{show(path)}`", hint="free disk space or name another folder"
        )
    return ArchiveError(f"`{show(path)}` cannot be unpacked ({error.strerror})")
