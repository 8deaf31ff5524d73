from __future__ import annotations

from pathlib import Path

import pytest

from wq_package.analyze.conda_channels import name_channel


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://conda.anaconda.org/conda-forge/linux-64", "conda-forge"),
        ("https://conda.anaconda.org/conda-forge/", "conda-forge"),
        ("https://conda.anaconda.org/bioconda/label/dev/noarch", "bioconda/label/dev"),
        ("https://repo.anaconda.com/pkgs/main/linux-64", "defaults"),
        ("https://ann:secret@example.org/t/token/mine/noarch", "https://example.org/mine"),
        ("conda-forge", "conda-forge"),
        ("pypi", ""),
        ("<unknown>", ""),
        ("", ""),
        ("file:///no/such/folder/", ""),
    ],
)
def test_name_channel__as_an_environment_file_names_it(url: str, name: str) -> None:
    assert name_channel(url) == name


def test_name_channel__local_folder__keeps_its_url(tmp_path: Path) -> None:
    assert name_channel(f"{tmp_path.as_uri()}/") == tmp_path.as_uri()
