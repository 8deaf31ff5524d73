"""What a worker says about itself, checked and remembered (logic module).

A worker may be asked to run tasks when it has told its resources and when it ends; one that omits `worker-end-time` is
never used, as with the original manager.
"""

from __future__ import annotations

import math

from wq_package.manager.state.records import WorkerRecord, encode_box
from wq_package.protocol.messages import Feature, Info, Resource, Workqueue
from wq_package.protocol.printing import escape_controls
from wq_package.task import Resources

VERSIONS = (9, 10, 11)
"""The Work Queue protocols that we speak."""
MOST_CORES = 65_536
MOST_MEGABYTES = 2**40
MOST_FEATURES = 1_024
MOST_NAMES = 100
KINDS = ("workers", "cores", "memory", "disk", "gpus")
LEAVING = ("idle-disconnecting", "vacating", "wall_time_exhausted")
"""What a worker says before it leaves without any task being to blame."""


class Lie(Exception):  # noqa: N818 - never leaves this room
    """The worker said something that cannot be."""


def note_greeting(worker: WorkerRecord, message: Workqueue) -> None:
    """Remember what the peer is.

    Raises:
        Lie: we do not speak its protocol, or it greets twice.
    """
    if worker.version:
        raise Lie("it greeted twice")
    if message.version not in VERSIONS:
        raise Lie(
            f"it speaks Work Queue protocol {message.version}, we speak {VERSIONS[0]} to {VERSIONS[-1]}"
        )
    worker.version = message.version
    worker.hostname = escape_controls(message.hostname)
    worker.system = escape_controls(message.system)
    worker.machine = escape_controls(message.machine)
    worker.software = escape_controls(message.software)


def note_feature(worker: WorkerRecord, message: Feature) -> None:
    """Remember a feature; the dialect counts only as part of the greeting."""
    if len(worker.features) >= MOST_FEATURES:
        raise Lie("it has too many features")
    if not worker.is_ready:
        worker.features.add(message.name)


def note_name(worker: WorkerRecord) -> None:
    """Count how often the worker asks for our name: once is enough, and it need not read the answers.

    Raises:
        Lie: it asks again and again.
    """
    worker.names_asked += 1
    if worker.names_asked > MOST_NAMES:
        raise Lie("it asks for the project's name again and again")


def note_info(worker: WorkerRecord, message: Info) -> None:
    """Remember a fact; unknown ones are ignored."""
    match message.key:
        case "worker-id":
            worker.worker_id = escape_controls(message.value)
        case "worker-end-time":
            worker.end_time = _read_number(message.value)
        case key if key in LEAVING:
            worker.is_leaving = True
        case _:
            pass


def note_resource(worker: WorkerRecord, message: Resource) -> None:
    """Remember one of the worker's resources.

    Raises:
        Lie: no machine has that much.
    """
    if message.name == "tag":
        worker.has_tag = True
        return
    if message.name not in KINDS:
        return
    most = MOST_CORES if message.name in ("cores", "gpus", "workers") else MOST_MEGABYTES
    if not all(0 <= amount <= most for amount in (message.total, message.smallest, message.largest)):
        raise Lie(f"it claims {message.total:g} of {message.name}")
    worker.totals[message.name] = (message.total, message.smallest, message.largest)


def is_greeting_complete(worker: WorkerRecord) -> bool:
    """Tell whether the worker has said all that must be known before it is given a task."""
    return (
        worker.version > 0
        and worker.has_tag
        and worker.end_time is not None
        and all(kind in worker.totals for kind in ("cores", "memory", "disk"))
    )


def sum_up(worker: WorkerRecord) -> None:
    """Work out what the worker has to give."""
    cores, memory, disk, gpus = (
        worker.totals.get(kind, (0, 0, 0))[0] for kind in ("cores", "memory", "disk", "gpus")
    )
    worker.total = encode_box(Resources(cores, int(memory), int(disk), int(gpus)))


def _read_number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise Lie(f"it says it ends at `{text[:40]}`") from None
    if not math.isfinite(number):
        raise Lie(f"it says it ends at `{text[:40]}`")
    return number
