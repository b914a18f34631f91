"""One text for one meaning: what a digest is taken of."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from enum import Enum
from hashlib import blake2b
from typing import Any

import numpy as np

from moestat.component import Component
from moestat.errors import InputError
from moestat.expressions import write
from moestat.montecarlo.formulas import Formula


def plain(value: Any) -> Any:
    """Plain data of records, arrays, components and tables; whole floats stay floats."""
    if isinstance(value, Component):
        return write(value)
    if isinstance(value, Formula):
        return value.text
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(name): plain(entry) for name, entry in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, Enum):
        return value.name
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise InputError(f"a study is made of numbers, text, tables and components; got {type(value).__name__}.")


def floats(value: Any) -> Any:
    """Plain data whose numbers are measurements: 1 is 1.0."""
    found = plain(value)
    if isinstance(found, dict):
        return {name: floats(entry) for name, entry in found.items()}
    if isinstance(found, list):
        return [floats(entry) for entry in found]
    return float(found) if isinstance(found, int) else found


def text_of(value: Any) -> str:
    """The canonical text: JSON with sorted keys and the shortest digits that read as the same number."""
    return json.dumps(plain(value), sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def digest_of(value: Any) -> str:
    """32 hexadecimal digits."""
    return blake2b(text_of(value).encode(), digest_size=16).hexdigest()
