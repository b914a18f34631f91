"""Formulas as terms: ``y ~ x1 + C(g) | z1 + z2``.

    formula = left "~" part [ "|" part ]
    left    = response { "+" response } | "cbind(" response { "," response } ")"
    part    = signed sum of products; 1, 0 and -1 say whether there is an intercept
    product = factors joined by  :  (interaction),  *  (both and their interaction),  /  (nested),  **  or  ^  (power)
    factor  = column | `column` | function "(" expression ")" | "(" part ")"

The operators are those of Wilkinson and Rogers (1973, Applied Statistics 22), with the precedence of R. What stands
inside a function is Python, which formulaic evaluates; so it is parsed first, and only arithmetic, comparisons,
literals, columns and known functions may occur in it. An ``unsafe`` formula may hold any Python expression there.
"""

from __future__ import annotations

import ast
import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from moestat.errors import InputError
from moestat.frames.whitelist import read
from moestat.syntax import expression

#: Limits that keep a short text from asking for endless work.
MAX_LENGTH, MAX_TERMS, MAX_POWER, MAX_DEPTH = 20_000, 5_000, 10, 50


class Factor(NamedTuple):
    """One factor of a term: the name of a column, or an expression of columns.

    ``columns`` are the names in it that may be columns, ``labels`` those whose entries are categories.
    """

    text: str
    is_column: bool
    columns: tuple[str, ...]
    labels: tuple[str, ...] = ()


#: A term is a product of factors, in the order in which they were written.
Term = tuple[Factor, ...]
#: Terms by their factors in any order: a:b and b:a are one.
Terms = dict[frozenset[Factor], Term]


@dataclass(frozen=True)
class Part:
    """Terms of the experts or of the gate, by degree, and whether there is an intercept."""

    terms: tuple[Term, ...]
    intercept: bool = True


@dataclass(frozen=True)
class Formula:
    """A formula as parsed; most have one response.

    Columns that Python has no name for appear under stand-ins; ``aliases`` gives the column of each.
    """

    text: str
    responses: tuple[Factor, ...]
    expert: Part
    gate: Part
    aliases: dict[str, str] = field(default_factory=dict)
    unsafe: bool = False


def parse(text: str, *, unsafe: bool = False) -> Formula:
    """The terms of a formula.

    Raises
    ------
    InputError
        When the text is not a formula, or holds something that is not allowed; the message shows it.
    """
    if not isinstance(text, str):
        raise InputError(f"formula must be a string such as 'y ~ x1 + x2 | z'; got {type(text).__name__}.")
    if len(text) > MAX_LENGTH:
        raise InputError(f"formula must have at most {MAX_LENGTH} characters; got {len(text)}. Pass arrays to ms.fit.")
    aliases: dict[str, str] = {}
    left, parts = _split(_tokens(text, aliases), text)
    reader = _Parts(text, aliases, unsafe)
    responses = reader.responses(left)
    expert = reader.part(parts[0])
    gate = reader.part(parts[1]) if len(parts) > 1 else Part(expert.terms)
    return Formula(text.strip(), responses, expert, gate, aliases, unsafe)


# --------------------------------------------------------------------------------------- tokens
class _Token(NamedTuple):
    kind: str  # "name", "call", "number", "operator" or "end"
    text: str


_OPENING = re.compile(r"\s*\(")
_REST = re.compile(r"\s*(\S)")
_TOKEN = re.compile(r"\s*(?:(?P<name>[^\W\d](?:[\w.]*\w)?)|(?P<number>\d+(?:\.\d*)?)|(?P<operator>\*\*|[-+*/:^()~|]))")
_STRING = re.compile(r"'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\"")


def _tokens(text: str, aliases: dict[str, str]) -> list[_Token]:
    text = _without_backticks(text, aliases)
    tokens: list[_Token] = []
    at = 0
    while rest := _REST.match(text, at):
        found = _TOKEN.match(text, at)
        if found is None:
            raise InputError(_stray(text, rest.group(1)))
        at = found.end()
        kind = str(found.lastgroup)
        token = found.group(kind)
        if kind == "name" and (opening := _OPENING.match(text, at)):
            end = _closing(text, opening.end() - 1)
            token, kind, at = f"{token}{text[at:end]}", "call", end
        tokens.append(_Token(kind, token))
    return tokens


def _stray(text: str, character: str) -> str:
    hints = {
        ".": "list the columns one by one",
        "%": "write a:b for an interaction",
        "=": "write ~ between the response and the covariates",
        "[": "columns are named, not indexed",
    }
    hint = hints.get(character, "put names with such characters in backticks, as `unit price`")
    return f"formula {text!r}: the character {character!r} has no place here; {hint}."


