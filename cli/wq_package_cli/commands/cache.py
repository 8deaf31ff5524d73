"""`wq-package cache`: list, measure, prune or verify the layers that builds keep."""

from __future__ import annotations

import argparse
import math
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from wq_package_cli.exit_codes import ExitCode
from wq_package_cli.output import Printer

if TYPE_CHECKING:
    from wq_package.build import LayerCache
    from wq_package.build.cache_upkeep import KeptLayer
    from wq_package_cli.main import Subparsers

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_DAY = 86400.0
_ACTIONS = {
    "list": "list the layers that are kept",
    "size": "tell how much room they take",
    "prune": "remove all layers and archives, or those that --keep and --days do not spare",
    "verify": "compare every layer with its digest, and remove those that are damaged",
}


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser("cache", help="list, measure, verify or prune the layer store")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for action, help_text in _ACTIONS.items():
        add = actions.add_parser(
            action, help=help_text, description=f"{help_text.capitalize()}."
        ).add_argument
        add("--cache", metavar="DIR", help="the layer store; by default the one that builds use")
        add("--json", action="store_true", help="print as JSON")
        if action == "prune":
            add("--keep", metavar="SIZE", type=_parse_size, help="bytes that may stay, for example `5G`")
            add("--days", metavar="N", type=_parse_days, help="keep what was used in the last N days")


def run(args: argparse.Namespace, printer: Printer) -> ExitCode:
    """Carry out one action."""
    from wq_package.build import LayerCache, default_cache_root

    cache = LayerCache(Path(args.cache).absolute() if args.cache else default_cache_root())
    match args.action:
        case "list":
            _list(cache, printer, as_json=args.json)
        case "size":
            _measure(cache, printer, as_json=args.json)
        case "verify":
            return _verify(cache, printer, as_json=args.json)
        case _:
            _prune(cache, args, printer)
    return ExitCode.DONE


def _parse_size(text: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)B?", text.strip(), re.IGNORECASE)
    if match is None:
        raise argparse.ArgumentTypeError(f"`{text}` is not a size such as `500M` or `5G`")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def _parse_days(text: str) -> float:
    with suppress(ValueError):
        days = float(text)
        if 0 <= days < math.inf:
            return days
    raise argparse.ArgumentTypeError(f"`{text}` is not a number of days")


def _list(cache: LayerCache, printer: Printer, *, as_json: bool) -> None:
    from wq_package.build.cache_upkeep import list_layers

    layers = list_layers(cache)
    if as_json:
        printer.print_json([_dump(layer) for layer in layers])
        return
    for layer in layers:
        header = layer.stored.header
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(layer.used))
        size = f"{layer.stored.stored_size / 1e6:10.3f} MB"
        printer.print_data(
            f"{layer.stored.digest[:12]}  {size}  {used}  {header.kind.value:<11}  {header.name} {header.version}"
        )


def _dump(layer: KeptLayer) -> dict[str, object]:
    stored = layer.stored
    return {
        "digest": stored.digest,
        "kind": stored.header.kind.value,
        "name": stored.header.name,
        "version": stored.header.version,
        "compression": stored.compression.value,
        "size": stored.stored_size,
        "unpacked_size": stored.size,
        "used": int(layer.used),
    }


def _measure(cache: LayerCache, printer: Printer, *, as_json: bool) -> None:
    from wq_package.build.cache_upkeep import list_layers
    from wq_package.build.kept_archives import KeptArchives

    layers, archives = list_layers(cache), KeptArchives(cache.root).list_archives()
    size = sum(layer.size for layer in layers)
    archived = sum(archive.size for archive in archives)
    if as_json:
        counts = {"layers": len(layers), "size": size, "archives": len(archives), "archives_size": archived}
        printer.print_json({"path": str(cache.root), **counts})
        return
    printer.print_data(f"{size / 1e6:.1f} MB in {len(layers)} layers at {cache.root}")
    if archives:
        printer.print_data(f"{archived / 1e6:.1f} MB in {len(archives)} archives of Parsl apps beside them")


def _verify(cache: LayerCache, printer: Printer, *, as_json: bool) -> ExitCode:
    from wq_package.build.cache_upkeep import verify_layers

    sound, removed = verify_layers(cache)
    if as_json:
        printer.print_json({"sound": len(sound), "removed": [str(path) for path in removed]})
    for path in removed:
        printer.print_words(
            f"removed `{path}`, which was damaged; the next build that needs it makes it again"
        )
    if not as_json:
        printer.print_data(f"{len(sound)} layers are sound, {len(removed)} were damaged")
    return ExitCode.ARCHIVE if removed else ExitCode.DONE


def _prune(cache: LayerCache, args: argparse.Namespace, printer: Printer) -> None:
    from wq_package.build.cache_upkeep import prune_layers

    older_than = None if args.days is None else args.days * _DAY
    pruned = prune_layers(cache, limit=args.keep, older_than=older_than)
    if args.json:
        counts = {"layers": pruned.layers, "archives": pruned.archives, "size": pruned.size}
        printer.print_json(counts)
    else:
        archives = f" and {pruned.archives} archives" if pruned.archives else ""
        printer.print_data(f"removed {pruned.layers} layers{archives}, {pruned.size / 1e6:.1f} MB")
