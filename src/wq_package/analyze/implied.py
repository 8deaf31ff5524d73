"""Requirements that no import shows: engines, drivers, backends named by a string (logic module).

A small table of what popular libraries load by themselves. Everything here is a suggestion with the line that
triggered it; nothing is added to a spec because of it. The table stands in docs/reference-analyze.md too.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from wq_package.analyze.conditions import find_dotted_name
from wq_package.analyze.marks import Marks, find_places
from wq_package.analyze.nodes import list_children

__all__ = [
    "CALL_RULES",
    "TEXT_RULES",
    "ImpliedNeed",
    "find_implied",
    "find_implied_places",
]


@dataclass(frozen=True, slots=True)
class ImpliedNeed:
    """One suggestion: any of the candidates would do."""

    line: int
    column: int
    text: str
    candidates: tuple[str, ...]


CALL_RULES: dict[str, tuple[str, ...]] = {
    "read_excel": ("openpyxl", "xlrd", "python-calamine", "odfpy"),
    "to_excel": ("openpyxl", "XlsxWriter"),
    "ExcelWriter": ("openpyxl", "XlsxWriter"),
    "read_parquet": ("pyarrow", "fastparquet"),
    "to_parquet": ("pyarrow", "fastparquet"),
    "read_feather": ("pyarrow",),
    "to_feather": ("pyarrow",),
    "read_orc": ("pyarrow",),
    "to_orc": ("pyarrow",),
    "read_hdf": ("tables",),
    "to_hdf": ("tables",),
    "HDFStore": ("tables",),
    "read_html": ("lxml", "html5lib"),
    "read_xml": ("lxml",),
    "to_xml": ("lxml",),
    "read_sql": ("SQLAlchemy",),
    "read_sql_query": ("SQLAlchemy",),
    "read_sql_table": ("SQLAlchemy",),
    "to_sql": ("SQLAlchemy",),
    "read_spss": ("pyreadstat",),
    "read_gbq": ("pandas-gbq",),
    "to_gbq": ("pandas-gbq",),
    "to_markdown": ("tabulate",),
    "read_clipboard": ("PyQt5", "QtPy"),
    "open_dataset": ("netCDF4", "h5netcdf", "scipy"),
    "open_mfdataset": ("netCDF4", "h5netcdf", "dask"),
    "to_netcdf": ("netCDF4", "h5netcdf", "scipy"),
    "open_zarr": ("zarr",),
    "to_zarr": ("zarr",),
}
"""Methods and functions that load an engine; they count only where pandas, xarray, dask, geopandas or polars is imported."""

_CALL_LIBRARIES = frozenset({"pandas", "xarray", "dask", "geopandas", "polars", "modin"})

TEXT_RULES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"^postgres(?:ql)?(?:\+psycopg2)?://", ("psycopg2-binary", "psycopg2")),
    (r"^postgresql\+psycopg://", ("psycopg",)),
    (r"^postgresql\+asyncpg://", ("asyncpg",)),
    (r"^postgresql\+pg8000://", ("pg8000",)),
    (r"^mysql(?:\+mysqldb)?://", ("mysqlclient",)),
    (r"^mysql\+pymysql://", ("PyMySQL",)),
    (r"^mysql\+mysqlconnector://", ("mysql-connector-python",)),
    (r"^oracle(?:\+cx_oracle)?://", ("cx_Oracle", "oracledb")),
    (r"^oracle\+oracledb://", ("oracledb",)),
    (r"^mssql(?:\+pyodbc)?://", ("pyodbc",)),
    (r"^sqlite\+aiosqlite://", ("aiosqlite",)),
    (r"^duckdb://", ("duckdb-engine",)),
    (r"^snowflake://", ("snowflake-sqlalchemy",)),
    (r"^s3a?://", ("s3fs",)),
    (r"^(?:gs|gcs)://", ("gcsfs",)),
    (r"^(?:abfss?|adl|az)://", ("adlfs",)),
    (r"^(?:hdfs|viewfs)://", ("pyarrow",)),
    (r"^github://", ("requests",)),
    (r"^(?:ssh|sftp)://", ("paramiko",)),
    (r"^smb://", ("smbprotocol",)),
)
"""Beginnings of texts that name a driver or a file system."""

_BACKENDS = {
    "qtagg": ("PyQt6", "PySide6", "PyQt5"),
    "qt5agg": ("PyQt5", "PySide2"),
    "gtk3agg": ("PyGObject",),
    "gtk4agg": ("PyGObject",),
    "wxagg": ("wxPython",),
    "webagg": ("tornado",),
    "nbagg": ("ipykernel",),
    "widget": ("ipympl",),
    "module://ipympl.backend_nbagg": ("ipympl",),
}
_ENGINES = {
    "openpyxl": "openpyxl",
    "xlrd": "xlrd",
    "xlsxwriter": "XlsxWriter",
    "odf": "odfpy",
    "pyxlsb": "pyxlsb",
    "calamine": "python-calamine",
    "pyarrow": "pyarrow",
    "fastparquet": "fastparquet",
    "h5netcdf": "h5netcdf",
    "netcdf4": "netCDF4",
    "zarr": "zarr",
    "cfgrib": "cfgrib",
    "rasterio": "rioxarray",
    "lxml": "lxml",
    "numexpr": "numexpr",
    "numba": "numba",
}
_EVERYWHERE = Marks()
_TEXT_LIBRARIES = frozenset({"sqlalchemy", "fsspec", "sqlmodel", "databases", *_CALL_LIBRARIES})
_CALL_WORDS = {
    start.encode(): tuple(name.encode() for name in CALL_RULES if name.startswith(start))
    for start in ("read_", "to_", "open_", "ExcelWriter", "HDFStore")
}


@cache
def _compile_texts() -> re.Pattern[bytes]:
    """Compile what finds the beginnings of texts that imply anything, as they stand in a source."""
    return re.compile(
        f"(?<=[\"'}}])(?:{'|'.join(rule.removeprefix('^') for rule, _ in TEXT_RULES)})".encode()
    )


def find_implied_places(text: bytes) -> list[int]:
    """Find the places of a source that may imply anything: a quick look at words."""
    places = [*find_places(text, (b"entry_points",))]
    if b"matplotlib" in text:
        places += find_places(text, (b".use(", b"switch_backend"))
    if b"bs4" in text:
        places += find_places(text, (b"BeautifulSoup",))
    if any(name.encode() in text for name in _CALL_LIBRARIES):
        for start, words in _CALL_WORDS.items():
            places += (place for place in find_places(text, (start,)) if text.startswith(words, place))
    if b"://" in text and any(name.encode() in text for name in _TEXT_LIBRARIES):
        places += (found.start() for found in _compile_texts().finditer(text))
    return places


def find_implied(
    nodes: Sequence[ast.AST], aliases: Mapping[str, str], marks: Marks = _EVERYWHERE
) -> list[ImpliedNeed]:
    """Find what a program implies.

    Args:
        nodes: the program, or the parts of it that are analysed.
        aliases: what imported names stand for.
        marks: the lines that are worth a look.
    """
    imported = {name.partition(".")[0] for name in aliases.values()}
    found: dict[tuple[int, tuple[str, ...]], ImpliedNeed] = {}
    stack = list(nodes)
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Constant):
            needs: Iterable[ImpliedNeed] = _read_text(node, imported) if isinstance(node.value, str) else ()
        else:
            needs = _read_call(node, aliases, imported) if isinstance(node, ast.Call) else ()
            stack += filter(marks.touch, list_children(node))
        for need in needs:
            found.setdefault((need.line, need.candidates), need)
    return sorted(found.values(), key=lambda need: (need.line, need.column))


def _read_text(node: ast.Constant, imported: set[str]) -> Iterator[ImpliedNeed]:
    text = str(node.value)
    if "://" not in text or not imported & _TEXT_LIBRARIES:
        return
    for pattern, candidates in TEXT_RULES:
        if re.match(pattern, text):
            scheme = text.partition("://")[0]
            yield ImpliedNeed(node.lineno, node.col_offset, f"`{scheme}://` is opened by", candidates)
            return


def _read_call(node: ast.Call, aliases: Mapping[str, str], imported: set[str]) -> Iterator[ImpliedNeed]:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    called = find_dotted_name(node.func, aliases) or ""
    if called in ("matplotlib.use", "matplotlib.pyplot.switch_backend"):
        backend = _read_constant(node.args[0]) if node.args else ""
        if backend.lower() in _BACKENDS:
            text = f"the matplotlib backend `{backend}` needs"
            yield ImpliedNeed(node.lineno, node.col_offset, text, _BACKENDS[backend.lower()])
    elif called.endswith("bs4.BeautifulSoup") and len(node.args) > 1:
        parser = _read_constant(node.args[1])
        if parser in ("lxml", "html5lib", "xml", "lxml-xml"):
            candidate = "html5lib" if parser == "html5lib" else "lxml"
            yield ImpliedNeed(node.lineno, node.col_offset, f"the parser `{parser}` is", (candidate,))
    elif name in CALL_RULES and imported & _CALL_LIBRARIES:
        yield _read_engine(node, name)
    elif called in ("importlib.metadata.entry_points", "pkg_resources.iter_entry_points"):
        text = "plugins are found by entry points; name those that it needs with `--extra`"
        yield ImpliedNeed(node.lineno, node.col_offset, text, ())


def _read_engine(node: ast.Call, name: str) -> ImpliedNeed:
    """Prefer the engine that the call names over all that would do."""
    engine = next((_read_constant(keyword.value) for keyword in node.keywords if keyword.arg == "engine"), "")
    candidates = (_ENGINES[engine.lower()],) if engine.lower() in _ENGINES else CALL_RULES[name]
    return ImpliedNeed(node.lineno, node.col_offset, f"`{name}` loads", candidates)


def _read_constant(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
