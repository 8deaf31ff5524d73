r"""JSON as Work Queue writes it (logic module).

Knows the two defects of its writer, seen with Debian's: a quote is written `\'`, which JSON does not have, and a byte
above 127 is sign-extended, so that the `é` of `café` becomes `\uffffffc3\uffffffa9`. Knows nothing of what the text says.
"""

from __future__ import annotations

import json
import re

_ESCAPES = re.compile(r"((?:\\uffffff[0-9a-f]{2})+)|\\'|\\.")


def parse_status(text: str) -> object:
    """Parse the JSON of a status answer or a catalog's record.

    Raises:
        ValueError: it is no JSON, even so.
    """
    if "\\uffffff" in text or "\\'" in text:
        text = _ESCAPES.sub(_mend, text)
    try:
        value: object = json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    return value


def _mend(escape: re.Match[str]) -> str:
    if escape[1] is not None:
        raw = bytes(int(code[-2:], 16) for code in escape[1].split("\\")[1:])
        return json.dumps(raw.decode("utf-8", "replace"))[1:-1]
    return "'" if escape[0] == "\\'" else escape[0]
