"""A bill of materials of an environment, as CycloneDX JSON (logic module).

Values in, text out; the same archive gives the same text: no clock, no random number, no path. Knows nothing of how archives
are read.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from email.parser import HeaderParser
from urllib.parse import quote

from wq_package import __version__
from wq_package.archive.layer import ArchiveIndex, IndexedLayer, LayerHeader, LayerKind
from wq_package.spec.environment import canonicalize_name

__all__ = ["Material", "parse_conda_record", "parse_distribution_metadata", "render_sbom"]

_SPEC_VERSION = "1.6"
_NAMESPACE = uuid.UUID("5c0f3a26-7a0b-5d3e-9a44-6a54d3f2b6c1")
_TYPES = {LayerKind.INTERPRETER: "platform", LayerKind.DATA: "data"}
_LONGEST_LICENCE = 100
_REQUIRED_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")


@dataclass(frozen=True, slots=True)
class Material:
    """What a package says about itself, beyond its name and version.

    Attributes:
        expression: its licence as an SPDX expression, or empty.
        licences: its licences in other words.
        summary: one line.
        homepage: its address, or empty.
        requires: names of what it may need; what an environment does not have is left out.
        qualifiers: of its package URL.
    """

    expression: str = ""
    licences: tuple[str, ...] = ()
    summary: str = ""
    homepage: str = ""
    requires: tuple[str, ...] = ()
    qualifiers: tuple[tuple[str, str], ...] = ()


def parse_distribution_metadata(text: str) -> Material:
    """Read METADATA of a wheel."""
    fields = HeaderParser().parsestr(text.partition("\n\n")[0])
    required = (_REQUIRED_NAME.match(each) for each in fields.get_all("Requires-Dist", []))
    return Material(
        expression=(fields["License-Expression"] or "").strip(),
        licences=_find_licences(fields["License"] or "", fields.get_all("Classifier", [])),
        summary=_clean(fields["Summary"]),
        homepage=_clean(fields["Home-page"]),
        requires=tuple(sorted({canonicalize_name(match[1]) for match in required if match})),
    )


def _clean(text: str | None) -> str:
    return "" if text is None or text.strip() == "UNKNOWN" else text.strip()


def _find_licences(named: str, classifiers: Sequence[str]) -> tuple[str, ...]:
    """Find a licence's name; some distributions give its whole text instead, and classifiers that name it."""
    named = _clean(named)
    if named and "\n" not in named and len(named) <= _LONGEST_LICENCE:
        return (named,)
    listed = (each for each in classifiers if each.startswith("License :: ") and each.count("::") > 1)
    return tuple(sorted({each.rpartition(" :: ")[2] for each in listed}))


def parse_conda_record(text: str) -> Material:
    """Read the record of a conda package, `conda-meta/….json`."""
    fields = json.loads(text)
    licence, url = str(fields.get("license") or ""), str(fields.get("url") or "")
    qualifiers = {
        "build": str(fields.get("build") or ""),
        "channel": str(fields.get("channel") or "").rstrip("/").rpartition("/")[2],
        "subdir": str(fields.get("subdir") or ""),
        "type": "conda" if url.endswith(".conda") else "tar.bz2" if url.endswith(".tar.bz2") else "",
    }
    return Material(
        licences=(licence,) if licence else (),
        requires=tuple(sorted({str(each).split()[0] for each in fields.get("depends") or ()})),
        qualifiers=tuple(sorted((name, value) for name, value in qualifiers.items() if value)),
    )


def render_sbom(index: ArchiveIndex, materials: Mapping[str, Material]) -> str:
    """Write the bill of materials of an archive.

    Args:
        index: of the archive.
        materials: what is known of its packages, by the digest of their layer.
    """
    layers = [layer for layer in index.layers if layer.header.kind is not LayerKind.LAUNCHER]
    known = {layer.digest: materials.get(layer.digest, Material()) for layer in layers}
    document = {
        "$schema": f"http://cyclonedx.org/schema/bom-{_SPEC_VERSION}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": _SPEC_VERSION,
        "serialNumber": uuid.uuid5(_NAMESPACE, index.environment).urn,
        "version": 1,
        "metadata": _describe_environment(index),
        "components": [_describe_layer(layer, known[layer.digest]) for layer in layers],
        "dependencies": list(_iter_dependencies(index, layers, known)),
    }
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _describe_environment(index: ArchiveIndex) -> dict[str, object]:
    glibc = ".".join(map(str, index.glibc)) if index.glibc else ""
    properties = {"wq-package:glibc": glibc, "wq-package:machine": index.machine}
    return {
        "component": {
            "bom-ref": index.environment,
            "type": "application",
            "name": "environment",
            "version": index.environment[:12],
            "properties": _list_properties(properties),
        },
        "tools": {"components": [{"type": "application", "name": "wq-package", "version": __version__}]},
    }


def _describe_layer(layer: IndexedLayer, material: Material) -> dict[str, object]:
    header = layer.header
    fields: dict[str, object] = {
        "bom-ref": layer.digest,
        "type": _TYPES.get(header.kind, "library"),
        "name": header.name,
        "version": header.version,
        "purl": _make_purl(header, material),
        "description": material.summary,
        "licenses": _list_licences(material),
        "properties": _list_properties(
            {
                "wq-package:build": header.build,
                "wq-package:kind": header.kind.value,
                "wq-package:layer": f"sha256:{layer.digest}",
            }
        ),
    }
    if header.source.startswith("sha256:"):
        fields["hashes"] = [{"alg": "SHA-256", "content": header.source.removeprefix("sha256:")}]
    if material.homepage.startswith(("http://", "https://")):
        fields["externalReferences"] = [{"type": "website", "url": material.homepage}]
    if header.kind is LayerKind.INTERPRETER:
        fields["cpe"] = f"cpe:2.3:a:python:python:{header.version}:*:*:*:*:*:*:*"
        fields["licenses"] = [{"expression": "PSF-2.0"}]
    return {name: value for name, value in fields.items() if value}


def _list_properties(properties: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in sorted(properties.items()) if value]


def _list_licences(material: Material) -> list[dict[str, object]]:
    if material.expression:
        return [{"expression": material.expression}]
    return [{"license": {"name": name}} for name in material.licences]


def _make_purl(header: LayerHeader, material: Material) -> str:
    """Write a package URL, <https://github.com/package-url/purl-spec>; local source has none that others could follow."""
    version = quote(header.version, safe="")
    if header.kind is LayerKind.WHEEL:
        return f"pkg:pypi/{canonicalize_name(header.name)}@{version}"
    if header.kind is LayerKind.CONDA:
        qualifiers = "&".join(f"{name}={quote(value, safe='')}" for name, value in material.qualifiers)
        return f"pkg:conda/{header.name}@{version}" + (f"?{qualifiers}" if qualifiers else "")
    return f"pkg:generic/{quote(header.name, safe='')}@{version}"


def _iter_dependencies(
    index: ArchiveIndex, layers: Sequence[IndexedLayer], known: Mapping[str, Material]
) -> Iterable[dict[str, object]]:
    yield {"ref": index.environment, "dependsOn": sorted(layer.digest for layer in layers)}
    by_name = {
        canonicalize_name(layer.header.name): layer.digest
        for layer in layers
        if layer.header.kind not in (LayerKind.LOCAL, LayerKind.DATA)
    }
    for layer in layers:
        names = {canonicalize_name(name) for name in known[layer.digest].requires}
        needed = {by_name[name] for name in names if name in by_name} - {layer.digest}
        yield {"ref": layer.digest, "dependsOn": sorted(needed)}
