"""The tar members of a layer, written and read in one canonical form (logic module).

A segment is a run of GNU tar members without the end-of-archive blocks. There is exactly one way to write a member:
owner 0, one fixed time, mode 0644, 0755 or 0777 (links), GNU long names. The reader re-encodes every header that it has parsed
and refuses whatever differs, so that devices, hard links, set-user-id bits and all other surprises need no rule each.
Knows nothing of compression or of the disk.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from wq_package.archive.layer import FIXED_MTIME, MemberKind
from wq_package.archive.member_paths import check_link, check_path, show
from wq_package.errors import UnsafeMemberError

BLOCK = 512
END_OF_ARCHIVE = bytes(2 * BLOCK)

_TYPES = {MemberKind.FILE: b"0", MemberKind.LINK: b"2", MemberKind.FOLDER: b"5"}
_KINDS = {code: kind for kind, code in _TYPES.items()}
_FOREIGN = {b"1": "a hard link", b"3": "a device", b"4": "a device", b"6": "a named pipe"}
_LONG_NAME = b"././@LongLink"
_MAX_LONG = 8 * BLOCK
_MAX_OCTAL_SIZE = 8**11
_OCTAL = re.compile(rb"[0-7]{11}")
# What is the same in the headers of all files whose name is short, and how their two modes are written.
_FILE_MODES = {b"%07o\x000000000\x000000000\x00" % mode: mode for mode in (0o644, 0o755)}
_FILE_TIME = b"%011o\x00" % FIXED_MTIME
_FILE_END = b"0" + bytes(100) + b"ustar  \x00" + bytes(247)


class SegmentError(Exception):
    """The bytes are not a segment in canonical form; the shell that met them says where."""


@dataclass(frozen=True, slots=True)
class TarMember:
    """A tar header: everything that can differ between two members."""

    path: str
    kind: MemberKind
    mode: int
    size: int = 0
    target: str = ""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some bytes of a member, or none for a link, a folder or an empty file.

    Attributes:
        offset: of the piece in the member.
        data: a view that is valid until the next piece is asked for.
    """

    member: TarMember
    offset: int
    data: memoryview

    @property
    def is_last(self) -> bool:
        """Whether the member ends here."""
        return self.offset + len(self.data) == self.member.size


def make_mode(kind: MemberKind, mode: int) -> int:
    """Normalise a mode: a link 0777, a folder 0755, a file 0755 if anyone may execute it, else 0644."""
    if kind is MemberKind.LINK:
        return 0o777
    return 0o755 if kind is MemberKind.FOLDER or mode & 0o111 else 0o644


def encode_header(member: TarMember) -> bytes:
    """Write a member's header blocks, long name members included."""
    name = member.path.encode("utf-8", "surrogateescape")
    target = member.target.encode("utf-8", "surrogateescape")
    if member.kind is MemberKind.FOLDER:
        name += b"/"
    long = b""
    if len(target) > 100:
        long += _encode_long(b"K", target)
    if len(name) > 100:
        long += _encode_long(b"L", name)
    return long + _encode_block(name[:100], member.mode, member.size, _TYPES[member.kind], target[:100])


def pad(size: int) -> int:
    """Tell how many zero bytes follow a member's `size` bytes."""
    return -size % BLOCK


def _encode_long(code: bytes, text: bytes) -> bytes:
    size = len(text) + 1
    return _encode_block(_LONG_NAME, 0o644, size, code, b"") + text + bytes(1 + pad(size))


def _encode_block(name: bytes, mode: int, size: int, code: bytes, target: bytes) -> bytes:
    block = b"%s%07o\x000000000\x000000000\x00%s%011o\x00        %s%sustar  \x00%s" % (
        name.ljust(100, b"\0"),
        mode,
        _encode_size(size),
        FIXED_MTIME,
        code,
        target.ljust(100, b"\0"),
        bytes(247),
    )
    # Adler-32's low half is one more than the sum of the bytes, which in a header is far below its modulus.
    return b"%s%06o\x00 %s" % (block[:148], (zlib.adler32(block) & 0xFFFF) - 1, block[156:])


def _encode_size(size: int) -> bytes:
    if size < _MAX_OCTAL_SIZE:
        return b"%011o\x00" % size
    return b"\x80" + size.to_bytes(11, "big")


