"""Run Python functions with exactly the environment they need, on machines that have nothing installed.

The rooms of this package and the direction of imports between them are drawn in CONTRIBUTING.md. This module knows
nothing and imports nothing, so that `import wq_package.worker` stays light.
"""

from __future__ import annotations

__version__ = "0.1.0"
