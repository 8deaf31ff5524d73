"""What a worker and its warm interpreters tell each other (value module; Python 3.8 or newer).

One packet is one message:

    call     <B kind> <Q serial> <32s function digest> <I extra size> + extra (JSON, may be absent) + arguments
    answer   <B kind> <Q serial> <B returned> <B in file> <Q µs> <Q CPU µs> <q KiB> <Q output size> <Q answer size>
             + what was printed + pickled answer; in a file of the spool folder named by the serial if they are large
    ready    <B kind> + JSON {"error": "…"}; error is empty if every import succeeded
    reaped   <B kind> <Q serial> <i wait status> <q CPU µs> <q KiB> <q 0.001 cores> <q KiB read> <q KiB written>
             <q processes> <q KiB limit> <q KiB held when killed for it, or 0> + its answer packet, if it has answered
             (fork mode: the call's process is gone)
"""

from __future__ import annotations

import json
import struct

CALL = struct.Struct("<BQ32sI")
ANSWER = struct.Struct("<BQBBQQqQQ")
REAPED = struct.Struct("<BQiqqqqqqqq")
KIND_CALL, KIND_KILL = 1, 2
KIND_ANSWER, KIND_READY, KIND_REAPED = 1, 2, 3
PACKET_LIMIT = 128 * 1024
INLINE_LIMIT = 64 * 1024


def encode_ready(error: str) -> bytes:
    """Make the packet that says that a host is ready, or what went wrong with its imports."""
    return struct.pack("<B", KIND_READY) + json.dumps({"error": error}).encode()
