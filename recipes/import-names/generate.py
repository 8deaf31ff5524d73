"""Make `src/wq_package/analyze/import_names.txt`: import name → distributions that provide it, most downloaded first.

Reads two public files that the caller has fetched (see README.md beside this file) and queries nothing itself:

    python recipes/import-names/generate.py --names pigar/.db.sqlite3 --ranking top-pypi-packages.csv
"""

from __future__ import annotations

import argparse
import csv
import re
import sqlite3
import sys
from collections import defaultdict
from pathlib import Path

OUTPUT = Path(__file__).parents[2] / "src" / "wq_package" / "analyze" / "import_names.txt"

DISTRIBUTIONS = 12_000
"""How many of the most downloaded distributions are looked at."""
SHARE = 0.02
"""A further candidate has at least this share of the first one's downloads: forks that hardly anybody uses stay out."""
CANDIDATES = 8

NOT_NAMES = frozenset(
    [
        "_tests",
        "_test",
        "tests",
        "test",
        "testing",
        "doc",
        "docs",
        "example",
        "examples",
        "sample",
        "samples",
        "src",
        "lib",
        "libs",
        "script",
        "scripts",
        "bin",
        "build",
        "dist",
        "setup",
        "conftest",
        "benchmark",
        "benchmarks",
        "bench",
        "tools",
        "tool",
        "utils",
        "util",
        "helpers",
        "common",
        "core",
        "data",
        "config",
        "configs",
        "resources",
        "templates",
        "static",
        "assets",
        "images",
        "notebooks",
        "tutorial",
        "tutorials",
        "demo",
        "demos",
        "experiments",
        "main",
        "app",
        "apps",
        "api",
        "cli",
        "version",
        "__pycache__",
        "__init__",
        "__main__",
        "site-packages",
        "share",
        "include",
        "etc",
        "packages",
        "package",
        "vendor",
        "vendored",
        "requirements",
        "integration",
        "integration_tests",
        "unit_tests",
        "e2e",
        "ci",
        "changelog",
        "licenses",
        "license",
        "README",
        "LICENSE",
        "dev",
    ]
)
NAMESPACES = frozenset(
    [
        "google",
        "azure",
        "ruamel",
        "zope",
        "jaraco",
        "backports",
        "sphinxcontrib",
        "opentelemetry",
        "plone",
        "collective",
        "zc",
        "repoze",
        "paste",
        "xstatic",
        "airflow",
        "dagster_contrib",
        "mpl_toolkits",
        "flaskext",
        "tencentcloud",
        "alibabacloud",
        "aws_cdk",
        "nvidia",
        "pulumi_contrib",
    ]
)

# What neither file says: names without a distribution of their own, and owners that metadata does not show.
KNOWN = {
    "pkg_resources": ["setuptools"],
    "setuptools": ["setuptools"],
    "distutils": ["setuptools"],
    "mpl_toolkits": ["matplotlib"],
    "mpl_toolkits.basemap": ["basemap"],
    "google.protobuf": ["protobuf"],
    "google.auth": ["google-auth"],
    "google.oauth2": ["google-auth"],
    "google.api_core": ["google-api-core"],
    "google.api": ["googleapis-common-protos"],
    "google.rpc": ["googleapis-common-protos"],
    "google.genai": ["google-genai"],
    "google.generativeai": ["google-generativeai"],
    "google.colab": ["google-colab"],
    "google.cloud.ndb": ["google-cloud-ndb"],
    "googleapiclient": ["google-api-python-client"],
    "ruamel.yaml": ["ruamel.yaml"],
    "azure.identity": ["azure-identity"],
    "azure.core": ["azure-core"],
    "opentelemetry.sdk": ["opentelemetry-sdk"],
    "opentelemetry.trace": ["opentelemetry-api"],
    "opentelemetry.metrics": ["opentelemetry-api"],
    "rdkit": ["rdkit"],
    "osgeo": ["GDAL"],
    "yaml": ["PyYAML"],
}


def main() -> None:
    """Read the two files and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--names", type=Path, required=True, help="SQLite database of the pigar distribution")
    parser.add_argument("--ranking", type=Path, required=True, help="top-pypi-packages.csv")
    args = parser.parse_args()
    downloads = read_downloads(args.ranking)
    table = make_table(read_names(args.names, downloads), downloads)
    OUTPUT.write_text(
        "".join(f"{name}\t{' '.join(table[name])}\n" for name in sorted(table)), encoding="utf-8"
    )
    sys.stdout.write(f"{len(table)} import names, {OUTPUT.stat().st_size} bytes\n")


def canonicalize(name: str) -> str:
    """Write a name as the index does."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_downloads(path: Path) -> dict[str, int]:
    """Read how often each of the most popular distributions is downloaded."""
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))[:DISTRIBUTIONS]
    return {canonicalize(row["project"]): int(row["download_count"]) for row in rows}


def read_names(path: Path, downloads: dict[str, int]) -> dict[str, set[str]]:
    """Read which of these distributions provide which top-level name."""
    names: dict[str, set[str]] = defaultdict(set)
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        query = "select d.name, t.name from top_level_module_names t join distributions d on d.id = t.distribution_id"
        for distribution, name in database.execute(query):
            if canonicalize(distribution) in downloads and is_import_name(name, distribution):
                names[name].add(distribution)
    return names


def is_import_name(name: str, distribution: str) -> bool:
    """Whether a name is worth a line: a folder of tests that a distribution installs by accident is not."""
    if not all(part.isidentifier() for part in name.split(".")):
        return False
    return name not in NOT_NAMES or canonicalize(name) == canonicalize(distribution)


def make_table(names: dict[str, set[str]], downloads: dict[str, int]) -> dict[str, list[str]]:
    """Rank the candidates of each name, and spell out the parts of namespace packages."""
    table: dict[str, list[str]] = {}
    for name, distributions in names.items():
        table[name] = rank(distributions, downloads)
        for distribution in distributions if name in NAMESPACES else ():
            dotted = canonicalize(distribution).replace("-", ".")
            if dotted.startswith(f"{name}.") and all(part.isidentifier() for part in dotted.split(".")):
                table.setdefault(dotted, [distribution])
    table.update(KNOWN)
    return table


def rank(distributions: set[str], downloads: dict[str, int]) -> list[str]:
    """Sort by downloads and drop those that hardly anybody uses."""
    ranked = sorted(distributions, key=lambda name: (-downloads[canonicalize(name)], name))
    least = downloads[canonicalize(ranked[0])] * SHARE
    return [name for name in ranked if downloads[canonicalize(name)] >= least][:CANDIDATES]


if __name__ == "__main__":
    main()
