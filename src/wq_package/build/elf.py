"""What an ELF file says about itself: architecture, the libraries it needs, the C library it needs (logic module).

Knows the 64-bit ELF format as the dynamic loader reads it: program headers and the dynamic section only. Knows nothing
of files, of patching or of layers. A reader of our own, because every extension module of every wheel passes through
here and the general parser takes 4 ms for each where this takes 0.1 ms.
"""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["ElfFacts", "Readable", "is_elf", "read_elf", "strip_sections"]

_MAGIC = b"\x7fELF"
_MACHINES = {
    3: "i686",
    21: "ppc64le",
    22: "s390x",
    40: "armv7l",
    62: "x86_64",
    183: "aarch64",
    243: "riscv64",
    258: "loongarch64",
}
_PT_LOAD, _PT_DYNAMIC = 1, 2
_DT_NEEDED, _DT_STRTAB, _DT_SONAME, _DT_RPATH, _DT_RUNPATH = 1, 5, 14, 15, 29
_DT_VERNEED, _DT_VERNEEDNUM = 0x6FFFFFFE, 0x6FFFFFFF
_GLIBC = re.compile(r"^GLIBC_(\d+)\.(\d+)")
_SHF_ALLOC, _SHT_NOBITS, _SHT_STRTAB = 2, 8, 3
_SECTION_SIZE = 64
_DAMAGED = (struct.error, IndexError, ValueError, OverflowError)


Readable = bytes | mmap.mmap
"""What can be read here: bytes, or a file that is mapped and not in memory."""


@dataclass(frozen=True, slots=True)
class ElfFacts:
    """What one ELF file says.

    Attributes:
        machine: architecture, in the words of `uname -m`.
        needed: the sonames it is linked against.
        soname: its own soname, or "".
        search_path: its RPATH and RUNPATH folders, as written.
        glibc: the newest version of the C library whose symbols it uses, or `None`.
    """

    machine: str
    needed: tuple[str, ...] = ()
    soname: str = ""
    search_path: tuple[str, ...] = ()
    glibc: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class _Segment:
    kind: int
    offset: int
    address: int
    size: int


@dataclass(frozen=True, slots=True)
class _Header:
    order: str
    machine: int
    segments_at: int
    segment_count: int
    sections_at: int
    section_count: int
    names_index: int


def is_elf(data: Readable) -> bool:
    """Tell whether the first bytes of a file are those of a 64-bit ELF file."""
    return data[:4] == _MAGIC and len(data) > 64 and data[4] == 2


def read_elf(data: Readable) -> ElfFacts | None:
    """Read the facts of a 64-bit ELF file; `None` if it is none, or a damaged one."""
    if not is_elf(data):
        return None
    try:
        return _read(data)
    except _DAMAGED:
        return None


def _read(data: Readable) -> ElfFacts:
    header = _read_header(data)
    machine = _MACHINES.get(header.machine, f"elf-{header.machine}")
    segments = tuple(_iter_segments(data, header))
    dynamic = next((each for each in segments if each.kind == _PT_DYNAMIC), None)
    if dynamic is None:
        return ElfFacts(machine)
    tags = list(_iter_tags(data, header.order, dynamic))
    single = dict(tags)
    strings = _find_offset(segments, single[_DT_STRTAB]) if _DT_STRTAB in single else 0
    paths = [_read_string(data, strings + value) for tag, value in tags if tag in (_DT_RPATH, _DT_RUNPATH)]
    return ElfFacts(
        machine=machine,
        needed=tuple(_read_string(data, strings + value) for tag, value in tags if tag == _DT_NEEDED),
        soname=_read_string(data, strings + single[_DT_SONAME]) if _DT_SONAME in single else "",
        search_path=tuple(folder for path in paths for folder in path.split(":") if folder),
        glibc=max(_iter_glibc_versions(data, header.order, segments, single, strings), default=None),
    )


def _read_header(data: Readable) -> _Header:
    order = "<" if data[5] == 1 else ">"
    fields = struct.unpack_from(order + "HHIQQQIHHHHHH", data, 16)
    return _Header(order, fields[1], fields[4], fields[9], fields[5], fields[11], fields[12])


def _iter_segments(data: Readable, header: _Header) -> Iterator[_Segment]:
    for index in range(header.segment_count):
        at = header.segments_at + index * 56
        kind, _, offset, address, _, size, _, _ = struct.unpack_from(header.order + "IIQQQQQQ", data, at)
        yield _Segment(kind, offset, address, size)


