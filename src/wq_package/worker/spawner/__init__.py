"""Starts, watches and ends processes for a worker (scripts; standard library only).

Knows processes; knows nothing of tasks, queues or environments. It runs as a child of the worker, which names the file
descriptor of a socket. It is small and has one thread, so starting a process costs little, and it outlives the
worker by just long enough to kill every process group that it started: when the socket closes, nothing is left.

The worker runs `__main__.py` with no `wq_package` on the path, so the modules import each other relatively.

One packet is one message. From the worker, which runs the same Python: what `marshal` makes of this, with file descriptors
beside it:

    {"start": id, "argv": […], "cwd": "…", "set": {…}, "unset": […], "environ": {…} or null, "output": path or null,
     "mark": "NAME=VALUE", "cpus": […] or null, "watch": bool, "limit": KiB, 0 for none}
    {"kill": id, "signal": number}
    {"protect": id, "folders": […]}
    {"file": path}      the message stands in a file, because it is larger than a packet

A process that leaves its group (a daemon) is handed to us when its parent ends. By its environment, which has the mark
of the program that it came from, it is found and killed with that program. A program that is watched is measured while
it runs and killed when it holds more memory than its limit; see `measure/`. One that has a limit gets a cgroup of its own
where there can be one, in which the kernel keeps it to that limit.

Where the kernel lets us, we have a view of the file system of our own, which everything that we start shares. In it, the
folders to protect are read-only, for root too; the worker itself goes on writing to them.

To the worker, when no process of a program is left:

    <Q id> <i wait status> <i errno> <q CPU µs> <q KiB> <q 0.001 cores> <q KiB read> <q KiB written> <q processes>
    <q KiB with which it was over its limit, or 0>

errno is not 0 if the process did not start, or if the folders are not protected. What was not watched has no cores and no processes.
"""

from __future__ import annotations

import struct

ENDED = struct.Struct("<Qiiqqqqqqq")
PACKET_LIMIT = 160 * 1024
