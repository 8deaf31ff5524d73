from __future__ import annotations

import pytest

from connection_pair import ConnectionPair
from wq_package.errors import LocalProtocolError, RemoteProtocolError
from wq_package.protocol import messages as m
from wq_package.protocol.task_block import MAX_DESCRIPTION

# Recorded from Debian's manager: work-queue.md 2.15, session A.
RECORDED = b"""\
task 1
cmd 14
cat infile.txtcategory cat A
cores 1.000
gpus 0
memory 200
disk 300
wall_time 1.000000
env 11
FOO=bar baz
env 4
HOME
infile file-2-3b8d-with%20space.txt in/sp%20ace.txt 0
infile file-0-33cd-mydir dir_in 1
dir emptyd
outfile file-6-0f1c-out.local out.txt 16
end
"""
MEANING = m.TaskDescription(
    1, "cat infile.txt", "cat",
    cores=1.0, gpus=0, memory_mb=200, disk_mb=300, wall_time=1.0,
    variables=(("FOO", "bar baz"), ("HOME", None)),
    inputs=(
        m.TaskFile("file-2-3b8d-with%20space.txt", "in/sp ace.txt"),
        m.TaskFile("file-0-33cd-mydir", "dir_in", m.FileFlags.CACHE),
    ),
    folders=("emptyd",),
    outputs=(m.TaskFile("file-6-0f1c-out.local", "out.txt", m.FileFlags.WATCH),),
)  # fmt: skip


def read(block: bytes, version: int = 9) -> list[m.Event]:
    worker = ConnectionPair(version).worker
    worker.receive_data(block)
    return worker.next_events()


def write(task: m.TaskDescription, version: int = 9) -> bytes:
    manager = ConnectionPair(version).manager
    manager.send(task)
    return manager.data_to_send()


def test_read__of_a_real_manager__is_understood() -> None:
    assert read(RECORDED) == [MEANING]


def test_write__everything__comes_in_the_order_of_real_managers() -> None:
    task = m.TaskDescription(
        7, "cat in", "my app",
        cores=1.5, gpus=0, memory_mb=200, disk_mb=300, wall_time=60.0, end_time=1e9,
        variables=(("FOO", "bar\nbaz"), ("HOME", None)),
        inputs=(m.TaskFile("file-1", "in put", m.FileFlags.CACHE),),
        folders=("made",),
        outputs=(m.TaskFile("out-1", "caf\u00e9"),),
    )  # fmt: skip
    assert write(task) == (
        b"task 7\ncmd 6\ncat incategory my%20app\ncores 1.500\ngpus 0\nmemory 200\ndisk 300\n"
        b"end_time 1000000000.000000\nwall_time 60000000\nenv 11\nFOO=bar\nbaz\nenv 4\nHOME\n"
        b"infile file-1 in%20put 1\ndir made\noutfile out-1 caf%C3%A9 0\nend\n"
    )


def test_write__nothing_but_a_command__is_short() -> None:
    assert write(m.TaskDescription(1, "true")) == b"task 1\ncmd 4\ntruecategory default\nend\n"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(b"8000000", 8.0), (b"1500000", 1.5), (b"8.000000", 1.0), (b"1.000000", 1.0), (b"2500000.000000", 3.0)],
    ids=[
        "ours",
        "ours, fraction",
        "real manager",
        "real manager, limit API",
        "real manager, scaled by its user",
    ],
)
def test_wall_time__of_any_manager__is_what_a_real_worker_would_do(text: bytes, seconds: float) -> None:
    (task,) = read(b"task 1\nwall_time %b\nend\n" % text)
    assert isinstance(task, m.TaskDescription)
    assert task.wall_time == seconds


def test_wall_time__of_ours__is_never_shortened() -> None:
    assert b"wall_time 100001\n" in write(m.TaskDescription(1, "true", wall_time=0.1000004))


def test_coprocess__protocol_10__is_carried() -> None:
    task = m.TaskDescription(1, "true", coprocess="serve me")
    assert read(write(task, 10), 10) == [task]
    with pytest.raises(LocalProtocolError, match="protocol 9 knows no coprocesses"):
        write(task)


@pytest.mark.parametrize(
    "line",
    [
        b"nonsense",
        b"",
        b"cores",
        b"cores many",
        b"cmd -1",
        b"cmd",
        b"infile ../a b 0",
        b"infile a b",
        b"infile a b -1",
        b"outfile a/b c 0",
        b"dir",
        b"category",
        b"put a 3 0644",
    ],
)
def test_read__malformed_line__is_the_peers_mistake(line: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        read(b"task 1\n" + line + b"\nend\n")


def test_read__flags_of_the_future__are_ignored() -> None:
    (task,) = read(b"task 1\ninfile a b 1025\nend\n")
    assert isinstance(task, m.TaskDescription)
    assert task.inputs == (m.TaskFile("a", "b", m.FileFlags.CACHE),)


@pytest.mark.parametrize(
    "block", [b"cmd %d\n" % (MAX_DESCRIPTION + 1), b"cores 1\n" * (MAX_DESCRIPTION // 100)]
)
def test_read__endless__is_refused_before_it_fills_memory(block: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="description of more than"):
        read(b"task 1\n" + block)


@pytest.mark.parametrize(
    ("task", "why"),
    [
        (m.TaskDescription(1, "a\0b"), "command has a NUL"),
        (m.TaskDescription(1, "a", variables=(("A=B", "c"),)), "name of an environment variable"),
        (m.TaskDescription(1, "a", variables=(("", "c"),)), "name of an environment variable"),
        (m.TaskDescription(1, "a", variables=(("A", "\0"),)), "variable `A` has a NUL"),
        (m.TaskDescription(1, "a", inputs=(m.TaskFile("a b", "c"),)), "cache name"),
        (m.TaskDescription(1, "a", outputs=(m.TaskFile("a", ""),)), "not a file name"),
        (m.TaskDescription(1, "a", outputs=(m.TaskFile("a", "x" * 5000),)), "line of more than 4096"),
        (m.TaskDescription(1, "a", category="x" * 5000), "line of more than 4096"),
        (m.TaskDescription(1, "a", folders=("a b",)), "blank"),
        (m.TaskDescription(1, "a" * MAX_DESCRIPTION), "description of more than"),
    ],
)
def test_write__what_cannot_travel__is_our_mistake(task: m.TaskDescription, why: str) -> None:
    with pytest.raises(LocalProtocolError, match=why):
        write(task)


def test_write__long_variable__is_carried_whole() -> None:
    task = m.TaskDescription(1, "true", variables=(("LONG", "x" * 100_000),))
    assert read(write(task)) == [task]


def test_enforcement__between_two_of_ours__is_told() -> None:
    task = m.TaskDescription(1, "true", is_enforced=True)
    assert ConnectionPair(is_dialect=True).to_worker(task) == [task]


def test_enforcement__to_a_real_worker__is_not_told() -> None:
    assert b"enforce" not in write(m.TaskDescription(1, "true", is_enforced=True))
