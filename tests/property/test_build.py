from __future__ import annotations

import string
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from wq_package.build.elf import read_elf, strip_sections
from wq_package.build.record import map_path, parse_record, render_record
from wq_package.build.sysconfig_text import mask_prefix, replace_prefix

_PYTHON = Path(sys.executable).resolve().read_bytes()
_NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\\"), min_size=1, max_size=30)
_PATHS = st.lists(
    st.sampled_from(["..", "lib", "lib64", "python3.11", "site-packages", "bin", "x"]), min_size=1, max_size=8
)
_PREFIXES = st.lists(
    st.text(string.ascii_letters + string.digits + ".-_", min_size=1, max_size=8), min_size=2, max_size=5
)


@given(st.integers(min_value=0, max_value=len(_PYTHON) - 1))
def test_read_elf__cut_anywhere__facts_or_none(size: int) -> None:
    cut = _PYTHON[:size]

    read_elf(cut)
    assert read_elf(strip_sections(cut)) == read_elf(cut)


@given(st.binary(min_size=64, max_size=400))
def test_read_elf__elf_head_and_noise__never_raises(noise: bytes) -> None:
    data = b"\x7fELF\x02\x01\x01" + noise

    read_elf(data)
    strip_sections(data)


@given(st.lists(st.tuples(_NAMES, st.just("sha256=x"), st.integers(0, 2**40))))
def test_render_record__read_again__has_the_same_paths(files: list[tuple[str, str, int]]) -> None:
    rows = parse_record(render_record(files, "x.dist-info/RECORD"))

    assert sorted(row.path for row in rows) == sorted([*(path for path, _, _ in files), "x.dist-info/RECORD"])


@given(_PATHS)
def test_map_path__whatever_a_record_says__stays_below_the_prefix(parts: list[str]) -> None:
    mapped = map_path("/".join(parts), "/v/lib/python3.11/site-packages", "lib/python3.11/site-packages")

    assert mapped is None or (not mapped.startswith("/") and ".." not in mapped.split("/"))


@given(_PREFIXES, st.binary(max_size=20), st.binary(max_size=20))
def test_mask_prefix__any_binary__keeps_its_length(parts: list[str], before: bytes, after: bytes) -> None:
    prefix = "/" + "/".join(parts)
    data = before + b"\0" + prefix.encode() + b"/lib\0" + after

    masked = mask_prefix(data, prefix)

    assert len(masked) == len(data)
    assert masked.endswith(f"/{parts[-1]}/lib".encode() + b"\0" + after)


@given(_PREFIXES)
def test_replace_prefix__there_and_back__is_the_same(parts: list[str]) -> None:
    prefix = "/" + "/".join(parts)
    text = f"{prefix}/lib"

    assert replace_prefix(text, prefix, "{token}") == "{token}/lib"
    assert replace_prefix(replace_prefix(text, prefix, "{token}"), "{token}", prefix) == text
