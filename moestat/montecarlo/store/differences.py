"""In what a cell is not the cell that the store knows by its name."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from moestat.errors import InputError
from moestat.montecarlo.rows import Cell

#: Differences that are listed before the rest is counted.
LIMIT = 20

#: Columns that every table of results has besides the numbers.
RESERVED = ("fit", "protocol", "n", "replication", "outcome", "status", "words")

ABSENT = object()


def refuse_changes(known: Iterable[Cell], wanted: Iterable[Cell], where: str) -> None:
    """Refuse cells that have the fit, the protocol and the size of known ones, and are not these.

    Raises
    ------
    InputError
        With every difference, and the number of cells that have it.
    """
    names = {cell.label: cell for cell in known}
    found: dict[str, int] = {}
    changed = 0
    for cell in wanted:
        old = names.get(cell.label, cell)
        lines = set(differences(old, cell))
        changed += bool(lines)
        for line in lines:
            found[line] = found.get(line, 0) + 1
    if found:
        raise InputError(_text(found, changed, where))


def refuse_namesakes(cells: Iterable[Cell]) -> None:
    """Refuse a list in which two cells have one name, or where a cell's columns have."""
    seen: dict[str, Cell] = {}
    for cell in cells:
        if cell.label in seen:
            raise InputError(f"cells: two have the name {cell.label}; give one fit or protocol another name.")
        seen[cell.label] = cell
        taken = [name for name in cell.columns if cell.columns.count(name) > 1 or name in RESERVED]
        if taken:
            raise InputError(
                f"cells: the column {taken[0]!r} of {cell.label} is there twice or names what every row has "
                f"({', '.join(RESERVED)}); rename it."
            )


def differences(old: Cell, new: Cell) -> Iterator[str]:
    """Lines ``path: old -> new`` for what is not the same."""
    if old.text != new.text:
        lines = list(_walk("", _parsed(old.text), _parsed(new.text)))
        yield from lines or ["text: the same values, spelt otherwise"]
    if old.columns != new.columns:
        gone = [name for name in old.columns if name not in new.columns]
        come = [name for name in new.columns if name not in old.columns]
        yield f"columns: {_change(gone, come) if gone or come else _change(list(old.columns), list(new.columns))}"


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _walk(path: str, old: Any, new: Any) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            yield from _walk(f"{path}.{key}" if path else key, old.get(key, ABSENT), new.get(key, ABSENT))
    elif _lists_of_tables(old, new):
        for i, (a, b) in enumerate(zip(old, new, strict=True)):
            yield from _walk(f"{path}[{i}]", a, b)
    elif _shown(old) != _shown(new):  # 1 and 1.0 are not the same
        yield f"{path or 'text'}: {_change(old, new)}"


def _lists_of_tables(old: Any, new: Any) -> bool:
    both = isinstance(old, list) and isinstance(new, list)
    return both and len(old) == len(new) and any(isinstance(item, dict) for item in [*old, *new])


def _change(old: Any, new: Any) -> str:
    return f"{_cut(_shown(old))} -> {_cut(_shown(new))}"


def _shown(value: Any) -> str:
    return "absent" if value is ABSENT else json.dumps(value, ensure_ascii=False, sort_keys=True)


def _cut(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]}..."


def _text(found: dict[str, int], changed: int, where: str) -> str:
    lines = [f"  {line}  ({n} cell{'s' * (n > 1)})" for line, n in sorted(found.items(), key=lambda item: -item[1])]
    rest = len(lines) - LIMIT
    return "\n".join(
        [
            f"{changed} cell{'s are' if changed > 1 else ' is'} not what {where} holds under the same name:",
            *lines[:LIMIT],
            *([f"  and {rest} more"] if rest > 0 else []),
            "Nothing was written. Undo the change, or write to a new store.",
        ]
    )
