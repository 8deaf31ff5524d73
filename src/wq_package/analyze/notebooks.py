"""Jupyter notebooks → one program, with the cell of each line and what its magics install (logic module).

Knows the notebook format and IPython's magics. Cells are joined, because what one cell imports another one uses; a
cell that is no Python is left out and told.
"""

from __future__ import annotations

import json
import re
import shlex
import warnings
from dataclasses import dataclass, field

from wq_package.errors import SourceSyntaxError
from wq_package.spec.python_text import parse_python

__all__ = ["Notebook", "read_notebook"]

_PYTHON_CELL_MAGICS = frozenset(
    {"time", "timeit", "capture", "prun", "memit", "mprun", "python", "python3", "debug"}
)
_SHELL_CELL_MAGICS = frozenset({"bash", "sh", "!", "script"})
_MAGIC = re.compile(r"^(?P<indent>\s*)(?:[\w., ]+=\s*)?(?P<rest>[%!].*)$")
_HELP = re.compile(r"^\s*(\?{1,2}[\w.%*]+|[\w.%*]+\?{1,2})\s*;?\s*$")
_INSTALL = re.compile(
    r"^\s*[%!]*\s*(?:(?:\{sys\.executable\}|\$\{?sys\.executable\}?|python3?)\s+-m\s+)?"
    r"(?P<tool>pip3?|uv\s+pip|conda|mamba|micromamba)\s+install\s+(?P<rest>.*)$"
)
_OPTIONS_WITH_VALUE = frozenset(
    {"-c", "--channel", "-n", "--name", "-r", "--requirement", "-i", "--index-url", "-f", "-t"}
)


@dataclass(slots=True)
class Notebook:
    """A notebook as one program.

    Attributes:
        text: the code of all cells.
        places: the first line of each cell in `text`, with the cell's label.
        installs: the distributions that magics install.
        issues: cells that could not be read: label, line in the cell, reason.
    """

    text: str = ""
    places: list[tuple[int, str]] = field(default_factory=list)
    installs: list[str] = field(default_factory=list)
    issues: list[tuple[str, int, str]] = field(default_factory=list)


def read_notebook(content: str | bytes, path: str) -> Notebook:
    """Read a notebook of any nbformat from 3 on.

    Raises:
        SourceSyntaxError: it is no notebook, or not one of Python.
    """
    cells = _load_cells(content, path)
    notebook = Notebook()
    lines: list[str] = []
    for number, source in enumerate(cells, 1):
        label = f"{path}:cell {number}"
        notebook.places.append((len(lines) + 1, label))
        lines += _read_cell(source, label, notebook) if source is not None else []
    notebook.text = "\n".join(lines) + "\n"
    return notebook


def _load_cells(content: str | bytes, path: str) -> list[str | None]:
    """Load the source of every cell; `None` for a cell that is no code."""
    try:
        document = json.loads(content)
        sheets = document.get("worksheets") or [document]
        cells = [cell for sheet in sheets for cell in sheet["cells"]]
        language = document.get("metadata", {}).get("kernelspec", {}).get("language", "python")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SourceSyntaxError(path, 0, "it is not a notebook", hint="is the file complete?") from error
    if str(language).lower() not in ("python", "python3", "ipython"):
        raise SourceSyntaxError(path, 0, f"it is a notebook of {language}, not of Python")
    return [_read_source(cell) for cell in cells]


def _read_source(cell: object) -> str | None:
    if not isinstance(cell, dict) or cell.get("cell_type") != "code":
        return None
    source = cell.get("source", cell.get("input", ""))
    return "".join(map(str, source)) if isinstance(source, list) else str(source)


def _read_cell(source: str, label: str, notebook: Notebook) -> list[str]:
    lines = source.splitlines()
    first = next((line for line in lines if line.strip()), "")
    if first.startswith("%%"):
        magic = (first[2:].split() or [""])[0]
        if magic in _SHELL_CELL_MAGICS:
            notebook.installs += [name for line in lines for name in _find_installs(line)]
        if magic not in _PYTHON_CELL_MAGICS:
            return [""] * len(lines)
        lines = ["" if line is first else line for line in lines]
    if _find_issue("\n".join(lines)) is None:
        return lines
    lines = [_replace_magic(line, notebook) for line in lines]
    issue = _find_issue("\n".join(lines))
    if issue is not None:
        notebook.issues.append((label, *issue))
        return [""] * len(lines)
    return lines


def _replace_magic(line: str, notebook: Notebook) -> str:
    found = _MAGIC.match(line)
    if found:
        notebook.installs += _find_installs(found["rest"])
        rest = re.sub(r"^%(?:time|timeit|prun)\s+(?:-\w+\s*\d*\s+)*(?=\S)", "", found["rest"])
        return found["indent"] + (rest if rest != found["rest"] else "pass")
    return "" if _HELP.match(line) else line


def _find_issue(code: str) -> tuple[int, str] | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parse_python(code)
    except SyntaxError as error:
        return error.lineno or 0, error.msg or "invalid syntax"
    except (ValueError, RecursionError, MemoryError) as error:
        return 0, str(error)
    return None


def _find_installs(line: str) -> list[str]:
    """Read the distributions of `%pip install …`, `!pip install …`, `!conda install …`."""
    found = _INSTALL.match(line)
    if not found:
        return []
    try:
        words = shlex.split(found["rest"].partition(" #")[0])
    except ValueError:
        return []
    names = []
    skip = False
    for word in words:
        if skip or word.startswith(("-", "git+", "http", ".", "/", "&", ";", "|", ">", "{", "$")):
            skip = word in _OPTIONS_WITH_VALUE
            if word.startswith(("&", ";", "|", ">")):
                break
            continue
        names.append(word.rpartition("::")[2])
    is_conda = found["tool"].endswith(("conda", "mamba"))
    return [re.sub(r"^([\w.-]+)=(?!=)([^=]+).*$", r"\1==\2", name) if is_conda else name for name in names]
