"""environment.yml: text ⇄ `EnvironmentSpec` (logic module: no files).

Knows conda's environment file and the one top-level key that is ours, which conda ignores:

    wq-package:
      local:
        - {import: helpers, path: ./helpers.py, digest: 0f3a…}
      git: {…}   # and `http`, as in `wq_package.spec.data_source`

Paths in the text are kept as written; `wq_package.spec.files` makes them absolute. Rendering needs no YAML library, so
that writing a spec stays fast; parsing imports it when called.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Protocol, cast

from wq_package.errors import InvalidSpecError
from wq_package.spec.data_source import describe_data, read_data, read_variables
from wq_package.spec.environment import CondaRequirement, EnvironmentSpec, LocalSource, WheelRequirement

__all__ = [
    "Notes",
    "parse_conda_requirement",
    "parse_environment_document",
    "parse_environment_yml",
    "parse_json",
    "render_environment_yml",
]

_PLAIN = re.compile(r"^[A-Za-z_./][A-Za-z0-9_./+=@-]*$")
_YAML_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n", ".inf", ".nan"})
_CONDA_NAME = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")
_MATCH = re.compile(
    r"^(?:(?P<channel>[^\s=<>!~\[\]]+)::)?(?P<name>[A-Za-z0-9_][A-Za-z0-9_.-]*)"
    r"(?:\s*(?P<rest>[=<>!~ ].*))?$"
)


class Notes(Protocol):
    """Remembers texts by key, so that what is known need not be found out again."""

    def read_note(self, note: str) -> str | None:
        """Tell what was noted; `None` if nothing was."""

    def add_note(self, note: str, text: str = "") -> None:
        """Note something."""


def render_environment_yml(spec: EnvironmentSpec) -> str:
    """Write a spec as an environment.yml that conda accepts; the same spec gives the same text."""
    lines = [f"name: {_quote(spec.name)}"] if spec.name else []
    channels = spec.channels or (("conda-forge",) if spec.conda or spec.python else ())
    lines += _render_list("channels", map(_quote, channels))
    lines += _render_list("dependencies", _render_dependencies(spec))
    for wheel in spec.wheels:
        lines.append(f"      - {_quote(wheel.text)}")
    if spec.variables:
        lines += ["variables:", *(f"  {name}: {_quote_text(value)}" for name, value in spec.variables)]
    if spec.local or spec.data:
        lines.append("wq-package:")
    if spec.local:
        lines += ["  local:", *(line for source in spec.local for line in _render_local(source))]
    lines += _render_data(spec)
    return "\n".join(lines) + "\n"


def _render_list(key: str, items: Iterable[str]) -> list[str]:
    entries = [f"  - {item}" for item in items]
    return [f"{key}:", *entries] if entries else []


def _render_dependencies(spec: EnvironmentSpec) -> list[str]:
    entries = []
    if spec.python and all(requirement.name != "python" for requirement in spec.conda):
        entries.append(_quote(CondaRequirement("python", spec.python).text))
    if spec.wheels:
        entries.append("pip")
    entries += [_quote(requirement.text) for requirement in spec.conda]
    return [*entries, "pip:"] if spec.wheels else entries


def _render_local(source: LocalSource) -> list[str]:
    return [
        f"    - import: {_quote(source.import_name)}",
        f"      path: {_quote(source.path)}",
        f"      digest: {json.dumps(source.digest)}",
    ]


def _render_data(spec: EnvironmentSpec) -> list[str]:
    lines = []
    for field, entries in describe_data(spec.data).items():
        lines.append(f"  {field}:")
        for variable, entry in entries.items():
            lines.append(f"    {variable}:")
            lines += [f"      {key}: {_quote_text(value)}" for key, value in entry.items()]
    return lines


def _quote_text(text: str) -> str:
    return '"' + "".join(map(_escape, text)) + '"'


def _quote(text: str) -> str:
    if _PLAIN.match(text) and text.lower() not in _YAML_WORDS:
        return text
    return _quote_text(text)


def _escape(character: str) -> str:
    """Write one character of a double-quoted YAML text; YAML has no surrogate pairs, so JSON's escapes will not do."""
    if character in '"\\':
        return f"\\{character}"
    is_plain = character.isprintable() and character != "\N{ZERO WIDTH NO-BREAK SPACE}"
    return character if is_plain and ord(character) < 0x10000 else f"\\U{ord(character):08x}"


def parse_environment_yml(text: str, path: str, notes: Notes | None = None) -> EnvironmentSpec:
    """Read a spec from an environment.yml.

    Args:
        text: the file's text.
        path: the file, as the user named it; for messages only.
        notes: keeps what the YAML held: the YAML library is a fifth of what it costs to build again.

    Raises:
        InvalidSpecError: it is not YAML, or entries are malformed; every issue is named.
    """
    document = _load_yaml(text, path) if notes is None else _load_noted(text, path, notes)
    return parse_environment_document(document, path)


