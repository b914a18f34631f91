"""Exceptions and warnings. Each text names the argument, the bad value, the rule and the way out."""

from __future__ import annotations

import sys
import warnings


class MoestatError(Exception):
    """Base class of every error that moestat raises on purpose."""


class InputError(MoestatError, ValueError):
    """An argument or a data value breaks a stated rule."""


class NotIdentifiedError(MoestatError):
    """Inference was asked for parameters that the data do not determine."""


class StoreError(MoestatError):
    """A store of results cannot be read or written now; what was committed is intact unless the text says otherwise."""


class DamagedStoreError(StoreError):
    """Bytes of a store are not those that were written."""


class MoestatWarning(UserWarning):
    """Base class of moestat's warnings."""


class ConvergenceWarning(MoestatWarning):
    """The fit did not end at a strict maximum; the text says where it ended."""


class SeparationWarning(ConvergenceWarning):
    """The likelihood rises towards a supremum at infinity.

    A gate or an expert separates the rows, or parameters go to a limit of the gate that the message names.
    """


class SpikeWarning(ConvergenceWarning):
    """The solution rests on a few rows, or on the variance floor."""


class NotIdentifiedWarning(ConvergenceWarning):
    """The maximum is flat: the data do not determine every parameter."""


class EmptyExpertWarning(ConvergenceWarning):
    """An expert ended without rows, although it was placed anew."""


class RankDeficientWarning(MoestatWarning):
    """Columns are constant or linear combinations of others; the minimum-norm solution is reported."""


class ScaleWarning(MoestatWarning):
    """Covariates come in units in which the gate can hardly do what it is for."""


class VersionsWarning(MoestatWarning):
    """Results of different versions, or of different kinds of machines, come together in one store."""


def warn(text: str, kind: type[MoestatWarning]) -> None:
    """Warn at the line of the first caller outside the package, whichever door was used."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] == "moestat":
        level, frame = level + 1, frame.f_back
    warnings.warn(text, kind, stacklevel=level)
