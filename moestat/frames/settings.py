"""Settings of the functions of a formula: their names, what each may be, and which go together."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from moestat.errors import InputError
from moestat.spelling import suggestion

#: Degrees, degrees of freedom and exponents beyond this are refused: they ask for endless work.
MAX_SIZE = 100

#: What a spline does with new values beyond those of the fit.
BEYOND = ("clip", "extend", "na", "raise", "zero")


class Kind(NamedTuple):
    """What a setting may be: in words, and as a test of the value; None is allowed where it is the default."""

    words: str
    holds: Callable[[Any], bool]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _are_numbers(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(map(_is_number, value))


def _optional(kind: Kind) -> Kind:
    return Kind(kind.words, lambda value: value is None or kind.holds(value))


SWITCH = Kind("True or False", lambda value: isinstance(value, bool))
NUMBER = Kind("a number", _is_number)
NUMBERS = Kind("a list of numbers, as [2, 3.5]", _are_numbers)
DEGREE = Kind("a whole number of at least 1, as 3", lambda value: _is_whole(value) and value >= 1)
STEPS = Kind("a whole number of at least 0, as 3", lambda value: _is_whole(value) and value >= 0)
EXTRAPOLATION = Kind(f"one of {', '.join(map(repr, BEYOND))}", lambda value: value in BEYOND)
CENTRED = Kind("'center' or a list of numbers", lambda value: value in (None, "center") or _are_numbers(value))
DF, KNOTS, BOUND = _optional(DEGREE), _optional(NUMBERS), _optional(NUMBER)

_CUBIC = {
    "df": DF,
    "knots": KNOTS,
    "lower_bound": BOUND,
    "upper_bound": BOUND,
    "constraints": CENTRED,
    "extrapolation": EXTRAPOLATION,
}
#: Settings of each function after its column, in the order in which they may stand without a name.
SETTINGS: dict[str, dict[str, Kind]] = {
    "bs": {
        "df": DF,
        "knots": KNOTS,
        "degree": STEPS,
        "include_intercept": SWITCH,
        "lower_bound": BOUND,
        "upper_bound": BOUND,
        "extrapolation": EXTRAPOLATION,
    },
    "cc": _CUBIC,
    "center": {},
    "cr": _CUBIC,
    "poly": {"degree": DEGREE, "raw": SWITCH},
    "scale": {"center": SWITCH, "scale": SWITCH, "ddof": NUMBER},
    "standardize": {"center": SWITCH, "rescale": SWITCH, "ddof": NUMBER},
}
#: Settings that need their name.
NAMED_ONLY = frozenset({("cc", "extrapolation"), ("cr", "extrapolation")})

#: Settings of the codings of categories.
CODINGS: dict[str, dict[str, Kind]] = {
    "Diff": {"backward": SWITCH},
    "Helmert": {"reverse": SWITCH, "scale": SWITCH},
    "Poly": {"scores": KNOTS},
    "Sum": {},
    "Treatment": {"reference": Kind("one level, as 'a'", lambda value: not isinstance(value, list | tuple))},
}

Refuse = Callable[[str], InputError]


def read_settings(call: ast.Call, refuse: Refuse, *, skipped: int = 1) -> dict[str, Any]:
    """The settings of a function or a coding by name, after their check.

    Parameters
    ----------
    call : ast.Call
        Its settings are literals.
    refuse : callable
        Makes the error of a complaint.
    skipped : int
        Arguments before the settings: the column.
    """
    assert isinstance(call.func, ast.Name)
    name, shown = call.func.id, ast.unparse(call)
    known = (SETTINGS | CODINGS)[name]
    found: dict[str, Any] = {}
    positions = [setting for setting in known if (name, setting) not in NAMED_ONLY]
    values = call.args[skipped:]
    if len(values) > len(positions):
        raise refuse(f"{shown}: {name} takes {_known(known)}; got one more, {ast.unparse(values[len(positions)])}.")
    for setting, value in [*zip(positions, values, strict=False), *((k.arg, k.value) for k in call.keywords)]:
        if setting not in known:
            raise refuse(f"{shown}: {name} has no setting {setting}; it takes {_known(known)}.{_meant(setting, known)}")
        if setting in found:
            raise refuse(f"{shown}: {setting} is given twice. Leave one of them out.")
        found[setting] = _value(shown, setting, value, known[setting], refuse)
    _check_together(name, shown, found, refuse)
    return found


def _known(known: Mapping[str, Kind]) -> str:
    return ", ".join(known) or "no setting"


def _meant(setting: str | None, known: Mapping[str, Kind]) -> str:
    """A known name that is near, or that begins so: deg, ref."""
    begun = [name for name in known if setting and name.startswith(setting)]
    return f" Did you mean {begun[0]!r}?" if len(begun) == 1 else suggestion(str(setting), known)


def _value(shown: str, setting: str, node: ast.expr, kind: Kind, refuse: Refuse) -> Any:
    try:
        value = ast.literal_eval(node)
    except ValueError:
        raise refuse(f"{shown}: {setting} must be {kind.words}; got {ast.unparse(node)}.") from None
    if not kind.holds(value):
        raise refuse(f"{shown}: {setting} must be {kind.words}; got {value!r}.")
    if setting in ("df", "degree", "ddof") and value is not None and value > MAX_SIZE:
        raise refuse(f"{shown}: {value} is more than the limit of {MAX_SIZE}.")
    return value


def _check_together(name: str, shown: str, found: Mapping[str, Any], refuse: Refuse) -> None:
    """What formulas may say of splines: how many columns, or where the knots lie."""
    if name not in ("bs", "cc", "cr"):
        return
    df, knots = found.get("df"), found.get("knots")
    low, high = found.get("lower_bound"), found.get("upper_bound")
    if df is not None and knots is not None:
        raise refuse(f"{shown}: df chooses the knots, so give df or knots, not both.")
    if low is not None and high is not None and low >= high:
        raise refuse(f"{shown}: lower_bound must be less than upper_bound; got {low} and {high}.")
    if name == "bs":
        if found.get("degree") == 0 and df is None and knots is None:
            raise refuse(f"{shown}: steps, of degree 0, need df or knots; write bs(..., df=5, degree=0).")
        degree, constant = found.get("degree", 3), bool(found.get("include_intercept"))
        if df is not None and df < degree + constant:
            least = f"the degree, {degree}" + (", and one for the constant" if constant else "")
            raise refuse(f"{shown}: df is the number of columns, at least {least}; got {df}. Write df={degree + 2}.")
        return
    if df is None and knots is None:
        raise refuse(f"{shown}: {name} needs df or knots; write {name}(..., df=5).")
    if name == "cr" and df == 1 and found.get("constraints") is None:
        raise refuse(f"{shown}: df is the number of columns, at least 2; got 1. Write df=5.")
