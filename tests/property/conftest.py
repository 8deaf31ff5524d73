"""How every property test runs: no deadline, because a busy machine is not a failure."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("wq-package", deadline=None)
settings.load_profile("wq-package")
