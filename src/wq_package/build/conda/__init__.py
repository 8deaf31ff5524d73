"""Conda packages in an environment, with no conda installed: py-rattler solves and fetches, the layers are ours.

    channels · records · provided                names and values
    rattler_backend · rattler_child · failures   asking py-rattler in a process of its own
    extracted · package_files · restore · installed_prefix   a package on disk, fetched or installed
    conda_meta · layer                           from a package to a layer
    ownership · conflicts · staged_python · upkeep · conda_base   from a spec to the recipes of all layers

Knows nothing of wheels, of order or of the archive. Nothing is imported here: a build without conda does not pay for it.
"""

from __future__ import annotations
