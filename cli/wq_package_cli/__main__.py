"""`python -m wq_package_cli`."""

from __future__ import annotations

import sys

from wq_package_cli.main import main

sys.exit(main())
