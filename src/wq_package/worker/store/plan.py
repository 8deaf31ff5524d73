"""Which file of which layer makes an environment, and what that takes (logic module).

Manifests in, members out. Knows nothing of the disk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wq_package.archive.layer import LayerManifest, Member, MemberKind, Relocation, make_manifest_path

__all__ = ["Plan", "make_plan", "measure_layer", "measure_own"]

_BLOCK = 4096


@dataclass(frozen=True, slots=True)
class Plan:
    """Which members of which layer make an environment."""

    members: Mapping[str, Sequence[Member]]
    relocations: Mapping[str, Sequence[Relocation]]

    @property
    def resized(self) -> frozenset[str]:
        """Paths whose size no manifest tells: relocated files, and the manifests themselves."""
        manifests = [members[-1].path for members in self.members.values()]
        return frozenset([*self.relocations, *manifests])


def make_plan(digests: Sequence[str], manifests: Sequence[LayerManifest]) -> Plan:
    """Decide for each path which layer it comes from: the last that has it, as with `tar -xf`."""
    owners: dict[str, int] = {}
    for number, manifest in enumerate(manifests):
        owners.update(dict.fromkeys((member.path for member in manifest.members), number))
    members: dict[str, list[Member]] = {}
    relocations: dict[str, list[Relocation]] = {}
    for number, (digest, manifest) in enumerate(zip(digests, manifests, strict=True)):
        members[digest] = [member for member in manifest.members if owners[member.path] == number]
        members[digest].append(Member(make_manifest_path(manifest.header), MemberKind.FILE, 0o644))
        for relocation in manifest.relocations:
            if owners[relocation.path] == number:
                relocations.setdefault(relocation.path, []).append(relocation)
    return Plan(members, relocations)


def measure_layer(manifest: LayerManifest) -> int:
    """Count what the files of a layer take on a disk."""
    return sum(_count_blocks(member.size) for member in manifest.members)


def measure_own(plan: Plan) -> int:
    """Count what an environment does not share with its layers."""
    members = [member for some in plan.members.values() for member in some]
    folders = {member.path.rpartition("/")[0] for member in members}
    own = sum(_count_blocks(member.size) for member in members if member.path in plan.relocations)
    return own + len(folders) * _BLOCK


def _count_blocks(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK
