"""The parts of a compiled fit, each compiled by itself and called by its address."""

from __future__ import annotations

from typing import NamedTuple

from moestat.kernels.address import NUMBER, WHOLE, record
from moestat.kernels.predictor_sums import PREDICTORS, TILED_ROWS


class Code(NamedTuple):
    """Addresses of what is compiled apart: passes over all rows, the rows behind experts, and the parts of a fit."""

    add_up: int
    behind: int
    em_steps: int
    newton_steps: int
    judge: int
    ascend: int


class End(NamedTuple):
    """Where an ascent ended: log-likelihood, plain and fine gradient per row, smallest and largest eigenvalue of the
    information per row, kind of point, steps and passes."""

    loglik: float
    gradient: float
    fine_gradient: float
    smallest: float
    largest: float
    kind: int
    steps: int
    passes: int


CODE = record(Code, **dict.fromkeys(Code._fields, WHOLE))
END = record(
    End,
    loglik=NUMBER,
    gradient=NUMBER,
    fine_gradient=NUMBER,
    smallest=NUMBER,
    largest=NUMBER,
    kind=WHOLE,
    steps=WHOLE,
    passes=WHOLE,
)

#: What every part is given first.
PARTS = (CODE, PREDICTORS, TILED_ROWS)
