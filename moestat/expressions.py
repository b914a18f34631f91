"""Gates and experts as text: ``softmax``, ``gaussian(variance='common')``, ``topk(laplace, n_active=2)``.

The one grammar of Python, command line and study files:

    component  = name [ "(" [ setting { "," setting } ] ")" ]
    setting    = [ name "=" ] value
    value      = literal | component | "(" value "," ... ")" | "[" value "," ... "]"

Experts may be several components, ``gaussian, gaussian(variance='common')``: one family per expert. Literals are
numbers, strings, True, False and None. Nothing is evaluated: text is parsed, names are looked up in a registry, and
everything else is refused.
"""

from __future__ import annotations

import ast
import inspect
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from moestat.component import Component
from moestat.errors import InputError
from moestat.experts import Mixed
from moestat.spelling import suggestion
from moestat.syntax import expression

#: Longer text is no component.
MAX_LENGTH = 2000

Registry = Mapping[str, type[Component]]


# --------------------------------------------------------------------------------------- reading
def parse(text: str, what: str, registry: Registry) -> Component:
    """The component that an expression stands for.

    Parameters
    ----------
    text : str
        Such as ``"topk(laplace, n_active=2)"``.
    what : str
        How messages call it: ``"gate"`` or ``"expert"``.
    registry : mapping
        Classes by name: ``moestat.gates.GATES``, ``moestat.experts.EXPERTS``.

    Raises
    ------
    InputError
        When the text is not an expression, or a name, a setting or a value is not known.
    """
    return _component(_tree(text, what), _Reader(text, what, registry))


def parse_families(text: str, what: str, registry: Registry) -> Component | tuple[Component, ...]:
    """The same, or a tuple of components where the text has several, as ``"gaussian, gaussian(variance='common')"``."""
    tree, reader = _tree(text, what), _Reader(text, what, registry)
    if isinstance(tree, ast.Tuple):
        return tuple(_component(node, reader) for node in tree.elts)
    return _component(tree, reader)


class _Reader:
    """What stays the same while one text is read."""

    def __init__(self, text: str, what: str, registry: Registry) -> None:
        self.text, self.what, self.registry = text, what, registry

    def refuse(self, complaint: str) -> InputError:
        return InputError(f"{self.what} {self.text!r}: {complaint}")

    def known(self, name: str) -> type[Component]:
        if name not in self.registry:
            raise InputError(
                f"{self.what} must be one of {sorted(self.registry)} or an instance of {self.what.capitalize()}; "
                f"got {name!r}.{suggestion(name, self.registry)}"
            )
        return self.registry[name]


def _tree(text: str, what: str) -> ast.expr:
    if len(text) > MAX_LENGTH:
        raise InputError(f"{what} must be an expression of at most {MAX_LENGTH} characters; got {len(text)}.")
    try:
        return expression(text)
    except SyntaxError:
        raise InputError(
            f"{what} must be a name with settings in parentheses, as name(setting=value); got {text!r}."
        ) from None


def _component(node: ast.expr, reader: _Reader) -> Component:
    if isinstance(node, ast.Name):
        return _built(reader.known(node.id), [], {}, reader)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        kind = reader.known(node.func.id)
        positional = [_value(argument, reader) for argument in node.args]
        return _built(kind, positional, _keywords(node, kind, reader), reader)
    raise reader.refuse(
        f"a {reader.what} is a name with settings in parentheses, as name(setting=value); got {_shown(node)}."
    )


def _keywords(call: ast.Call, kind: type[Component], reader: _Reader) -> dict[str, Any]:
    settings = _settings(kind)
    found: dict[str, Any] = {}
    for keyword in call.keywords:
        if keyword.arg is None:
            raise reader.refuse("settings are written one by one, as setting=value; ** is not allowed.")
        if keyword.arg not in settings:
            raise reader.refuse(
                f"{kind.name} has no setting {keyword.arg!r}; {_listed(settings)}.{suggestion(keyword.arg, settings)}"
            )
        if keyword.arg in found:
            raise reader.refuse(f"the setting {keyword.arg!r} is given twice.")
        found[keyword.arg] = _value(keyword.value, reader)
    return found