def parse_environment_document(document: dict[object, object], path: str) -> EnvironmentSpec:
    """Read a spec from the mapping that an environment.yml holds.

    Raises:
        InvalidSpecError: entries are malformed; every issue is named.
    """
    issues: list[str] = []
    reader = _Reader(issues)
    spec = reader.read(document)
    if issues:
        hint = "see `docs/reference-analyze.md` for what an environment spec may hold"
        raise InvalidSpecError(path, tuple(issues), hint=hint)
    return spec


def _load_noted(text: str, path: str, notes: Notes) -> dict[object, object]:
    key = hashlib.sha256(f"yaml 2\n{text}".encode()).hexdigest()
    with suppress(ValueError):
        return cast("dict[object, object]", json.loads(notes.read_note(key) or ""))
    document = _load_yaml(text, path)
    # YAML can say more than JSON, and what cannot be noted only takes longer the next time.
    with suppress(TypeError, ValueError, RecursionError, OSError):
        written = json.dumps(document)
        if json.loads(written) == document:
            notes.add_note(key, written)
    return document


def _load_yaml(text: str, path: str) -> dict[object, object]:
    import yaml

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # the faster one, where there is a choice
        def get_single_node(self) -> Any:
            node = super().get_single_node()
            for keys in _iter_keys(node):  # before `<<` joins mappings, which may override keys
                _check_keys(keys, path)
            return node

    try:
        document = yaml.load(text, Loader=Loader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise InvalidSpecError(path, (_first_line(str(error)),), hint="the file has to be YAML") from error
    if not isinstance(document, dict):
        issue = "the file is empty" if document is None else "the top level has to be a mapping"
        raise InvalidSpecError(path, (issue,), hint="a spec has at least the key `dependencies`")
    return document


def _iter_keys(root: Any) -> Iterator[list[str]]:
    """Go through the mappings of a YAML tree, and name the keys of each that are text."""
    waiting = [root] if root is not None else []
    seen: set[int] = set()
    while waiting:
        node = waiting.pop()
        if isinstance(node.value, str) or id(node) in seen:  # aliases may make circles
            continue
        seen.add(id(node))
        pairs = [part for part in node.value if isinstance(part, tuple)]
        yield [key.value for key, _ in pairs if key.tag.endswith(":str") and isinstance(key.value, str)]
        waiting += [part for pair in pairs for part in pair] if pairs else node.value


def _check_keys(keys: Sequence[str], path: str) -> None:
    """Refuse a key that is there twice: only the last would count."""
    twice = [key for key, count in Counter(keys).items() if count > 1]
    if twice:
        issues = tuple(f"`{key}` stands twice in one mapping" for key in twice)
        raise InvalidSpecError(path, issues, hint="keep one of them, or join what stands under both")


def parse_json(text: str, path: str) -> object:
    """Read JSON in which no key stands twice.

    Raises:
        InvalidSpecError: it is not JSON, or a key stands twice.
    """

    def make(pairs: list[tuple[str, object]]) -> dict[str, object]:
        _check_keys([key for key, _ in pairs], path)
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=make)
    except (json.JSONDecodeError, RecursionError) as error:
        raise InvalidSpecError(path, (f"it is not JSON: {error}",)) from error


def _first_line(text: str) -> str:
    return " ".join(text.split())[:200]


