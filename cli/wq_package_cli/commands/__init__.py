"""One module per subcommand: `add_parser(subparsers)` and `run(args, printer) -> ExitCode`.

A command module imports the room it calls inside `run`, so that `wq-package analyze` never pays for the worker.
"""

from __future__ import annotations

COMMANDS: dict[str, str] = {
    "analyze": "find what a program imports and write an environment spec",
    "build": "build a relocatable environment archive from a spec",
    "lock": "write down exactly what a build of a spec packs",
    "run": "run a command inside an environment archive",
    "unpack": "unpack an environment archive into a folder",
    "inspect": "show what is in an environment archive",
    "diff": "show what differs between two environments",
    "export": "write an archive's bill of materials",
    "verify": "check every byte of an environment archive",
    "cache": "list, measure, verify or prune the layer store",
    "worker": "run a Work Queue worker",
    "status": "show what a manager is doing",
    "report": "turn a run's transaction log into a page to look at",
    "catalog": "run a small catalog of project names",
}
"""Every subcommand with its one-line help; the module of each is `wq_package_cli.commands.<name>`."""