class SegmentParser:
    """Turns the raw bytes of a segment into pieces of members.

    Feed it buffers whose sizes are multiples of 512 bytes: no header is ever cut.
    """

    def __init__(self) -> None:
        self._member: TarMember | None = None
        self._done = 0
        self._padding = 0
        self._long: dict[bytes, bytes] = {}
        self._long_open: tuple[bytes, int, bytearray] | None = None

    @property
    def is_between_members(self) -> bool:
        """Whether a segment may end here."""
        return self._member is None and not self._padding and not self._long and self._long_open is None

    def feed(self, buffer: bytes) -> Iterator[Piece]:
        """Yield the pieces that `buffer` holds; raise `SegmentError` or `UnsafeMemberError`."""
        if len(buffer) % BLOCK:
            raise SegmentError("the tar stream does not consist of whole blocks")
        view = memoryview(buffer)
        position = 0
        while position < len(view):
            if self._padding:
                position = self._skip_padding(view, position)
            elif self._member is not None:
                piece = self._take_piece(view, position)
                position += len(piece.data)
                yield piece
            elif self._long_open is not None:
                position = self._take_long(view, position)
            else:
                member = self._start_member(bytes(view[position : position + BLOCK]))
                position += BLOCK
                if member is not None and not member.size:
                    yield Piece(self._finish_member(), 0, view[:0])

    def _skip_padding(self, view: memoryview, position: int) -> int:
        # Padding is less than a block and buffers are whole blocks, so it is never cut.
        end = position + self._padding
        if view[position:end].tobytes() != bytes(self._padding):
            raise SegmentError("the padding after a tar member is not empty")
        self._padding = 0
        return end

    def _take_piece(self, view: memoryview, position: int) -> Piece:
        assert self._member is not None
        data = view[position : position + self._member.size - self._done]
        piece = Piece(self._member, self._done, data)
        self._done += len(data)
        if piece.is_last:
            self._finish_member()
        return piece

    def _finish_member(self) -> TarMember:
        member = self._member
        assert member is not None
        self._member, self._done, self._padding = None, 0, pad(member.size)
        return member

    def _start_member(self, block: bytes) -> TarMember | None:
        if not self._long and (plain := _find_plain_file(block)) is not None:
            self._member = plain
            return plain
        code = block[156:157]
        if code in {b"L", b"K"}:
            self._start_long(block, code)
            return None
        member = self._parse_member(block, code)
        expected = encode_header(member)
        if expected[-BLOCK:] != block:
            _refuse_header(member.path, block)
        self._long.clear()
        check_path(member.path)
        if member.kind is MemberKind.LINK:
            check_link(member.path, member.target)
        self._member = member
        return member

    def _parse_member(self, block: bytes, code: bytes) -> TarMember:
        name = self._long.get(b"L") or block[:100].rstrip(b"\0")
        target = self._long.get(b"K") or block[157:257].rstrip(b"\0")
        path = name.decode("utf-8", "surrogateescape")
        kind = _KINDS.get(code)
        if kind is None:
            raise _make_kind_error(path, code)
        if kind is MemberKind.FOLDER:
            path = path.removesuffix("/")
        size = _decode_size(block[124:136])
        if (kind is not MemberKind.FILE and size) or (kind is not MemberKind.LINK and target):
            raise SegmentError(f"the tar header of `{show(path)}` is damaged")
        # The mode that it would have if it were in canonical form; the comparison with the block finds any other.
        mode = make_mode(kind, 0o111 if block[100:108] == b"0000755\0" else 0)
        return TarMember(path, kind, mode, size, target.decode("utf-8", "surrogateescape"))

    def _start_long(self, block: bytes, code: bytes) -> None:
        size = _decode_size(block[124:136])
        if not 101 < size <= _MAX_LONG or code in self._long or (code == b"K" and self._long):
            raise SegmentError("a long tar name is damaged")
        if block != _encode_block(_LONG_NAME, 0o644, size, code, b""):
            raise SegmentError("a long tar name is damaged")
        self._long_open = (code, size, bytearray())

    def _take_long(self, view: memoryview, position: int) -> int:
        assert self._long_open is not None
        code, size, text = self._long_open
        end = min(position + size + pad(size) - len(text), len(view))
        text += view[position:end]
        if len(text) == size + pad(size):
            name, rest = bytes(text[: size - 1]), text[size - 1 :]
            if any(rest) or b"\0" in name:
                raise SegmentError("a long tar name is damaged")
            self._long[code] = name
            self._long_open = None
        return end


def _find_plain_file(block: bytes) -> TarMember | None:
    """Read the header of a file with a short name, as nearly all are, in a fraction of the time; `None` if it is another one."""
    mode = _FILE_MODES.get(block[100:124])
    if mode is None or block[136:148] != _FILE_TIME or block[156:] != _FILE_END:
        return None
    size = block[124:135]
    # As in `_encode_block`: the checksum is that of the block with blanks in its place.
    total = (zlib.adler32(b"%s        %s" % (block[:148], block[156:])) & 0xFFFF) - 1
    if block[135] or not _OCTAL.fullmatch(size) or block[148:156] != b"%06o\x00 " % total:
        return None
    path = block[:100].rstrip(b"\0").decode("utf-8", "surrogateescape")
    check_path(path)
    return TarMember(path, MemberKind.FILE, mode, int(size, 8))


def _decode_size(field: bytes) -> int:
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    if not _OCTAL.fullmatch(field[:11]):  # `int` would take signs and blanks as well
        raise SegmentError("a tar header is damaged")
    return int(field[:11], 8)


def _make_kind_error(path: str, code: bytes) -> Exception:
    if code in _FOREIGN:
        return UnsafeMemberError(show(path), f"it is {_FOREIGN[code]}")
    return SegmentError("a tar header is damaged")


def _refuse_header(path: str, block: bytes) -> None:
    try:
        mode = int(block[100:107], 8)
    except ValueError:
        mode = 0
    if mode & 0o7000 and sum(block[:148]) + sum(block[156:]) + 8 * 32 == _decode_checksum(block):
        raise UnsafeMemberError(show(path), f"its mode is {mode:04o}")
    raise SegmentError(f"the tar header of `{show(path)}` is damaged or not in the form of this format")


def _decode_checksum(block: bytes) -> int:
    try:
        return int(block[148:154], 8)
    except ValueError:
        return -1
