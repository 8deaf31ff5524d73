"""The metadata and commands of editable installs whose code travels as local source (shell module).

Without them `importlib.metadata` would not know the distribution: its version, its plugins, its commands. Knows nothing of
where the code goes: that is the recipe of the local source.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from wq_package.archive.layer import LayerEntry, LayerHeader, LayerKind
from wq_package.build.editable import is_editable_from
from wq_package.build.installed import InstalledDistribution
from wq_package.build.interpreter import Interpreter
from wq_package.build.layer_cache import compute_key
from wq_package.build.layer_plan import LayerPlan
from wq_package.build.recipes import BUILDER_VERSION, Recipe
from wq_package.spec.environment import LocalSource

__all__ = ["make_metadata_recipes"]

_SHIPPED = ("METADATA", "entry_points.txt", "top_level.txt")
"""Files of a `.dist-info` that say the same wherever the code is."""


def make_metadata_recipes(
    sources: Sequence[LocalSource], installed: Iterable[InstalledDistribution], interpreter: Interpreter
) -> list[Recipe]:
    """Take the metadata of the editable installs that some local sources are the code of, by name.

    Args:
        sources: all local sources of an environment.
        installed: where the installs are looked for, among other distributions.
        interpreter: the environment's Python.
    """
    editable = [each for each in installed if each.is_editable] if sources else []
    if not editable:
        return []
    paths = {Path(source.path).resolve(): source.import_name for source in sources}
    found = [each for each in editable if is_editable_from(each, paths)]
    return [_make_recipe(each, sources, interpreter) for each in sorted(found, key=lambda each: each.name)]


def _make_recipe(
    distribution: InstalledDistribution, sources: Sequence[LocalSource], interpreter: Interpreter
) -> Recipe:
    """Take the metadata of an editable install as it is now, and make the commands whose code is among the sources."""
    from wq_package.build.script_text import parse_entry_points, render_entry_point  # costs 3 ms

    texts = {name: text for name in _SHIPPED if (text := distribution.read(name)) is not None}
    shipped = {source.import_name.split(".")[0] for source in sources}
    commands = parse_entry_points(texts.get("entry_points.txt", b"").decode("utf-8", "replace"))
    scripts = {name: target for name, target in commands.items() if re.split(r"[.:\s]", target)[0] in shipped}
    folder = f"{interpreter.site_packages}/{distribution.info}"
    entries = (
        *(LayerEntry(f"{folder}/{name}", 0o644, text) for name, text in texts.items()),
        *(
            LayerEntry(f"bin/{name}", 0o755, render_entry_point(target).encode())
            for name, target in scripts.items()
        ),
    )
    contents = [[entry.path, hashlib.sha256(_read(entry)).hexdigest()] for entry in entries]
    key = compute_key("metadata", BUILDER_VERSION, contents)
    header = LayerHeader(LayerKind.LOCAL, distribution.info, key[:12])
    return Recipe(distribution.info, key, 0, lambda _: LayerPlan(header, entries))


def _read(entry: LayerEntry) -> bytes:
    assert isinstance(entry.source, bytes)
    return entry.source
