"""From a run's transaction log to a page that people read (pure room).

Knows the log's schema (`docs/reference-log.md`), numbers, SVG and HTML; nothing of queues, files or clocks.
"""

from __future__ import annotations

from wq_package.report.page import render_page
from wq_package.report.run import Run, read_run

__all__ = ["Run", "read_run", "render_page"]
