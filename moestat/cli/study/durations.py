"""Times as people write them."""

from __future__ import annotations

import re

from moestat.errors import InputError

_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_NUMBER = r"[0-9]{1,9}(?:\.[0-9]+)?"


def seconds_of(text: str, option: str) -> float:
    """Seconds of a text such as ``90``, ``90m`` or ``1h30m``.

    Raises
    ------
    InputError
        When the text is no time, or no time at all.
    """
    if re.fullmatch(_NUMBER, text):
        found = float(text)
    elif re.fullmatch(rf"(?:{_NUMBER}[dhms])+", text):
        found = sum(float(number) * _UNITS[unit] for number, unit in re.findall(rf"({_NUMBER})([dhms])", text))
    else:
        found = 0.0
    if found <= 0.0:
        raise InputError(
            f"{option} must be a time larger than 0, in seconds or with units, as 90, 90m or 1h30m; got {text!r}."
        )
    return found