class _Reader:
    """Reads the parts of one document and gathers every issue."""

    def __init__(self, issues: list[str]) -> None:
        self.issues = issues

    def read(self, document: dict[object, object]) -> EnvironmentSpec:
        for key in document:
            if key not in (
                "name",
                "channels",
                "dependencies",
                "wq-package",
                "prefix",
                "variables",
                "platforms",
            ):
                self.issues.append(f"unknown key `{key}`")
        python, conda, wheels = self._read_dependencies(document.get("dependencies"))
        ours = self._read_ours(document.get("wq-package"))
        return EnvironmentSpec(
            name=self._read_text("name", document.get("name")),
            python=python,
            channels=self._read_texts("channels", document.get("channels")),
            conda=conda,
            wheels=wheels,
            local=self._read_local(ours.get("local")),
            data=read_data(ours, self.issues),
            variables=read_variables(document.get("variables"), self.issues),
        )

    def _read_text(self, key: str, value: object) -> str | None:
        if value is None or isinstance(value, str):
            return value or None
        self.issues.append(f"`{key}` has to be text, not {_say(value)}")
        return None

    def _read_texts(self, key: str, value: object) -> tuple[str, ...]:
        if value is None:
            return ()
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        self.issues.append(f"`{key}` has to be a list of texts, not {_say(value)}")
        return ()

    def _read_dependencies(
        self, value: object
    ) -> tuple[str | None, tuple[CondaRequirement, ...], tuple[WheelRequirement, ...]]:
        conda: list[CondaRequirement] = []
        wheels: list[WheelRequirement] = []
        if value is not None and not isinstance(value, list):
            self.issues.append(f"`dependencies` has to be a list, not {_say(value)}")
            return None, (), ()
        for entry in value or []:
            if isinstance(entry, str):
                conda += self._read_conda(entry)
            elif isinstance(entry, dict) and set(entry) == {"pip"}:
                wheels += self._read_wheels(entry["pip"])
            else:
                self.issues.append(f"a dependency has to be text or `pip: [...]`, not {_say(entry)}")
        pythons = [requirement.version for requirement in conda if requirement.name == "python"]
        rest = [each for each in conda if each.name not in ("python", "pip") or _is_exact_python(each)]
        return (pythons[-1] or None) if pythons else None, tuple(rest), tuple(wheels)

    def _read_conda(self, text: str) -> list[CondaRequirement]:
        requirement = parse_conda_requirement(text)
        if requirement is None:
            self.issues.append(f"`{text}` is not a conda requirement")
            return []
        return [requirement]

    def _read_wheels(self, value: object) -> list[WheelRequirement]:
        from wq_package.spec.requirements_txt import find_requirement_issue

        wheels = []
        for text in self._read_texts("pip", value):
            issue = find_requirement_issue(text)
            if issue:
                self.issues.append(issue)
            else:
                wheels.append(WheelRequirement(text.strip()))
        return wheels

    def _read_ours(self, section: object) -> dict[object, object]:
        if section is None:
            return {}
        if not isinstance(section, dict) or set(section) - {"local", "git", "http"}:
            self.issues.append("`wq-package` has to be a mapping with the keys `local`, `git` and `http`")
            return {}
        return section

    def _read_local(self, entries: object) -> tuple[LocalSource, ...]:
        if entries is not None and not isinstance(entries, list):
            self.issues.append(f"`local` has to be a list, not {_say(entries)}")
            return ()
        return tuple(source for entry in entries or [] for source in self._read_source(entry))

    def _read_source(self, entry: object) -> list[LocalSource]:
        if not isinstance(entry, dict) or set(entry) - {"import", "path", "digest"}:
            self.issues.append(f"local source has the keys `import`, `path` and `digest`, not {_say(entry)}")
            return []
        name, path, digest = entry.get("import"), entry.get("path"), entry.get("digest", "")
        if not isinstance(path, str) or not isinstance(digest, str):
            self.issues.append(f"local source `{name}` needs a `path`")
            return []
        if not isinstance(name, str) or not all(part.isidentifier() for part in name.split(".")):
            self.issues.append(f"`{name}` cannot be imported: `import` has to be a module name")
            return []
        return [LocalSource(name, path, digest)]


def _is_exact_python(requirement: CondaRequirement) -> bool:
    """Tell whether only a conda channel has this Python: any other will do where no build or channel is named."""
    return requirement.name == "python" and bool(requirement.build or requirement.channel)


def _say(value: object) -> str:
    return f"`{value}`" if isinstance(value, str | int | float) else f"a {type(value).__name__}"


def parse_conda_requirement(text: str) -> CondaRequirement | None:
    """Read `channel::name=version=build`, `name>=1,<2`, `name 1.2.* build`; `None` if it is none of them."""
    found = _MATCH.match(text.strip())
    if not found or not _CONDA_NAME.match(found["name"]):
        return None
    name, channel, rest = found["name"].lower(), found["channel"] or "", (found["rest"] or "").strip()
    if not rest:
        return CondaRequirement(name, channel=channel)
    version, build = _split_version(rest)
    if not version or re.search(r"[\s\[\]'\"]", version + build):
        return None
    return CondaRequirement(name, version, build, channel)


def _split_version(rest: str) -> tuple[str, str]:
    """Split what follows the name into version and build."""
    if rest[0] == "=" and not rest.startswith("=="):
        version, _, build = rest[1:].strip().partition("=")
        return version.strip(), build.strip()
    if rest[0] in "<>!~=":
        tight = re.sub(r"\s*([<>=!~,|]+)\s*", r"\1", rest)
        version, _, build = tight.partition(" ")
        return (version[2:] if re.fullmatch(r"==[\w.!+-]+", version) else version), build.strip()
    version, _, build = re.sub(r"\s*([<>=!~,|]+)\s*", r"\1", rest).partition(" ")
    return version, build.strip()