def _iter_tags(data: Readable, order: str, dynamic: _Segment) -> Iterator[tuple[int, int]]:
    for at in range(dynamic.offset, dynamic.offset + dynamic.size, 16):
        tag, value = struct.unpack_from(order + "qQ", data, at)
        if tag == 0:
            return
        yield tag, value


def _find_offset(segments: tuple[_Segment, ...], address: int) -> int:
    for each in segments:
        if each.kind == _PT_LOAD and each.address <= address < each.address + each.size:
            return address - each.address + each.offset
    raise ValueError("address in no segment")


def _iter_glibc_versions(
    data: Readable, order: str, segments: tuple[_Segment, ...], single: dict[int, int], strings: int
) -> Iterator[tuple[int, int]]:
    if _DT_VERNEED not in single:
        return
    at = _find_offset(segments, single[_DT_VERNEED])
    for _ in range(single.get(_DT_VERNEEDNUM, 0)):
        _, count, _, first, following = struct.unpack_from(order + "HHIII", data, at)
        entry = at + first
        for _ in range(count):
            _, _, _, name, step = struct.unpack_from(order + "IHHII", data, entry)
            found = _GLIBC.match(_read_string(data, strings + name))
            if found:
                yield int(found[1]), int(found[2])
            entry += step
        at += following


def _read_string(data: Readable, at: int) -> str:
    return _read_bytes(data, at).decode("utf-8", "surrogateescape")


def _read_bytes(data: Readable, at: int) -> bytes:
    end = data.find(b"\0", at)
    if at < 0 or end < 0:
        raise ValueError("a string without an end")
    return data[at:end]


def strip_sections(data: bytes) -> bytes:
    """Leave out what is never loaded: debugging information and the full symbol table.

    A Python built from source carries three times its own size of them. The loader reads program headers only, so
    nothing that runs sees a difference. A file with an unexpected layout is returned as it is.
    """
    if not is_elf(data):
        return data
    try:
        return _strip(data)
    except _DAMAGED:
        return data


def _strip(data: bytes) -> bytes:
    header = _read_header(data)
    sections = [_read_section(data, header, index) for index in range(header.section_count)]
    kept = [index for index, section in enumerate(sections) if index == 0 or section[2] & _SHF_ALLOC]
    if len(kept) < 2 or len(kept) == len(sections):
        return data
    end = max(_find_end(data, header), max(_end_of(sections[index]) for index in kept))
    dropped = [section for index, section in enumerate(sections) if index not in kept and section[5]]
    only_names_left = all(_read_name(data, header, sections, section) == b".shstrtab" for section in dropped)
    if end > len(data) or only_names_left or any(section[4] < end for section in dropped):
        return data
    return _write_stripped(data, header, sections, kept, end)


def _read_name(
    data: bytes, header: _Header, sections: list[tuple[int, ...]], section: tuple[int, ...]
) -> bytes:
    at = sections[header.names_index][4] + section[0]
    return _read_bytes(data, at)


def _read_section(data: bytes, header: _Header, index: int) -> tuple[int, ...]:
    return struct.unpack_from(header.order + "IIQQQQIIQQ", data, header.sections_at + index * _SECTION_SIZE)


def _end_of(section: tuple[int, ...]) -> int:
    return section[4] + (0 if section[1] == _SHT_NOBITS else section[5])


def _find_end(data: bytes, header: _Header) -> int:
    return max(each.offset + each.size for each in _iter_segments(data, header))


def _write_stripped(
    data: bytes, header: _Header, sections: list[tuple[int, ...]], kept: list[int], end: int
) -> bytes:
    renumber = {old: new for new, old in enumerate(kept)}
    names = bytearray(b"\0")
    rows = []
    for index in kept:
        section = list(sections[index])
        name = _read_name(data, header, sections, sections[index])
        section[0] = len(names) if name else 0
        names += name + b"\0" if name else b""
        section[6] = renumber.get(section[6], 0)
        rows.append(section)
    own_name = len(names)
    names += b".shstrtab\0"
    rows.append([own_name, _SHT_STRTAB, 0, 0, end, len(names), 0, 0, 1, 0])
    padding = -(end + len(names)) % 8
    table_at = end + len(names) + padding
    table = b"".join(struct.pack(header.order + "IIQQQQIIQQ", *row) for row in rows)
    stripped = bytearray(data[:end] + bytes(names) + bytes(padding) + table)
    struct.pack_into(header.order + "Q", stripped, 40, table_at)
    struct.pack_into(header.order + "HH", stripped, 60, len(rows), len(rows) - 1)
    return bytes(stripped)
