"""Spec files: load and save them (shell module, thin: which reader reads which file).

Knows names and folders. What stands in a file is known by the module of its format.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from wq_package.errors import InvalidSpecError, SpecError
from wq_package.spec.environment import DataForm, DataSource, EnvironmentSpec, LocalSource, WheelRequirement
from wq_package.spec.environment_yml import Notes, parse_environment_yml
from wq_package.spec.environment_yml import render_environment_yml as _render
from wq_package.spec.local_source import digest_local_source

__all__ = [
    "digest_local_source",
    "load_spec",
    "make_relative",
    "render_environment_yml",
    "save_spec",
    "save_text",
]


_FOLDER_HINT = "name a file; `wq-package build --prefix DIR` packs an environment"


def load_spec(path: Path, notes: Notes | None = None) -> EnvironmentSpec:
    """Load a spec from environment.yml, requirements.txt, poncho's JSON, pylock.toml or a program's script block.

    Args:
        path: the file.
        notes: remembers what a YAML file held.

    Raises:
        InvalidSpecError: the file cannot be read or is malformed; every issue is named.
    """
    text = _read_text(path)
    name = path.name.lower()
    if name.endswith((".yml", ".yaml")):
        spec = parse_environment_yml(text, str(path), notes)
    elif name.endswith(".json"):
        from wq_package.spec.poncho import parse_poncho

        spec = parse_poncho(text, str(path))
    elif name.endswith(".toml"):
        from wq_package.spec.pylock import parse_pylock

        spec = parse_pylock(text, str(path))
    elif name.endswith((".py", ".pyw")):
        spec = _load_script(text, path)
    elif name.endswith((".txt", ".in")):
        spec = EnvironmentSpec(wheels=_load_requirements(path, text, ()))
    else:
        spec = _load_by_content(text, path)
    local = tuple(_make_absolute(source, path) for source in spec.local)
    spec = _find_channels(spec, path)
    return replace(spec, local=local, data=tuple(_find_repository(source, path) for source in spec.data))


def _load_by_content(text: str, path: Path) -> EnvironmentSpec:
    if text.lstrip().startswith("{"):
        from wq_package.spec.poncho import parse_poncho

        return parse_poncho(text, str(path))
    return parse_environment_yml(text, str(path))


def _load_script(text: str, path: Path) -> EnvironmentSpec:
    from wq_package.spec.script_block import parse_script_block

    block = parse_script_block(text, str(path))
    if block is None:
        hint = f"run `wq-package analyze {path} -o env.yml` first, and give `env.yml`"
        raise InvalidSpecError(str(path), ("the program has no `# /// script` block",), hint=hint)
    return EnvironmentSpec(python=block.requires_python, wheels=block.dependencies)


def _load_requirements(path: Path, text: str, seen: tuple[Path, ...]) -> tuple[WheelRequirement, ...]:
    from wq_package.spec.requirements_txt import parse_requirements_txt

    if path.resolve() in seen:
        raise InvalidSpecError(str(path), ("the file includes itself with `-r`",))
    parsed = parse_requirements_txt(text, str(path))
    wheels = list(parsed.wheels)
    for name in parsed.included:
        included = path.parent / name
        wheels += _load_requirements(included, _read_text(included), (*seen, path.resolve()))
    return tuple(dict.fromkeys(wheels))


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        hint = "`wq-package analyze APP.py -o env.yml` writes a spec"
        raise InvalidSpecError(str(path), ("there is no such file",), hint=hint) from error
    except UnicodeDecodeError as error:
        raise InvalidSpecError(str(path), ("it is not UTF-8 text",), hint="is this a spec file?") from error
    except OSError as error:
        issue = f"it cannot be read: {error.strerror or error}"
        raise InvalidSpecError(str(path), (issue,), hint=_FOLDER_HINT if path.is_dir() else None) from error


def _make_absolute(source: LocalSource, path: Path) -> LocalSource:
    absolute = Path(os.path.normpath(path.absolute().parent / source.path))
    return replace(source, path=str(absolute), digest=source.digest or digest_local_source(absolute))


def _find_channels(spec: EnvironmentSpec, path: Path) -> EnvironmentSpec:
    """Take channels that are relative paths as relative to the spec, as everything else in it."""
    channels = tuple(_find_channel(channel, path) for channel in spec.channels)
    conda = tuple(replace(each, channel=_find_channel(each.channel, path)) for each in spec.conda)
    return replace(spec, channels=channels, conda=conda)


def _find_channel(channel: str, path: Path) -> str:
    if channel not in (".", "..") and not channel.startswith(("./", "../")):
        return channel
    return os.path.normpath(path.absolute().parent / channel)


def _find_repository(source: DataSource, path: Path) -> DataSource:
    """Take a repository whose address is a path as one relative to the spec, not to wherever git will run."""
    if source.form is not DataForm.GIT or not source.url.startswith(("./", "../")):
        return source
    return replace(source, url=os.path.normpath(path.absolute().parent / source.url))


def render_environment_yml(spec: EnvironmentSpec, base: Path | None = None) -> str:
    """Write a spec as an environment.yml; paths of local source become relative to the folder `base`."""
    if base is None:
        return _render(spec)
    return _render(replace(spec, local=tuple(make_relative(source, base) for source in spec.local)))


def make_relative(source: LocalSource, base: Path) -> LocalSource:
    """Rewrite the path of local source relative to a folder."""
    relative = Path(os.path.relpath(source.path, base.absolute())).as_posix()
    return replace(source, path=relative if relative.startswith("..") else f"./{relative}")


def save_spec(spec: EnvironmentSpec, path: Path) -> None:
    """Save a spec as an environment.yml; the file appears whole or not at all.

    Raises:
        SpecError: the file cannot be written.
    """
    save_text(render_environment_yml(spec, path.absolute().parent), path)


def save_text(text: str, path: Path) -> None:
    """Save the text of a spec file; it appears whole or not at all.

    Raises:
        SpecError: the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        if path.is_char_device() or path.is_fifo():  # such as /dev/stdout: there is nothing to rename
            path.write_text(text, encoding="utf-8")
            return
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise SpecError(
            f"`{path}` cannot be written ({error.strerror or error})",
            hint="name a file in a folder that is there and that you may write to",
        ) from error
