"""Source text → imports → apps → distributions → environment spec, with the reason for each.

This room reads programs and installed metadata. It never imports or runs what it reads, and knows nothing of archives,
queues or Parsl's own code.
"""

from __future__ import annotations

from wq_package.analyze.analysis import (
    Analysis,
    AnalyzeOptions,
    App,
    AppKind,
    Distribution,
    ImportKind,
    ImportUse,
    Location,
    Origin,
    Problem,
    Resolver,
    Severity,
    Suggestion,
)
from wq_package.analyze.analyzer import (
    analyze_app,
    analyze_file,
    analyze_files,
    analyze_imports,
    analyze_source,
)
from wq_package.analyze.sources import MAX_SOURCE

__all__ = [
    "MAX_SOURCE",
    "Analysis",
    "AnalyzeOptions",
    "App",
    "AppKind",
    "Distribution",
    "ImportKind",
    "ImportUse",
    "Location",
    "Origin",
    "Problem",
    "Resolver",
    "Severity",
    "Suggestion",
    "analyze_app",
    "analyze_file",
    "analyze_files",
    "analyze_imports",
    "analyze_source",
]
