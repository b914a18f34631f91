"""Exceptions and warnings. Each text names the argument, the bad value, the rule and the way out."""

from __future__ import annotations


class MoestatError(Exception):
    """Base class of every error that moestat raises on purpose."""


class InputError(MoestatError, ValueError):
    """An argument or a data value breaks a stated rule."""


class NotIdentifiedError(MoestatError):
    """Inference was asked for parameters that the data do not determine."""


class MoestatWarning(UserWarning):
    """Base class of moestat's warnings."""


class ConvergenceWarning(MoestatWarning):
    """The fit did not end at a strict interior maximum; the text says where it ended."""
