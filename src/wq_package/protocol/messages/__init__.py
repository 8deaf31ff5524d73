"""What manager and worker can say to each other (value module).

One frozen value a message, named after its wire word; which way it goes says the module that it stands in. Knows
nothing of bytes, roles or order.

A message whose name ends in a size (`Put`, `Result`, `File`, …) is a header: the bytes follow as `Data` events and
finish with `EndOfBody`, and are never gathered, because they may be as large as an environment. The exceptions are
small and say so: a task's command, its variables, and the JSON of our dialect travel inside their message.
"""

from __future__ import annotations

from wq_package.protocol.messages.both_ways import ConnectionClosed, Data, Dir, End, EndOfBody
from wq_package.protocol.messages.dialect import (
    DIALECT_FEATURE,
    FILES_FEATURE,
    VERSION_FEATURE,
    CallResult,
    CallTask,
    EnvironmentFailed,
    EnvironmentOffer,
    EnvironmentReady,
    FetchFailed,
    FetchLayer,
    FileAnswer,
    FileOffer,
    FunctionDefinition,
    Hello,
    Layer,
    LayerName,
    LayerRequest,
    LayerStored,
    LayersWanted,
    PeerAddress,
    Recall,
    Recalled,
    ServePeers,
)
from wq_package.protocol.messages.from_manager import (
    Check,
    Exit,
    FileFlags,
    Get,
    Kill,
    ProjectName,
    Put,
    Putcmd,
    Puturl,
    Release,
    SendResults,
    StatusAnswer,
    Symlink,
    TaskDescription,
    TaskFile,
    Thirdget,
    Thirdput,
    TransferMode,
    Unlink,
    Url,
)
from wq_package.protocol.messages.from_worker import (
    Alive,
    AvailableResults,
    CacheInvalid,
    CacheUpdate,
    Feature,
    File,
    Info,
    Missing,
    Name,
    Resource,
    Result,
    StatusQuery,
    ThirdputComplete,
    Update,
    Workqueue,
)

__all__ = [
    "DIALECT_FEATURE",
    "FILES_FEATURE",
    "VERSION_FEATURE",
    "Alive",
    "AvailableResults",
    "CacheInvalid",
    "CacheUpdate",
    "CallResult",
    "CallTask",
    "Check",
    "ConnectionClosed",
    "Data",
    "Dir",
    "End",
    "EndOfBody",
    "EnvironmentFailed",
    "EnvironmentOffer",
    "EnvironmentReady",
    "Event",
    "Exit",
    "Feature",
    "FetchFailed",
    "FetchLayer",
    "File",
    "FileAnswer",
    "FileFlags",
    "FileOffer",
    "FunctionDefinition",
    "Get",
    "Hello",
    "Info",
    "Kill",
    "Layer",
    "LayerName",
    "LayerRequest",
    "LayerStored",
    "LayersWanted",
    "Message",
    "Missing",
    "Name",
    "PeerAddress",
    "ProjectName",
    "Put",
    "Putcmd",
    "Puturl",
    "Recall",
    "Recalled",
    "Release",
    "Resource",
    "Result",
    "SendResults",
    "ServePeers",
    "StatusAnswer",
    "StatusQuery",
    "Symlink",
    "TaskDescription",
    "TaskFile",
    "Thirdget",
    "Thirdput",
    "ThirdputComplete",
    "ToManager",
    "ToWorker",
    "TransferMode",
    "Unlink",
    "Update",
    "Url",
    "Workqueue",
]

ToManager = (
    Workqueue | Info | Feature | Resource | Alive | AvailableResults | Result | Update | Dir | File | Missing | Name
    | ThirdputComplete | CacheUpdate | CacheInvalid | StatusQuery | End | LayersWanted | EnvironmentReady
    | EnvironmentFailed | PeerAddress | LayerStored | FetchFailed | FileAnswer | LayerRequest | CallResult
    | Recalled
)  # fmt: skip
"""Every message that a worker (or a status tool) may send."""

ToWorker = (
    Put | Dir | Symlink | TaskDescription | Kill | Unlink | Get | SendResults | Check | Release | Exit | ProjectName
    | StatusAnswer | Url | Thirdget | Thirdput | Puturl | Putcmd | End | Hello | EnvironmentOffer | Layer
    | ServePeers | FetchLayer | FileOffer | FunctionDefinition | CallTask | Recall
)  # fmt: skip
"""Every message that a manager may send."""

Message = ToManager | ToWorker
"""Any message, either way."""

Event = Message | Data | EndOfBody | ConnectionClosed
"""What a connection makes of the bytes it is fed."""
