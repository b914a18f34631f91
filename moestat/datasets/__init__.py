"""Data sets: the classical ones of the mixture literature, those of other libraries, and simulated ones.

`load` gives a classical set by name and `catalogue` shows them all; `from_statsmodels` and `from_sklearn` are doors to
the sets of those libraries. Each is a `Dataset`: rows, what they mean, their source, and a model to start with, which
`Dataset.moe` makes. `simulate` draws rows from any model, with the truth beside them.
"""

from moestat.datasets.classics import DATASETS, catalogue, load
from moestat.datasets.dataset import Dataset, Suggestion
from moestat.datasets.simulation import Simulated, simulate
from moestat.datasets.sklearn_sets import from_sklearn
from moestat.datasets.statsmodels_sets import from_statsmodels

__all__ = [
    "DATASETS",
    "Dataset",
    "Simulated",
    "Suggestion",
    "catalogue",
    "from_sklearn",
    "from_statsmodels",
    "load",
    "simulate",
]
