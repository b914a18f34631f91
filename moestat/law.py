"""Log densities of an expert as compiled functions of linear predictors.

A family that offers its law can be fitted to many data sets at once, without a call of Python between two passes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from moestat.kernels.working_rows import LOG_VARIANCE, MEAN, PLAIN
from moestat.typing import FloatArray, IntArray

__all__ = ["LOG_VARIANCE", "MEAN", "PLAIN", "Law", "LinearPredictor"]


@dataclass(frozen=True, eq=False)
class LinearPredictor:
    """A linear predictor by the flat positions (q,) of its intercept and slopes; an intercept alone is a constant.

    ``role`` says in which units it is: `PLAIN` for its own, `MEAN` for those of the response, `LOG_VARIANCE` for the
    logarithm of their square.
    """

    columns: IntArray
    role: int = PLAIN


@dataclass(frozen=True, eq=False)
class Law:
    """One expert's law.

    Parameters
    ----------
    kernel : compiled function
        With the signature `moestat.kernels.address.LAW`: settings (s,), predictors (m, B), responses (r, B), offset
        (B,) and an order come in; the log density (B,) goes out, for order 1 and 2 with its derivatives in the
        predictors (m, B), for order 2 also with the second ones (m (m + 1) / 2, B) in the order (0,0), (1,0), (1,1) ...
        Of a log variance in a normal law only the first entry is there.
    predictors : tuple of LinearPredictor
    settings : ndarray (s,)
    normal : bool
        Whether the predictors are the mean and the log variance of a normal law, whose M-step has a closed form.
    """

    kernel: Any
    predictors: tuple[LinearPredictor, ...]
    settings: FloatArray = field(default_factory=lambda: np.zeros(0))
    normal: bool = False