def _without_backticks(text: str, aliases: dict[str, str]) -> str:
    """Columns in backticks under names that Python can hold; text in quotes is left alone."""
    pieces = re.split(r"('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|`[^`]*`)", text)
    for i, piece in enumerate(pieces):
        if piece.startswith("`"):
            name = piece[1:-1]
            if name.isidentifier() and not keyword.iskeyword(name) and not name.startswith("__"):
                pieces[i] = name
            else:
                pieces[i] = next((s for s, column in aliases.items() if column == name), _stand_in(text, aliases))
                aliases[pieces[i]] = name
    return "".join(pieces)


def _stand_in(text: str, aliases: dict[str, str]) -> str:
    """A name that does not occur in the text."""
    name = f"column_{len(aliases)}_of_formula"
    while name in text:
        name += "_"
    return name


def _closing(text: str, start: int) -> int:
    """Position after the parenthesis that closes the one at ``start``; those in strings do not count."""
    depth, at = 0, start
    while at < len(text):
        if text[at] in "'\"":
            string = _STRING.match(text, at)
            if string is None:
                raise InputError(f"formula: a quotation mark is not closed in {text[start:]!r}.")
            at = string.end()
            continue
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        at += 1
        if depth == 0:
            return at
    raise InputError(f"formula: a parenthesis is not closed in {text[start:]!r}.")


def _split(tokens: list[_Token], text: str) -> tuple[list[_Token], list[list[_Token]]]:
    """Tokens before the tilde, and those of one or two parts after it."""
    tildes = [i for i, token in enumerate(tokens) if token.text == "~"]
    if len(tildes) != 1:
        raise InputError(
            f"formula must have one ~ between the response and the covariates, as 'y ~ x | z'; got {text!r}."
        )
    left, right = tokens[: tildes[0]], tokens[tildes[0] + 1 :]
    parts: list[list[_Token]] = [[]]
    for token in right:
        if token.text == "|":
            parts.append([])
        else:
            parts[-1].append(token)
    if len(parts) > 2:
        raise InputError(
            f"formula may have one bar, between the experts' part and the gate's, as 'y ~ x | z'; got {text!r}."
        )
    if not left:
        raise InputError(f"formula must name the response before the ~, as 'y ~ x'; got {text!r}.")
    for part, side in zip(parts, ("experts", "gate"), strict=False):
        if not part:
            raise InputError(f"formula {text!r} has nothing for the {side}; write 1 for an intercept alone.")
    return left, parts


def _joined(tokens: list[_Token]) -> list[_Token]:
    """Responses with a plus between them, also where they stand in R's cbind; nothing if those cannot be read."""
    if len(tokens) != 1 or re.match(r"cbind\s*\(", tokens[0].text) is None:
        return tokens
    try:
        call = expression(tokens[0].text)
    except SyntaxError:
        return []
    if not isinstance(call, ast.Call) or call.keywords:
        return []
    joined: list[_Token] = []
    for argument in call.args:
        kind = {ast.Call: "call", ast.Name: "name", ast.Attribute: "name"}.get(type(argument), "end")
        joined += [_Token("operator", "+"), _Token(kind, ast.unparse(argument))]
    return joined[1:]


