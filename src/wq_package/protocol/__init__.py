"""The Work Queue wire protocol, sans-I/O: messages, their bytes, and when each may be said (pure room).

`messages` holds the values, `connection` the one object a shell talks to. Nothing here touches a socket or a clock.
"""

from __future__ import annotations
