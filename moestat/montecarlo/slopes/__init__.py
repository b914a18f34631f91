"""How fast a loss falls with the sample size, over the sizes that were run, and what that says of a predicted rate.

Names are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from moestat.montecarlo.slopes.gain import Gain
    from moestat.montecarlo.slopes.measured import Measured, NoSlopeError
    from moestat.montecarlo.slopes.slope import Slope, effective_slope
    from moestat.montecarlo.slopes.stratified import Strata, strata
    from moestat.montecarlo.slopes.verdict import Ruling, Verdict, judge

_NAMES: dict[str, str] = {
    "Gain": "gain",
    "Measured": "measured",
    "NoSlopeError": "measured",
    "Ruling": "verdict",
    "Slope": "slope",
    "Strata": "stratified",
    "Verdict": "verdict",
    "effective_slope": "slope",
    "judge": "verdict",
    "strata": "stratified",
}

__all__ = [
    "Gain",
    "Measured",
    "NoSlopeError",
    "Ruling",
    "Slope",
    "Strata",
    "Verdict",
    "effective_slope",
    "judge",
    "strata",
]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        value = getattr(import_module(f"moestat.montecarlo.slopes.{_NAMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'moestat.montecarlo.slopes' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(__all__) | set(globals()))
