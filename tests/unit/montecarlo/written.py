"""A study file that uses every table, and ways to spoil it."""

from __future__ import annotations

import copy
import datetime
import math
import re
import tomllib
from typing import Any
from unittest.mock import patch

from moestat.errors import InputError
from moestat.montecarlo import Study, toml_text
from moestat.montecarlo import study as study_module

TEXT = """\
[study]
name = "softmax_over"
title = "Over-specified softmax gate"
seed = 7

[truth]
gate = "softmax"
expert = "gaussian"
gate_params = { intercepts = [0.0, 0.0], slopes = [[0.5], [-0.5]] }
expert_params = { intercepts = [1.5, -1.5], slopes = [[0.5], [-0.5]], variances = [0.3, 0.2] }

[covariates]
law = "normal"
mean = 0.0
sd = 1.0

[design]
n = [100, 200]
replications = 4

[[fit]]
name = "K3"
n_experts = 3
bounds = { "gate.slopes" = 2.0, "expert.variances" = [0.09, 4.0] }

[[fit]]
name = "K2"
n_experts = 2

[[protocol]]
name = "mle"
n_starts = 2
polish_from = ["published", "truth"]

[[protocol]]
name = "published"
start = { kind = "near_truth", sd = "0.005 * n**-0.083" }
solver = { kind = "em", tol = 1e-6, rule = "relative", max_iter = 200 }
tries = 2

[record]
losses = ["voronoi", "voronoi:sharp"]
distances = ["hellinger"]
reference = "K2"
distance_points = 16

[verdict]
margin = 0.05

[[prediction]]
measure = "voronoi"
exponent = "1/2"
"""

#: Keys that the file may have and does not.
MORE: tuple[tuple[Any, ...], ...] = (
    ("truth", "fixed"),
    ("truth", "noise_sd"),
    ("truth", "n_experts"),
    ("fit", 0, "gate"),
    ("fit", 0, "expert"),
    ("fit", 0, "objective"),
    ("fit", 0, "losses"),
    ("fit", 0, "fixed"),
    ("protocol", 0, "kind"),
    ("protocol", 0, "fits"),
    ("protocol", 0, "screen_from"),
    ("protocol", 0, "screen_rows"),
    ("protocol", 1, "bounded"),
    ("design", "samples"),
    ("record", "estimates"),
    ("prediction", 0, "log_power"),
    ("prediction", 0, "bound"),
    ("prediction", 0, "fit"),
)

#: What no key expects, and some that some keys do.
VALUES: tuple[Any, ...] = (
    True,
    0,
    -1,
    2,
    2**63,
    -(2**63),
    10**400,
    1.5,
    math.nan,
    math.inf,
    -math.inf,
    1e308,
    1e-320,
    "",
    "x",
    "a" * 4500,
    "\x00",
    "__import__('os').system('exit 1')",
    "().__class__.__base__.__subclasses__()",
    [],
    {},
    [[]],
    [{}],
    [1],
    ["a"],
    [1, "a"],
    [[1], [2, 3]],
    [True],
    {"a": 1},
    {"": {}},
    datetime.date(2020, 1, 1),
    datetime.datetime(2020, 1, 1),
    datetime.time(1),
    [math.nan],
    [math.inf, 1.0],
    [1e308, 1e308],
    {"gate.slopes": [1, "x"]},
    {"gate.slopes": [2, 1]},
    {"gate.slopes": [1, 2, 3]},
    {"gate.slopes": True},
    {"gate.slopes": {}},
    {"gate.slopes": math.nan},
    {"gate.slopes": [[1], [2, 3]]},
)


def tables() -> dict[str, Any]:
    """The file as tables, to be spoilt."""
    return tomllib.loads(TEXT)


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something is."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    own = [path] if path else []
    return own + [found for key, entry in inner for found in paths(entry, (*path, key))]


PATHS = (*paths(tables()), *MORE)


def changed(path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """The tables with another value, or an additional one."""
    found = tables()
    part: Any = found
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = copy.deepcopy(value)
    return found


def without(path: tuple[Any, ...]) -> dict[str, Any]:
    """The tables without a value."""
    found = tables()
    part: Any = found
    for key in path[:-1]:
        part = part[key]
    del part[path[-1]]
    return found


def study_of(spoilt: dict[str, Any]) -> Study:
    """Read tables that come from the parser."""

    def parse(text: str) -> dict[str, Any]:
        toml_text._check(spoilt)
        return spoilt

    with patch.object(study_module, "parse", parse):
        return Study.from_text("x")


def complaint(text: str) -> str:
    """What is said of a text; it must be an `InputError` that names a path or a line, and is no novel."""
    try:
        Study.from_text(text)
    except InputError as error:
        return checked(str(error))
    return ""


#: What a message must begin with: a key of the file, or a line; or it names a limit of the whole text.
PLACE = re.compile(
    r"(study|truth|covariates|design|fit|protocol|record|verdict|prediction)(\[\d+\])?([.: ]|$)"
    r"|line \d+ |this is no TOML|a study has at most|.* is not known; in a study|.* nested more than"
    r"|.* (must not be a date|is a whole number of more|is a key of more)",
    re.DOTALL,
)


def checked(message: str) -> str:
    """The message itself."""
    assert PLACE.match(message), message
    assert len(message) < 3000, len(message)
    return message
