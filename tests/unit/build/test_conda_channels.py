from __future__ import annotations

from pathlib import Path

import pytest

from wq_package.build.conda.channels import resolve_channel, resolve_channels, scrub_url

BASE = Path("/home/ann/project")


@pytest.mark.parametrize(
    ("name", "urls"),
    [
        ("conda-forge", ("https://conda.anaconda.org/conda-forge",)),
        ("bioconda/label/dev", ("https://conda.anaconda.org/bioconda/label/dev",)),
        ("https://example.org/mine/", ("https://example.org/mine",)),
        ("file:///srv/channel", ("file:///srv/channel",)),
        ("/srv/my channel", ("file:///srv/my%20channel",)),
        ("./channel", ("file:///home/ann/project/channel",)),
        ("../channel", ("file:///home/ann/channel",)),
        ("defaults", ("https://repo.anaconda.com/pkgs/main", "https://repo.anaconda.com/pkgs/r")),
    ],
)
def test_resolve_channel__name_path_or_url(name: str, urls: tuple[str, ...]) -> None:
    assert resolve_channel(name, BASE) == urls


def test_resolve_channels__none_named__takes_conda_forge() -> None:
    assert resolve_channels([], BASE) == ("https://conda.anaconda.org/conda-forge",)


def test_resolve_channels__one_named_twice__comes_once_at_its_first_place() -> None:
    names = ["conda-forge", "/srv/a", "https://conda.anaconda.org/conda-forge"]
    assert resolve_channels(names, BASE) == ("https://conda.anaconda.org/conda-forge", "file:///srv/a")


@pytest.mark.parametrize(
    ("url", "keep", "scrubbed"),
    [
        ("https://ann:secret@example.org/mine", 1, "https://example.org/mine"),
        (
            "https://example.org/t/ab-12-secret/mine/noarch/a.conda",
            3,
            "https://example.org/mine/noarch/a.conda",
        ),
        ("https://example.org/mine?key=secret", 1, "https://example.org/mine"),
        ("file:///home/ann/channel/linux-64/a.conda", 3, "file:///channel/linux-64/a.conda"),
        ("file:///home/ann/channel/", 1, "file:///channel"),
    ],
)
def test_scrub_url__leaves_out_secrets_and_folders(url: str, keep: int, scrubbed: str) -> None:
    assert scrub_url(url, keep=keep) == scrubbed
