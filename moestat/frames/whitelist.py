"""What may stand inside a function of a formula.

formulaic evaluates such expressions as Python, so nothing reaches it that was not read here first: arithmetic and
comparisons of columns, literals and known functions. The text that goes on is written anew from the syntax tree.
"""

from __future__ import annotations

import ast
from collections.abc import Collection
from typing import NamedTuple

from moestat.frames.settings import CODINGS, MAX_SIZE, SETTINGS, Refuse, read_settings
from moestat.spelling import suggestion
from moestat.syntax import expression

#: Functions of a column, elementwise.
ELEMENTWISE = frozenset(("I", "abs", "cos", "exp", "expm1", "log", "log10", "log1p", "log2", "sin", "sqrt"))
#: Functions whose result depends on the whole column; what they learnt is kept for new rows.
STATEFUL = frozenset(SETTINGS)
FUNCTIONS = ELEMENTWISE | STATEFUL | {"C"}

#: What people of other programs type, and what to type here.
ELSEWHERE = {
    "c": "List the columns one by one, joined by +.",
    "cbind": "It joins several responses, alone before the ~; join covariates by +.",
    "factor": "Write C(...).",
    "i": "Write C(...).",
    "ln": "Write log(...).",
    "ns": "Write cr(...).",
    "offset": "Pass the column as offset='...'.",
    "s": "Write bs(..., df=5) or cr(..., df=5).",
}

OPERATORS = (
    *(ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.UAdd, ast.USub),
    *(ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq, ast.BitAnd, ast.BitOr, ast.Invert),
)


class Reading(NamedTuple):
    """An expression in Python's own spelling, the names in it that are columns, and those that C makes categories."""

    text: str
    columns: tuple[str, ...]
    labels: tuple[str, ...]


def read(text: str, refuse: Refuse, *, unsafe: bool = False) -> Reading:
    """Check a call and everything in it.

    Parameters
    ----------
    text : str
        Such as ``"bs(x, df=4)"``.
    refuse : callable
        Makes the error of a complaint.
    unsafe : bool
        Take any Python expression; every name in it may be a column.
    """
    name = text.split("(", maxsplit=1)[0].strip()
    if not unsafe and "." in name:
        raise refuse(_unknown(name))
    try:
        tree = expression(text)
    except SyntaxError:
        raise refuse(f"{text} is not an expression that can be read.") from None
    columns = _names(tree) if unsafe else _Whitelist(refuse).columns_of(tree)
    return Reading(" ".join(ast.unparse(tree).split("\n")), columns, _labels(tree))


def _names(tree: ast.expr) -> tuple[str, ...]:
    return tuple(dict.fromkeys(node.id for node in ast.walk(tree) if isinstance(node, ast.Name)))


def _labels(tree: ast.expr) -> tuple[str, ...]:
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and is_named(node.func, {"C"})]
    return tuple(call.args[0].id for call in calls if call.args and isinstance(call.args[0], ast.Name))


def is_named(node: ast.expr, names: Collection[str]) -> bool:
    """Whether a node is one of these names."""
    return isinstance(node, ast.Name) and node.id in names


def _unknown(name: str) -> str:
    last = name.rsplit(".", maxsplit=1)[-1]
    hint = f" Write {last}(...)." if last in FUNCTIONS else suggestion(last, FUNCTIONS)
    hint = f" {ELSEWHERE[last]}" if last in ELSEWHERE else hint
    return f"there is no function {name}; known are {', '.join(sorted(FUNCTIONS, key=str.lower))}.{hint}"


def _shown(node: ast.AST) -> str:
    text = ast.unparse(node) if isinstance(node, ast.expr) else type(node).__name__
    return text if len(text) <= 60 else f"{text[:57]}..."


