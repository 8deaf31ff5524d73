"""The shipped table of popular import names, for what is not installed here (shell module: reads the table).

The table says which distributions of the package index provide an import name, most popular first. Where it comes from
and how it is refreshed stands in `recipes/import-names/README.md`. It is a guess and is always reported as one.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

__all__ = ["find_candidates"]

_TABLE = Path(__file__).with_name("import_names.txt")


@cache
def _load_table() -> bytes:
    try:
        return b"\n" + _TABLE.read_bytes()
    except OSError:
        return b""


def find_candidates(module: str) -> tuple[str, ...]:
    """Name the distributions that are known to provide a module, most popular first; the longest name decides."""
    table = _load_table()
    name = module
    while name:
        start = table.find(b"\n" + name.encode() + b"\t")
        if start >= 0:
            line = table[start + 1 : table.find(b"\n", start + 1)].decode()
            return tuple(line.partition("\t")[2].split())
        name = name.rpartition(".")[0]
    return ()
