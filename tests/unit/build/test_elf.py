from __future__ import annotations

import sys
from pathlib import Path

import pytest

from wq_package.build.elf import is_elf, read_elf, strip_sections

_PYTHON = Path(sys.executable).resolve().read_bytes()


def test_read_elf__running_python__names_machine_and_c_library() -> None:
    facts = read_elf(_PYTHON)

    assert facts is not None
    assert facts.machine in {"x86_64", "aarch64", "ppc64le", "s390x", "riscv64"}
    assert "libc.so.6" in facts.needed
    assert facts.glibc is not None
    assert facts.glibc >= (2, 2)


@pytest.mark.parametrize("data", [b"", b"#!/bin/sh\n" * 20, b"\x7fELF\x01" + bytes(100)])
def test_read_elf__other_files__none(data: bytes) -> None:
    assert not is_elf(data)
    assert read_elf(data) is None
    assert strip_sections(data) == data


def test_strip_sections__symbols_and_debugging_go__facts_stay() -> None:
    stripped = strip_sections(_PYTHON)

    assert len(stripped) <= len(_PYTHON)
    assert read_elf(stripped) == read_elf(_PYTHON)
    assert strip_sections(stripped) == stripped
