"""TOML from a stranger's file: read within limits, and never run."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from moestat.errors import InputError

#: The parser's memory grows with the square of a dotted key, and its stack with the nesting: what is larger than this
#: is refused before it is parsed.
MAX_BYTES = 64 * 1024
MAX_LINE = 4 * 1024
MAX_DEPTH = 12

#: A longer key is none.
MAX_KEY = 100

#: Whole numbers of TOML have 64 bits, and Python's no limit.
LARGEST = 2**63


def read_file(path: str | Path) -> str:
    """The text of a file.

    Raises
    ------
    InputError
        When there is no such file, or when it is larger than `MAX_BYTES` or no UTF-8.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(f"there is no study file {str(file)!r}. Write one with `moestat study new {file.name}`.")
    with file.open("rb") as stream:
        data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise InputError(f"{file}: a study file has at most {MAX_BYTES} bytes; this one has more.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: byte {error.start} is no UTF-8. Save the file as UTF-8.") from None


def parse(text: str) -> dict[str, Any]:
    """The tables of a text.

    Raises
    ------
    InputError
        When the text is no TOML, too long, or nested too deep.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise InputError(f"a study has at most {MAX_BYTES} bytes of text; got {len(text)} characters.")
    for number, line in enumerate(text.splitlines(), start=1):
        if any("\ud800" <= sign <= "\udfff" for sign in line):
            raise InputError(f"line {number} has half a character (a surrogate), which no file can hold.")
        if len(line) > MAX_LINE:
            raise InputError(f"line {number} has {len(line)} characters; at most {MAX_LINE} are read.")
    try:
        tables = tomllib.loads(text.replace("\r\n", "\n"))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"this is no TOML: {error}.") from None
    except (RecursionError, ValueError, OverflowError, MemoryError) as error:
        raise InputError(f"this is no TOML that can be read: {type(error).__name__}, {error}.") from None
    _check(tables)
    return tables


def _check(tables: dict[str, Any]) -> None:
    """Refuse deep nesting, dates, and whole numbers that are longer than any message may be."""
    level: list[tuple[str, Any]] = [("", tables)]
    for _ in range(MAX_DEPTH):
        level = [inner for path, value in level for inner in _inside(path, value)]
        for path, value in level:
            if isinstance(value, date | datetime | time):
                raise InputError(f"{path} must not be a date or a time: a study has none; got {value}.")
            if isinstance(value, int) and not -LARGEST <= value <= LARGEST:
                raise InputError(f"{path} is a whole number of more than 64 bits; write it as 1e20 if you mean it.")
    if level:
        raise InputError(f"{level[0][0][:80]}...: tables and lists are nested more than {MAX_DEPTH} deep.")


def _inside(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """What is in a table or a list, and where."""
    if isinstance(value, dict):
        if too_long := next((key for key in value if len(key) > MAX_KEY), None):
            where = f"{path}.{too_long}" if path else too_long
            raise InputError(f"{where[:MAX_KEY]}... is a key of more than {MAX_KEY} characters.")
        yield from ((f"{path}.{key}" if path else key, inner) for key, inner in value.items())
    elif isinstance(value, list):
        yield from ((f"{path}[{i}]", inner) for i, inner in enumerate(value))
