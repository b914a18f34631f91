"""When to stop: the classical rules, shared by all solvers."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np

from moestat.errors import InputError
from moestat.solvers.loop import State, Stop


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The classical stopping rules; each but the limit of steps is off when None.

    Parameters
    ----------
    max_iter : int
        Largest number of steps.
    rtol : float, optional
        Stop when a step gains at most ``rtol * (|log-likelihood| + rtol_offset)``.
    atol : float, optional
        Stop when a step gains at most ``atol`` (a sum over rows, in nats).
    xtol : float, optional
        Stop when no unconstrained parameter moved by more than ``xtol``.
    gtol : float, optional
        Stop when the infinity norm of the projected score per row is at most ``gtol``.
    rtol_offset : float
        What programs add to the size of the log-likelihood: 0.1 in flexmix, 1 in many others.
    raw : bool
        Whether the relative rule sees the log-likelihood of the raw response, as other programs do. By default it
        sees that of the standardised response, so that a run does not depend on the response's unit.

    Notes
    -----
    Parameters and score are in working coordinates.

    A solver inherits these settings and calls `stop` on its state. One that judges the gradient itself calls
    `small_step` and `limit` instead; either way its states carry ``gain`` and ``move``.
    """

    def __new__(cls, *args: Any, **settings: Any) -> Self:
        """Refuse unknown settings by name, with the list of those there are."""
        known = [f.name for f in fields(cls)]
        unknown = sorted(set(settings) - set(known))
        if unknown or args:
            what = f"{unknown[0]!r}" if unknown else f"{args[0]!r} without a name"
            raise InputError(f"{cls.__name__} has no rule or setting {what}; name one of {', '.join(known)}.")
        return super().__new__(cls)

    max_iter: int = 1000
    rtol: float | None = None
    atol: float | None = None
    xtol: float | None = None
    gtol: float | None = None
    rtol_offset: float = 0.0
    raw: bool = False

    def __post_init__(self) -> None:
        if not _is_count(self.max_iter):
            raise InputError(
                f"max_iter must be a whole number of at least 0; got {self.max_iter!r}. "
                "To stop by tolerances alone, make it large."
            )
        for name in ("rtol", "atol", "xtol", "gtol"):
            value = getattr(self, name)
            if value is not None and not _is_tolerance(value):
                raise InputError(
                    f"{name} must be a number of at least 0, or None; got {value!r}. None switches the rule off."
                )
        if not isinstance(self.raw, bool):
            raise InputError(f"raw must be True or False; got {self.raw!r}.")
        if not _is_tolerance(self.rtol_offset):
            raise InputError(f"rtol_offset must be a number of at least 0; got {self.rtol_offset!r}. Leave it at 0.0.")

    def stop(self, state: State, stuck: Stop | None = None) -> Stop | None:
        """The first rule that holds, or None.

        ``stuck`` is what the solver found itself, that no further step is possible; a small gradient is the
        better reason, all other rules come after.
        """
        return self.small_gradient(state) or stuck or self.small_step(state) or self.limit(state)

    def small_gradient(self, state: State) -> Stop | None:
        """The rule of ``gtol``."""
        return Stop.GRADIENT if self.gtol is not None and state.gradient <= self.gtol else None

    def small_step(self, state: State) -> Stop | None:
        """The rules of ``atol``, ``rtol`` and ``xtol``, on the last step's gain and move."""
        if self.atol is not None and state.gain <= self.atol:
            return Stop.LOGLIK
        if self.rtol is not None and state.gain <= self.rtol * (self._size(state) + self.rtol_offset):
            return Stop.LOGLIK
        return Stop.PARAMETERS if self.xtol is not None and state.move <= self.xtol else None

    def _size(self, state: State) -> float:
        """Size of the log-likelihood that the relative rule speaks of."""
        return abs(state.climbed + state.shift) if self.raw else abs(state.climbed)

    def limit(self, state: State) -> Stop | None:
        """The rule of ``max_iter``."""
        return Stop.LIMIT if state.iteration >= self.max_iter else None


def _is_count(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(value >= 0)


def _is_tolerance(value: Any) -> bool:
    """A number that is not negative; NaN is none."""
    number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    return number and bool(value >= 0)
