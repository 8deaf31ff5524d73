"""What an environment is: requirements, the environment spec, and its readers and writers.

This room knows text formats and values. It does not know how imports are found, how an environment is built or where
it runs. Import from the modules directly: `wq_package.spec.environment` for values, `wq_package.spec.files` for files.
"""

from __future__ import annotations
