"""How functions that only other kernels call are compiled."""

from __future__ import annotations

from typing import Any

IN_KERNEL: dict[str, Any] = {"nogil": True, "error_model": "numpy", "no_cpython_wrapper": True}
"""Without the door for Python, which takes half of the time; Python calling one would crash."""
