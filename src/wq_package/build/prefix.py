"""Builds an archive of an environment that exists: a virtual environment, or one of conda's (shell module).

What is installed there becomes a spec of exact pins, editable installs and modules that no distribution owns become local
source. Knows nothing of how layers are made.
"""

from __future__ import annotations

import json
import logging
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from wq_package.analyze.installed import load_installed
from wq_package.build.conda.installed_prefix import list_prefix, list_prefix_files
from wq_package.build.editable import find_editable_sources
from wq_package.build.environment import build_environment
from wq_package.build.installed import InstalledDistribution, find_distributions
from wq_package.build.interpreter import describe_interpreter
from wq_package.build.layer_cache import LayerCache, default_cache_root
from wq_package.build.options import BuildOptions, BuiltEnvironment, Reporter
from wq_package.build.recipes import make_installed_recipe
from wq_package.build.record import parse_record
from wq_package.build.wheel_layer import find_edits
from wq_package.errors import BuildError
from wq_package.programs import run_program
from wq_package.spec.environment import EnvironmentSpec, LocalSource, WheelRequirement
from wq_package.spec.local_source import name_local_file

__all__ = ["PrefixContents", "build_prefix", "read_prefix"]

_LOG = logging.getLogger(__name__)
_ASK = "import json, site; print(json.dumps(site.getsitepackages()))"
_SHOWN = 5
# What virtualenv and setuptools put beside distributions for their own ends.
_OF_INSTALLERS = frozenset(
    {"_virtualenv.py", "distutils-precedence.pth", "__editable__", "easy-install.pth", "README.txt"}
)
_LEFT_OUT = (".pth", ".egg-link", ".dist-info", ".egg-info", ".pyc", ".pyo", "~", ".virtualenv")


@dataclass(frozen=True, slots=True)
class PrefixContents:
    """What an existing environment has.

    Attributes:
        python: its interpreter.
        site_folders: where its distributions lie.
        is_conda: whether conda made it.
        unowned: files inside packages that no distribution says it has: added by hand.
        distributions: what is installed, without what conda brought, by canonical name.
    """

    spec: EnvironmentSpec
    python: Path
    site_folders: tuple[str, ...]
    is_conda: bool
    unowned: tuple[LocalSource, ...]
    distributions: Mapping[str, InstalledDistribution]


def build_prefix(
    prefix: Path,
    output: Path,
    options: BuildOptions,
    reporter: Reporter | None = None,
    *,
    fallback: tuple[LocalSource, ...] = (),
) -> BuiltEnvironment:
    """Build the archive of an existing environment.

    Args:
        prefix: a virtual environment, or one of conda's.
        output: the archive file.
        options: how to build it; with `keep_edits`, what was changed there by hand is kept.
        reporter: is told how it goes on.
        fallback: modules to add if the environment has no distribution of their names.

    Raises:
        BuildError: it is no environment, or cannot be packed; what is in the way is named.
    """
    if options.python or options.platform:
        hint = "leave --python and --platform out, or make a spec with `wq-package analyze` and build that"
        raise BuildError("an environment that exists is packed with the Python that it has", hint=hint)
    found = read_prefix(prefix)
    spec = _add_missing(found.spec, fallback)
    if options.keep_edits:
        spec = replace(spec, local=(*spec.local, *found.unowned))
    else:
        _warn_of_edits(found, options)
    taken = replace(
        options,
        prefix=str(prefix.absolute()),
        site_folders=found.site_folders,
        interpreter=None if found.is_conda else options.interpreter or str(found.python),
    )
    return build_environment(spec, output, taken, reporter)


def _warn_of_edits(found: PrefixContents, options: BuildOptions) -> None:
    """Name what the archive will not have as it is here; conda's packages are verified, and refused, later."""
    issues = [f"`{each.import_name}` was added" for each in found.unowned]
    interpreter = describe_interpreter(str(found.python))
    cache = LayerCache(options.cache or default_cache_root())
    for requirement in found.spec.wheels:
        distribution = found.distributions[requirement.canonical_name]
        note = make_installed_recipe(distribution, interpreter, bytecode=False, keep_edits=True).key
        if cache.has_note(note):
            continue
        edits = find_edits(distribution, interpreter)
        issues += edits
        if not edits:
            cache.add_note(note)
    if issues:
        more = f" and {len(issues) - _SHOWN} more" if len(issues) > _SHOWN else ""
        shown = ", ".join(issues[:_SHOWN])
        _LOG.warning("packages are packed as they were released; --keep-edits keeps: %s%s", shown, more)


