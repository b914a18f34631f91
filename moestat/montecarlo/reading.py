"""Plain data read with care: every complaint names the path, the value, the rule and what may have been meant."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from moestat.errors import InputError
from moestat.spelling import suggestion

T = TypeVar("T")

#: Says that a key must be there.
REQUIRED: Any = object()

#: A value in a message is cut beyond this, and the message of another part of the package beyond that.
SHOWN, SAID = 80, 1000

#: Numbers beyond this are a mistake; their fourth powers are numbers still.
LARGEST = 1e50


@contextmanager
def at(path: str) -> Iterator[None]:
    """Errors of the package, with the path in the file before them."""
    try:
        yield
    except InputError as error:
        text = str(error)
        text = text if len(text) <= SAID else f"{text[:SAID]} ..."
        raise InputError(text if text.startswith(path) else f"{path}: {text}") from None


class Table:
    """A table of plain data; what is taken from it is checked, and `done` refuses what nobody took.

    Parameters
    ----------
    values : mapping
    path : str
        Of the table in the file, such as ``fit[0]``; empty for the whole file.
    """

    def __init__(self, values: Any, path: str) -> None:
        if not isinstance(values, Mapping):
            raise InputError(f"{path} must be a table of keys and values; got {shown(values)}.")
        self.path = path
        self._values = dict(values)
        self._known: list[str] = []

    def at(self, key: str) -> str:
        """The path of one of its keys."""
        return f"{self.path}.{key}" if self.path else key

    def has(self, key: str) -> bool:
        """Whether the key is there."""
        return key in self._values

    def take(self, key: str, default: Any = REQUIRED) -> Any:
        """The value as it is."""
        self._known.append(key)
        if key in self._values:
            return self._values[key]
        if default is REQUIRED:
            near = suggestion(key, [name for name in self._values if name not in self._known])
            raise InputError(f"{self.at(key)} is missing.{near and near.replace('mean', 'write')}")
        return default

    def text(self, key: str, default: Any = REQUIRED, *, longest: int = 4000) -> str:
        """A string."""
        value = self.take(key, default)
        if value is default and default is not REQUIRED:
            return value  # type: ignore[no-any-return]
        if not isinstance(value, str) or len(value) > longest:
            raise InputError(f"{self.at(key)} must be text of at most {longest} characters; got {shown(value)}.")
        if any(ord(sign) < 32 and sign not in "\n\t" for sign in value):
            raise InputError(f"{self.at(key)} must be text without control characters; got {shown(value)}.")
        return value

    def word(self, key: str, default: Any = REQUIRED) -> str:
        """A name: letters, digits and a few signs."""
        value = self.text(key, default, longest=60)
        if value and not all(c.isalnum() or c in "_-.+=" for c in value):
            raise InputError(
                f"{self.at(key)} must be a name of letters, digits and the signs _ - . + =; got {shown(value)}."
            )
        if not value and key in self._values:
            raise InputError(f"{self.at(key)} must not be empty.")
        return value

    def choice(self, key: str, choices: Sequence[str], default: Any = REQUIRED) -> str:
        """One of several words."""
        value = self.take(key, default)
        if value not in choices:
            near = suggestion(value, choices) if isinstance(value, str) else ""
            raise InputError(f"{self.at(key)} must be one of {list(choices)}; got {shown(value)}.{near}")
        return value  # type: ignore[no-any-return]

    def flag(self, key: str, default: Any = REQUIRED) -> bool:
        """True or false."""
        value = self.take(key, default)
        if not isinstance(value, bool):
            raise InputError(f"{self.at(key)} must be true or false; got {shown(value)}.")
        return value

    def whole(self, key: str, default: Any = REQUIRED, *, least: int = 0, most: int = 10**12) -> int:
        """A whole number within limits; 1e3 is one."""
        return whole(self.take(key, default), self.at(key), least, most)

    def number(self, key: str, default: Any = REQUIRED, *, above: float = -math.inf, most: float = math.inf) -> float:
        """A finite number larger than ``above`` and at most ``most``."""
        value = self.take(key, default)
        if not _is_number(value) or not above < value <= most or abs(value) > LARGEST:
            rule = f" larger than {above:g}" if above > -math.inf else ""
            rule += f" of at most {most:g}" if most < math.inf else ""
            raise InputError(
                f"{self.at(key)} must be a finite number{rule}, of size {LARGEST:g} at most; got {shown(value)}."
            )
        return float(value)

    def table(self, key: str, default: Any = REQUIRED) -> Table:
        """A table inside."""
        return Table(self.take(key, default), self.at(key))

    def tables(self, key: str) -> list[Table]:
        """An array of tables, one at least: ``[[key]]``."""
        values = self.take(key)
        if isinstance(values, Mapping):
            raise InputError(f"{self.at(key)} must be an array of tables: write [[{key}]] with two brackets.")
        if not isinstance(values, list) or not values:
            raise InputError(f"{self.at(key)} must be an array of tables, one at least; got {shown(values)}.")
        return [Table(value, f"{self.at(key)}[{i}]") for i, value in enumerate(values)]

    def numbers(self, key: str, default: Any = REQUIRED, *, infinite: bool = False) -> Any:
        """Numbers in tables and lists as they are; `check_numbers`."""
        value = self.take(key, default)
        if value is not default:
            check_numbers(value, self.at(key), infinite)
        return value

    def texts(self, key: str, default: Any = REQUIRED) -> tuple[str, ...]:
        """A list of strings without repetitions."""
        values = self.take(key, default)
        if not isinstance(values, list | tuple) or not all(isinstance(value, str) for value in values):
            raise InputError(f'{self.at(key)} must be a list of texts, as ["a", "b"]; got {shown(values)}.')
        if len(set(values)) < len(values):
            raise InputError(f"{self.at(key)} names something twice: {shown(values)}.")
        return tuple(values)

    def read(self, key: str, reader: Callable[[Any], T], default: Any = REQUIRED) -> T:
        """What a function makes of the value; its errors get the path."""
        value = self.take(key, default)
        with at(self.at(key)):
            return reader(value)

    def done(self) -> None:
        """Refuse keys that nobody asked for."""
        for key in self._values:
            if key not in self._known:
                where = f"in {self.path}" if self.path else "in a study"
                raise InputError(
                    f"{self.at(key)} is not known; {where} there may be {sorted(set(self._known))}."
                    f"{suggestion(key, self._known)}"
                )


def whole(value: Any, path: str, least: int = 0, most: int = 10**12) -> int:
    """A whole number within limits."""
    if not _is_number(value) or value != int(value) or not least <= value <= most:
        raise InputError(f"{path} must be a whole number from {least} to {most}; got {shown(value)}.")
    return int(value)


def check_numbers(value: Any, path: str, infinite: bool = False) -> None:
    """Refuse what is no number of a sensible size, wherever it is in tables and lists of numbers."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            check_numbers(inner, f"{path}.{key}", infinite)
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            check_numbers(inner, f"{path}[{i}]", infinite)
    elif not ((_is_number(value) and abs(value) <= LARGEST) or (infinite and value in (math.inf, -math.inf))):
        raise InputError(f"{path} must be a number of size {LARGEST:g} at most; got {shown(value)}.")


def shown(value: Any) -> str:
    """A value as a message shows it."""
    try:
        text = repr(value)
    except ValueError:  # whole numbers of thousands of digits have none
        text = f"a {type(value).__name__} that is too long to be shown"
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False
