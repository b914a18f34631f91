"""Numbers that depend on the sample size, as text: ``0.005 * n**-0.083``. Parsed, never run."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from moestat.errors import InputError
from moestat.syntax import expression

#: Longer text is no formula.
MAX_LENGTH = 200

_OPERATIONS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
_SIGNS: dict[type[ast.unaryop], Callable[[float], float]] = {ast.USub: operator.neg, ast.UAdd: operator.pos}
_FUNCTIONS: dict[str, Callable[[float], float]] = {"log": math.log, "sqrt": math.sqrt, "exp": math.exp}

RULE = "a number, or a formula of n with + - * / ** and log, sqrt, exp"


@dataclass(frozen=True)
class Formula:
    """A function of the sample size.

    Parameters
    ----------
    text : str
        Such as ``"0.005 * n**-0.083"``, or a number.

    Raises
    ------
    InputError
        When the text is no such formula.
    """

    text: str

    def __post_init__(self) -> None:
        _value(self._tree(), 1000.0, self.text)

    def at(self, n: float) -> float:
        """Its value, a finite number, at n rows."""
        return _value(self._tree(), float(n), self.text)

    def _tree(self) -> ast.expr:
        if len(self.text) > MAX_LENGTH:
            raise InputError(f"a formula has at most {MAX_LENGTH} characters; got {len(self.text)}.")
        try:
            return expression(self.text)
        except SyntaxError:
            raise InputError(f"must be {RULE}; got {self.text!r}.") from None


def as_formula(value: Any) -> Formula:
    """A formula of a number or of text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise InputError(f"must be {RULE}; got {value!r}.")
    try:
        return Formula(value if isinstance(value, str) else repr(float(value)))
    except OverflowError:
        raise InputError(f"must be {RULE}; got a number of more than 300 digits.") from None


def _value(tree: ast.expr, n: float, text: str) -> float:
    try:
        value = _walk(tree, n)
    except (ArithmeticError, ValueError) as error:
        raise InputError(f"the formula {text!r} has no value at n={n:g}: {error}.") from None
    except TypeError:
        raise InputError(f"must be {RULE}; got {text!r}.") from None
    if not isinstance(value, float) or not math.isfinite(value):
        raise InputError(f"the formula {text!r} has no finite value at n={n:g}.")
    return value


def _walk(tree: ast.expr, n: float) -> float:
    match tree:
        case ast.Constant(value=bool() | complex()):
            raise TypeError
        case ast.Constant(value=int() | float() as value):
            return float(value)
        case ast.Name(id="n"):
            return n
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATIONS:
            return _OPERATIONS[type(op)](_walk(left, n), _walk(right, n))
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _SIGNS:
            return _SIGNS[type(op)](_walk(operand, n))
        case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in _FUNCTIONS:
            return _FUNCTIONS[name](_walk(argument, n))
    raise TypeError