def _add_missing(spec: EnvironmentSpec, modules: tuple[LocalSource, ...]) -> EnvironmentSpec:
    known = {each.canonical_name for each in spec.wheels} | {each.name for each in spec.conda}
    known |= {each.import_name for each in spec.local}
    return replace(spec, local=(*spec.local, *(each for each in modules if each.import_name not in known)))


def read_prefix(prefix: Path) -> PrefixContents:
    """Find out what an existing environment has.

    Raises:
        BuildError: it is no environment, or its Python does not run.
    """
    prefix = prefix.absolute()
    is_conda = (prefix / "conda-meta").is_dir()
    if not is_conda and not (prefix / "pyvenv.cfg").is_file():
        hint = "name the folder that has `pyvenv.cfg` or `conda-meta` in it"
        raise BuildError(f"`{prefix}` is neither a virtual environment nor one of conda's", hint=hint)
    python = prefix / "bin" / ("python" if (prefix / "bin" / "python").exists() else "python3")
    folders = _ask_site_folders(python)
    owned = {str(prefix / path) for path in list_prefix_files(prefix)} if is_conda else set()
    distributions = {
        name: each
        for name, each in find_distributions(folders).items()
        if str(each.info_folder / "METADATA") not in owned
    }
    conda = list_prefix(prefix) if is_conda else ()
    channels = load_installed(folders).list_conda_channels(each.name for each in conda)
    spec = EnvironmentSpec(
        name=prefix.name,
        channels=channels,
        conda=conda,
        wheels=tuple(_iter_pins(distributions)),
    )
    return _add_local(spec, python, folders, _list_owned(distributions.values()) | owned, distributions)


def _ask_site_folders(python: Path) -> tuple[str, ...]:
    command = (str(python), "-I", "-c", _ASK)
    try:
        asked = run_program(command, seconds=60)
        folders = json.loads(asked.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        hint = "repair the environment, or make a spec with `wq-package analyze` and build that"
        raise BuildError(f"`{python}`, the environment's Python, does not run", hint=hint) from error
    # Debian's Python names folders that need not be there.
    return tuple(str(Path(folder).resolve()) for folder in folders if Path(folder).is_dir())


def _iter_pins(distributions: dict[str, InstalledDistribution]) -> Iterator[WheelRequirement]:
    for name, each in sorted(distributions.items()):
        if not each.is_editable:
            yield WheelRequirement(f"{name}=={each.version}")


def _list_owned(distributions: Iterable[InstalledDistribution]) -> set[str]:
    return {
        f"{each.site_folder}/{row.path}"
        for each in distributions
        for row in parse_record((each.read("RECORD") or b"").decode("utf-8", "replace"))
    }


def _add_local(
    spec: EnvironmentSpec,
    python: Path,
    folders: tuple[str, ...],
    owned: set[str],
    distributions: dict[str, InstalledDistribution],
) -> PrefixContents:
    local: dict[str, Path] = {}
    for name, each in sorted(distributions.items()):
        if each.is_editable:
            found = find_editable_sources(each)
            if not found:
                hint = "install it without --editable, then build again"
                raise BuildError(
                    f"the code of `{name}`, which is installed editable, was not found", hint=hint
                )
            local |= found
    unowned = [pair for folder in folders for pair in _iter_unowned(Path(folder), owned)]
    sites = set(map(Path, folders))
    local |= {name: path for name, path in unowned if path.parent in sites}
    nested = tuple(LocalSource(name, str(path), "") for name, path in unowned if path.parent not in sites)
    sources = tuple(LocalSource(name, str(path), "") for name, path in sorted(local.items()))
    return PrefixContents(
        replace(spec, local=sources), python, folders, bool(spec.conda), nested, distributions
    )


def _iter_unowned(site: Path, owned: set[str]) -> Iterator[tuple[str, Path]]:
    """Name what nobody owns: whole modules and packages, and files that were added to the packages of others."""
    parents = {str(parent) for path in owned for parent in PurePosixPath(path).parents}
    waiting = [site]
    while waiting:
        for path in sorted(waiting.pop().iterdir()):
            if _is_skipped(path) or str(path) in owned:
                continue
            if path.is_dir() and str(path) in parents:
                waiting.append(path)
            elif path.is_file() or (path / "__init__.py").is_file():
                place = PurePosixPath(path.relative_to(site))
                yield name_local_file(place) if path.is_file() else ".".join(place.parts), path


def _is_skipped(path: Path) -> bool:
    name = path.name
    return (
        name.startswith((".", "__editable__", "__pycache__"))
        or name in _OF_INSTALLERS
        or name.endswith(_LEFT_OUT)
    )
