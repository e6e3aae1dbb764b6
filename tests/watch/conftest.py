from __future__ import annotations

import fakes  # noqa: F401  (registers the backend `fake`)