# --------------------------------------------------------------------------------------- sums of terms
class _Parts:
    """Reads the parts of one formula by recursive descent; operators bind as in R: ^ before : before * and / ."""

    def __init__(self, text: str, aliases: dict[str, str], unsafe: bool) -> None:
        self.text, self.aliases, self.unsafe = text, aliases, unsafe
        self.tokens: list[_Token] = []
        self.at, self.depth = 0, 0

    def refuse(self, complaint: str) -> InputError:
        return InputError(f"formula {self.text.strip()!r}: {unaliased(complaint, self.aliases)}")

    def responses(self, tokens: list[_Token]) -> tuple[Factor, ...]:
        """The response, or several: y1 + y2, which R writes cbind(y1, y2)."""
        joined = _joined(tokens)
        each, between = joined[::2], joined[1::2]
        named = all(token.kind in ("name", "call") for token in each) and all(token.text == "+" for token in between)
        if not named or len(joined) % 2 == 0:
            raise self.refuse(
                "the response is one column, or a function of columns such as log(y) or I(a - b); several are joined "
                "by +, as y1 + y2 ~ x."
            )
        factors = tuple(self._factor(token) for token in each)
        twice = [factor.text for i, factor in enumerate(factors) if factor in factors[:i]]
        if twice:
            raise self.refuse(f"the response {twice[0]} stands before the ~ twice. Leave it out once.")
        return factors

    def part(self, tokens: list[_Token]) -> Part:
        self.tokens, self.at, self.depth = [*tokens, _Token("end", "")], 0, 0
        terms, intercept = self._sum(top=True)
        if self._next.kind != "end":
            raise self.refuse(f"{self._shown()} is not expected here.")
        return Part(tuple(sorted(terms.values(), key=len)), intercept)

    @property
    def _next(self) -> _Token:
        return self.tokens[self.at]

    def _take(self, *operators: str) -> str:
        """The next operator if it is one of these, or nothing."""
        token = self._next
        if token.kind == "operator" and token.text in operators:
            self.at += 1
            return token.text
        return ""

    def _shown(self) -> str:
        return repr(self._next.text) if self._next.text else "the end"

    def _sum(self, top: bool) -> tuple[Terms, bool]:
        terms: Terms = {}
        intercept = True
        sign = self._take("+", "-") or "+"
        while sign:
            if self._next.kind == "number":
                intercept = self._constant(top) == (sign == "+")
            else:
                product = self._product()
                terms = _union(terms, product) if sign == "+" else _difference(terms, product)
            sign = self._take("+", "-")
        return terms, intercept

    def _constant(self, top: bool) -> bool:
        """Whether the number is 1; 0 is the other that may stand alone."""
        token = self._next
        self.at += 1
        if token.text not in ("0", "1") or not top or self._next.text in ("*", "/", ":", "**", "^"):
            raise self.refuse(
                f"the number {token.text} is no term; 1 and 0 stand for an intercept and none. "
                "For arithmetic write I(2 * x)."
            )
        return token.text == "1"

    def _product(self) -> Terms:
        """a * b = a + b + a:b;  a / b = a + a:b."""
        terms = self._interaction()
        while operator := self._take("*", "/"):
            other = self._interaction()
            if operator == "*":
                terms = _union(_union(terms, other), self._crossed(terms, other))
            else:
                whole = tuple(dict.fromkeys(factor for term in terms.values() for factor in term))
                terms = _union(terms, self._crossed({frozenset(whole): whole}, other))
        return terms

    def _interaction(self) -> Terms:
        terms = self._power()
        while self._take(":"):
            terms = self._crossed(terms, self._power())
        return terms

    def _power(self) -> Terms:
        terms = self._atom()
        while self._take("**", "^"):
            token = self._next
            self.at += 1
            if token.kind != "number" or not token.text.isdigit() or not 1 <= int(token.text) <= MAX_POWER:
                raise self.refuse(
                    f"a power of terms is a whole number from 1 to {MAX_POWER}, as (a + b)**2. "
                    "For the square of a column write I(x**2)."
                )
            if len(terms) == 1 and int(token.text) > 1:
                raise self.refuse("a power crosses the terms of a sum. For the square of a column write I(x**2).")
            single = terms
            for _ in range(int(token.text) - 1):
                terms = _union(terms, self._crossed(terms, single))
        return terms

    def _atom(self) -> Terms:
        token = self._next
        if token.kind in ("name", "call"):
            self.at += 1
            factor = self._factor(token)
            return {frozenset((factor,)): (factor,)}
        if self._take("("):
            return self._parenthesis()
        if token.kind == "number":
            self._constant(top=False)
        raise self.refuse(f"a column or a function is expected instead of {self._shown()}.")

    def _parenthesis(self) -> Terms:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.refuse(f"parentheses are nested more than {MAX_DEPTH} deep.")
        terms, _ = self._sum(top=False)
        if not self._take(")"):
            raise self.refuse(f"a parenthesis is not closed before {self._shown()}.")
        self.depth -= 1
        return terms

    def _crossed(self, terms: Terms, others: Terms) -> Terms:
        """Every term times every other; factors that occur in both count once."""
        if len(terms) * len(others) > MAX_TERMS:
            raise self.refuse(f"it stands for more than {MAX_TERMS} terms. Write fewer crossings.")
        crossed: Terms = {}
        for a in terms.values():
            for b in others.values():
                term = tuple(dict.fromkeys((*a, *b)))
                crossed.setdefault(frozenset(term), term)
        return crossed

    def _factor(self, token: _Token) -> Factor:
        if token.kind == "name":
            if "." in token.text:
                raise self.refuse(f"put names with dots in backticks: `{token.text}`.")
            if keyword.iskeyword(token.text) or token.text.startswith("__"):
                raise self.refuse(f"put this name in backticks: `{token.text}`.")
            return Factor(token.text, True, (token.text,))
        found = read(token.text, self.refuse, unsafe=self.unsafe)
        return Factor(found.text, False, found.columns, found.labels)


def _union(terms: Terms, others: Terms) -> Terms:
    return terms | {key: term for key, term in others.items() if key not in terms}


def _difference(terms: Terms, others: Terms) -> Terms:
    return {key: term for key, term in terms.items() if key not in others}


def unaliased(text: str, aliases: Mapping[str, str]) -> str:
    """The text with the columns' own names."""
    for stand_in, column in aliases.items():
        text = text.replace(stand_in, column)
    return text
