"""``python -m nbmonitor …``."""

from __future__ import annotations

import sys

from nbmonitor.cli import main

sys.exit(main())
