"""Names that a user may have meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def suggestion(word: str, known: Iterable[str]) -> str:
    """``" Did you mean 'age'?"`` when a known name is near, else nothing."""
    names = list(known)
    folded = {name.lower(): name for name in reversed(names)}
    near = get_close_matches(word.lower(), list(folded), n=1)
    return f" Did you mean {folded[near[0]]!r}?" if near else ""
