"""What Gaussian experts have in common whose means are no straight lines."""

from __future__ import annotations

from typing import Any

from moestat.experts.gaussian import Gaussian
from moestat.params import POSITIVE, Layout, shared_columns, slot_of
from moestat.typing import IntArray


class CurvedGaussian(Gaussian):
    """A Gaussian expert whose record has ``variances``, of one expert each or of all, beside the mean's own fields."""

    @property
    def _field(self) -> str:
        return "variances"

    def _variances(self, sizes: dict[str, int]) -> Any:
        own = ("expert",) if self.variance == "own" else ()
        return slot_of(sizes, *own, support=POSITIVE, label="variance")

    def _variance_columns(self, layout: Layout) -> IntArray:
        index, K = layout.index("variances"), layout.index("intercepts").size
        return index if self.variance == "own" else shared_columns(K, index)
