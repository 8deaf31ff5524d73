"""The command line of wq-package: parse, call one library function, print."""

from __future__ import annotations
