"""Codings of categories checked against the levels that a column has: ``C(g, Treatment('a'))``."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from moestat.errors import InputError
from moestat.frames.grammar import Part, unaliased
from moestat.frames.settings import CODINGS
from moestat.frames.whitelist import is_named
from moestat.spelling import suggestion
from moestat.syntax import expression


def check_codings(part: Part, columns: pd.DataFrame, aliases: Mapping[str, str]) -> None:
    """Refuse a reference that is no level, and scores that are not one per level."""
    for text in dict.fromkeys(factor.text for term in part.terms for factor in term if factor.labels):
        for name, coding, levels in _coded(expression(text), columns):
            if complaint := _complaint(coding, levels):
                shown, column = unaliased(text, aliases), aliases.get(name, name)
                raise InputError(f"{shown}: column {column!r} {complaint}")


def _coded(tree: ast.expr, columns: pd.DataFrame) -> Iterator[tuple[str, ast.Call, list[Any]]]:
    """Columns in C with a coding that has settings, and the levels that it codes."""
    for call in ast.walk(tree):
        if not (isinstance(call, ast.Call) and is_named(call.func, {"C"}) and call.args):
            continue
        column, named = call.args[0], {keyword.arg: keyword.value for keyword in call.keywords}
        coding = call.args[1] if len(call.args) > 1 else named.get("contrasts")
        if not (isinstance(column, ast.Name) and isinstance(coding, ast.Call) and is_named(coding.func, CODINGS)):
            continue
        if column.id in columns and isinstance(dtype := columns[column.id].dtype, pd.CategoricalDtype):
            yield column.id, coding, _literal(named.get("levels")) or dtype.categories.tolist()


def _complaint(coding: ast.Call, levels: list[Any]) -> str:
    assert isinstance(coding.func, ast.Name)
    settings = [*coding.args, *(keyword.value for keyword in coding.keywords)]
    value = _literal(settings[0]) if len(settings) == 1 else None
    if value is None:
        return ""
    if coding.func.id == "Treatment" and value not in levels:
        alike = [level for level in levels if str(level) == str(value)]
        hint = f" Write Treatment({alike[0]!r})." if alike else suggestion(str(value), map(str, levels))
        return f"has no level {value!r}; known are {_listed(levels)}.{hint}"
    if coding.func.id == "Poly" and len(value) != len(levels):
        return f"has {len(levels)} levels, {_listed(levels)}, and scores has {len(value)} entries. Give one per level."
    return ""


def _literal(node: ast.expr | None) -> Any:
    """The value of a literal; None where there is none."""
    try:
        return None if node is None else ast.literal_eval(node)
    except ValueError:
        return None


def _listed(levels: list[Any], most: int = 20) -> str:
    shown = ", ".join(repr(level) for level in levels[:most])
    return shown if len(levels) <= most else f"{shown} and {len(levels) - most} more"
