from __future__ import annotations

import pytest

from wq_package.protocol.printing import escape_controls


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("node-1 é 中", "node-1 é 中"),
        ("a\nERROR forged", "a\\nERROR forged"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("\udcff \u202e\x00", "\\udcff \\u202e\\x00"),
    ],
)
def test_escape_controls__any_text__cannot_forge_a_line_or_move_a_cursor(text: str, shown: str) -> None:
    assert escape_controls(text) == shown
