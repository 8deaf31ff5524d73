"""What the state machine is told of a manager's options (shell module: it reads two scripts of this package)."""

from __future__ import annotations

import secrets
from importlib import resources

from wq_package.archive.launcher import render_launcher
from wq_package.manager.options import ManagerOptions
from wq_package.manager.state import StateOptions


def make_state_options(options: ManagerOptions) -> StateOptions:
    """Make the options of a new session's state machine."""
    scripts = resources.files("wq_package.archive.scripts")
    return StateOptions(
        session=secrets.token_hex(16),
        name=options.name or "",
        rule=options.rule,
        categories=options.categories,
        default_category=options.default_category,
        look_ahead=options.look_ahead,
        keepalive_interval=options.keepalive_interval,
        keepalive_timeout=options.keepalive_timeout,
        fast_abort_multiplier=options.fast_abort_multiplier,
        fast_abort_categories=options.fast_abort_categories,
        peers=options.uses_peers,
        launcher=render_launcher().encode(),
        run_call=scripts.joinpath("run_call.py").read_bytes(),
    )
