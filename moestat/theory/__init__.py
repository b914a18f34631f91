"""What the theory of mixtures of experts says: losses, distances and rates, computed.

Names are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from moestat.theory.rbar import rbar  # at once: imported later, the module would take the place of its function

_NAMES: dict[str, str] = {}

__all__ = ["rbar"]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        value = getattr(import_module(f"moestat.theory.{_NAMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'moestat.theory' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(__all__) | set(globals()))