def _value(node: ast.expr, reader: _Reader) -> Any:
    """A literal, a nested component, or several of them."""
    if isinstance(node, ast.Tuple | ast.List):
        entries = [_value(entry, reader) for entry in node.elts]
        return entries if isinstance(node, ast.List) else tuple(entries)
    if isinstance(node, ast.Name | ast.Call):
        if isinstance(node, ast.Name) and node.id not in reader.registry:
            raise reader.refuse(
                f"{node.id!r} is no {reader.what}; known are {sorted(reader.registry)}."
                f"{suggestion(node.id, reader.registry)} For a word write quotes: {node.id!r}."
            )
        return _component(node, reader)
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError):
        raise reader.refuse(f"a setting is a number, a string, a list of them or a {reader.what}.") from None
    if isinstance(value, set | dict | bytes | complex):
        raise reader.refuse(f"a setting is a number, a string, a list of them or a {reader.what}; got {value!r}.")
    return value


def _built(kind: type[Component], positional: list[Any], keywords: dict[str, Any], reader: _Reader) -> Component:
    settings = _settings(kind)
    try:
        inspect.signature(kind).bind(*positional, **keywords)
    except TypeError as error:
        raise reader.refuse(f"{kind.name}: {error}; {_listed(settings)}.") from None
    try:
        return kind(*positional, **keywords)
    except InputError:
        raise
    except (TypeError, ValueError, AttributeError) as error:  # settings of a type that the component did not expect
        raise reader.refuse(f"{kind.name} does not take these settings ({error}); {_listed(settings)}.") from error


def _settings(kind: type[Component]) -> list[str]:
    """Names of the settings, in order: what the class is called with, and compares by."""
    hidden = {name for name, f in getattr(kind, "__dataclass_fields__", {}).items() if not f.compare}
    parameters = inspect.signature(kind).parameters.values()
    named = {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
    return [p.name for p in parameters if p.kind in named and p.name not in hidden]


def _listed(settings: list[str]) -> str:
    return f"its settings are {', '.join(settings)}" if settings else "it has no settings"


def _shown(node: ast.expr) -> str:
    text = ast.unparse(node)
    return text if len(text) <= 60 else f"{text[:57]}..."


# --------------------------------------------------------------------------------------- writing
def write(component: Component) -> str:
    """The expression that reads as this component; settings at their defaults are left out.

    Raises
    ------
    InputError
        When a setting is neither a literal nor a component.
    """
    if isinstance(component, Mixed):
        families = [write(family) for family in component.families]
        return ", ".join(families) if len(families) > 1 else f"{families[0]},"
    component = component.spoken_of
    named = next(cls for cls in type(component).__mro__ if "name" in vars(cls))  # what the name stands for when read
    defaults = {name: p.default for name, p in inspect.signature(named).parameters.items()}
    pieces: list[str] = []
    leading = True  # components before the first literal need no name
    for name, value in component.settings().items():
        if name in defaults and _same(value, defaults[name]):
            leading = False
            continue
        leading = leading and isinstance(value, Component)
        pieces.append(_written(value) if leading else f"{name}={_written(value)}")
    return f"{component.name}({', '.join(pieces)})" if pieces else component.name


def spoken(component: Component) -> str:
    """The expression, or the name alone where a setting is a function, which has no text."""
    try:
        return write(component)
    except InputError:
        return component.name


def spoken_families(expert: Component, n_experts: int) -> list[str]:
    """The same for each expert of a model."""
    families = expert.families if isinstance(expert, Mixed) else (expert,) * n_experts
    return [spoken(family) for family in families]


def spoken_experts(expert: Component, n_experts: int) -> str:
    """``2 x gaussian``, or one expression per expert when they differ."""
    families = spoken_families(expert, n_experts)
    return f"{n_experts} x {families[0]}" if len(set(families)) == 1 else ", ".join(families)


def _same(value: Any, default: Any) -> bool:
    return type(value) is type(default) and bool(np.all(value == default))


def _written(value: Any) -> str:
    if isinstance(value, Component):
        return write(value)
    if isinstance(value, tuple | list):
        inside = ", ".join(_written(entry) for entry in value)
        return f"[{inside}]" if isinstance(value, list) else f"({inside}{',' if len(value) == 1 else ''})"
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and math.isinf(value):
        return "1e999" if value > 0 else "-1e999"  # read as infinity, which has no literal
    if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and not math.isnan(value)):
        return repr(value)
    raise InputError(f"only settings of numbers, strings and components can be written as text; got {value!r}.")