class _Whitelist(ast.NodeVisitor):
    """Visits every node, and refuses those that have no method here."""

    def __init__(self, refuse: Refuse) -> None:
        self._refuse = refuse
        self._columns: list[str] = []

    def columns_of(self, tree: ast.expr) -> tuple[str, ...]:
        self.visit(tree)
        if not self._columns:
            raise self._refuse(f"{_shown(tree)} holds no column.")
        return tuple(dict.fromkeys(self._columns))

    def generic_visit(self, node: ast.AST) -> None:
        raise self._refuse(f"{_shown(node)} is not allowed inside a function. Compute it as a column of the data.")

    # ------------------------------------------------------------------------------- columns and literals
    def visit_Name(self, node: ast.Name) -> None:
        if node.id.startswith("__"):
            raise self._refuse(f"put the name `{node.id}` in backticks.")
        self._columns.append(node.id)

    def visit_Constant(self, node: ast.Constant) -> None:
        if not isinstance(node.value, bool | int | float | str | None):
            raise self._refuse(f"{_shown(node)} is not allowed; numbers and strings are.")
        if isinstance(node.value, str) and (repr(node.value) != f"'{node.value}'" or set(node.value) & set('"`')):
            # formulaic pastes the text of a call into code of its own, between quotation marks
            raise self._refuse(
                f"{_shown(node)}: text in a formula has no quotation marks, backslashes or backticks. "
                "Rename the level, or order the levels as a pandas categorical."
            )

    def visit_List(self, node: ast.List | ast.Tuple) -> None:
        for entry in node.elts:
            inner = entry.operand if isinstance(entry, ast.UnaryOp) else entry
            if not isinstance(inner, ast.Constant):
                raise self._refuse(f"a list holds numbers and strings only; got {_shown(entry)}.")
            self.visit(entry)

    visit_Tuple = visit_List

    # ------------------------------------------------------------------------------- arithmetic
    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        self._check_operator(node, node.op)
        self.visit(node.operand)

    def visit_Compare(self, node: ast.Compare) -> None:
        if len(node.ops) > 1:
            raise self._refuse(f"{_shown(node)}: write comparisons one by one, as (0 < x) & (x < 1).")
        self._check_operator(node, node.ops[0])
        self.visit(node.left)
        self.visit(node.comparators[0])

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if isinstance(node.op, ast.Pow):
            self._check_power(node)
        else:
            self._check_operator(node, node.op)
        for operand in (node.left, node.right):
            # text or a list times a number is as large as the number
            if isinstance(operand, ast.List | ast.Tuple) or (
                isinstance(operand, ast.Constant) and isinstance(operand.value, str | None)
            ):
                raise self._refuse(f"{_shown(node)}: arithmetic is for columns and numbers.")
            self.visit(operand)

    def _check_operator(self, node: ast.expr, operator: ast.AST) -> None:
        if isinstance(operator, ast.BitXor):
            power = _shown(node).replace(" ^ ", "**")
            raise self._refuse(f"{_shown(node)} is not allowed; for a power write I({power}), with two stars.")
        if not isinstance(operator, OPERATORS):
            raise self._refuse(f"{_shown(node)} is not allowed; use + - * / ** and comparisons, joined by & and |.")

    def _check_power(self, node: ast.BinOp) -> None:
        """A power of plain numbers could take forever, and nobody needs it."""
        if not any(isinstance(inner, ast.Name) for inner in ast.walk(node.left)):
            raise self._refuse(f"{_shown(node)}: a power has a column at its base; for 2**x write exp(0.6931 * x).")
        right = node.right.operand if isinstance(node.right, ast.UnaryOp) else node.right
        if not isinstance(right, ast.Constant) or not isinstance(right.value, int | float) or right.value > MAX_SIZE:
            raise self._refuse(f"{_shown(node)}: an exponent is a number of at most {MAX_SIZE}.")

    # ------------------------------------------------------------------------------- functions
    def visit_Call(self, node: ast.Call) -> None:
        if not is_named(node.func, FUNCTIONS):
            raise self._refuse(_unknown(ast.unparse(node.func)))
        name = ast.unparse(node.func)
        if not node.args or isinstance(node.args[0], ast.Starred):
            raise self._refuse(f"{_shown(node)}: the first argument of {name} is a column.")
        if name == "C":
            self._check_categories(node)
            return
        if name in ELEMENTWISE and (len(node.args) > 1 or node.keywords):
            raise self._refuse(f"{_shown(node)}: {name} takes one argument.")
        self.visit(node.args[0])
        self._check_literals(node)
        if name in SETTINGS:
            read_settings(node, self._refuse)

    def _check_literals(self, call: ast.Call) -> None:
        """What stands after the column is plain, and has no code in it."""
        for named in call.keywords:
            if named.arg is None or named.arg.startswith("_"):
                raise self._refuse(f"{_shown(call)}: settings are written one by one, as df=4.")
        for value in [*call.args[1:], *(named.value for named in call.keywords)]:
            inner = value.operand if isinstance(value, ast.UnaryOp) else value
            if not isinstance(inner, ast.Constant | ast.List | ast.Tuple):
                raise self._refuse(f"{_shown(call)}: after the column, {_shown(call.func)} takes numbers and words.")
            self.visit(value)

    def _check_categories(self, node: ast.Call) -> None:
        """C(column), C(column, coding), C(column, levels=[...])."""
        column, *codings = node.args
        if not isinstance(column, ast.Name):
            raise self._refuse(f"{_shown(node)}: C takes the name of one column.")
        self.visit(column)
        for named in node.keywords:
            if named.arg == "contrasts":
                codings.append(named.value)
            elif named.arg == "levels" and isinstance(named.value, ast.List):
                self.visit(named.value)
            else:
                raise self._refuse(f"{_shown(node)}: C knows contrasts=Treatment('a') and levels=['a', 'b'].")
        for coding in codings:
            self._check_coding(coding)

    def _check_coding(self, node: ast.expr) -> None:
        call = node if isinstance(node, ast.Call) else ast.Call(node, [], [])
        arguments = [*call.args, *(named.value for named in call.keywords if named.arg)]
        literal = all(isinstance(argument, ast.Constant | ast.List) for argument in arguments)
        if not is_named(call.func, CODINGS) or not literal or len(arguments) < len(call.args) + len(call.keywords):
            raise self._refuse(
                f"{_shown(node)} is no coding; known are {', '.join(sorted(CODINGS))}, as in C(g, Treatment('a'))."
            )
        for argument in arguments:
            self.visit(argument)
        read_settings(call, self._refuse, skipped=0)
