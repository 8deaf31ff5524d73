"""PEP 723: the `# /// script` block at the head of a single-file program (logic module).

Knows the block's syntax. Knows nothing of the program around it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from wq_package.errors import InvalidSpecError
from wq_package.spec.environment import WheelRequirement

__all__ = ["ScriptBlock", "parse_script_block"]

_BLOCK = re.compile(r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$")


@dataclass(frozen=True, slots=True)
class ScriptBlock:
    """What a program says about itself.

    Attributes:
        line: 1-based line of the block's opening.
    """

    dependencies: tuple[WheelRequirement, ...] = ()
    requires_python: str | None = None
    line: int = 1


def parse_script_block(text: str, path: str) -> ScriptBlock | None:
    """Read the script block of a program, or `None` if it has none.

    Raises:
        InvalidSpecError: there are several blocks, or the block is malformed; every issue is named.
    """
    if "# /// script" not in text:
        return None
    found = [match for match in _BLOCK.finditer(text.replace("\r\n", "\n")) if match["type"] == "script"]
    if not found:
        return None
    if len(found) > 1:
        raise InvalidSpecError(path, ("there are several `# /// script` blocks",), hint="keep one of them")
    line = text.replace("\r\n", "\n").count("\n", 0, found[0].start()) + 1
    lines = found[0]["content"].splitlines()
    return _read_block(
        "\n".join(entry[2:] if entry.startswith("# ") else entry[1:] for entry in lines), path, line
    )


def _read_block(content: str, path: str, line: int) -> ScriptBlock:
    import tomllib

    from wq_package.spec.requirements_txt import find_requirement_issue

    try:
        table = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise InvalidSpecError(path, (f"line {line}: the script block is not TOML: {error}",)) from error
    texts = table.get("dependencies", [])
    python = table.get("requires-python")
    issues = []
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        issues, texts = [f"line {line}: `dependencies` has to be a list of texts"], []
    if python is not None and not isinstance(python, str):
        issues.append(f"line {line}: `requires-python` has to be text")
    issues += [f"line {line}: {issue}" for issue in map(find_requirement_issue, texts) if issue]
    if issues:
        raise InvalidSpecError(path, tuple(issues), hint="see PEP 723 for the form of the block")
    return ScriptBlock(tuple(WheelRequirement(text.strip()) for text in texts), python, line)
