"""Slopes of classes of replications: those whose fit came out as ``1+2``, those with a bound active, ...

A loss may fall like one power of n in each configuration and not in their mixture, whose shares move with n.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from moestat.errors import InputError
from moestat.montecarlo.slopes.measured import Measured, NoSlopeError
from moestat.montecarlo.slopes.slope import Slope, effective_slope
from moestat.typing import FloatArray

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Strata:
    """The slope of each class.

    Parameters
    ----------
    sizes : ndarray (J,)
    shares : mapping of str to ndarray (J,)
        Of the replications with a value at each size; they sum to one over the classes.
    slopes : mapping of str to Slope
        Of the classes that have one.
    without : mapping of str to str
        Why the others have none.
    """

    sizes: FloatArray
    shares: Mapping[str, FloatArray]
    slopes: Mapping[str, Slope]
    without: Mapping[str, str]

    def to_frame(self) -> pd.DataFrame:
        """Shares: one row for each size, one column for each class."""
        import pandas as pd

        return pd.DataFrame(self.shares, index=pd.Index(self.sizes, name="n"))


def strata(measured: Measured, labels: Sequence[ArrayLike], **options: Any) -> Strata:
    """The effective slope of each class of replications.

    Parameters
    ----------
    measured : Measured
    labels : sequence of J arrays
        The class of each value, of each size in turn; taken as text.
    **options
        Of `effective_slope`.

    Returns
    -------
    Strata
    """
    named = [np.asarray(one).astype(str) for one in labels]
    lengths = [len(one) for one in measured.values]
    if [len(one) for one in named] != lengths:
        raise InputError(f"labels must be arrays of lengths {lengths}; got {[len(one) for one in named]}.")
    present = [~np.isnan(values) for values in measured.values]
    slopes, without, shares = {}, {}, {}
    for name in sorted(set(np.concatenate([*named, []]).tolist())):
        chosen = [(one == name) & there for one, there in zip(named, present, strict=True)]
        counts = np.array([there.sum() for there in present])
        shares[name] = np.array([mask.sum() for mask in chosen]) / np.maximum(counts, 1)
        try:
            slopes[name] = effective_slope(measured.where(chosen), **options)
        except NoSlopeError as error:
            without[name] = str(error)
    return Strata(measured.sizes, shares, slopes, without)
