"""Results that survive anything: one file, a digest for every row, and a count above every set of rows."""

from moestat.montecarlo.store.catalogue import Study
from moestat.montecarlo.store.checking import Finding, Report, verify
from moestat.montecarlo.store.exporting import read_export
from moestat.montecarlo.store.journal import Store
from moestat.montecarlo.store.merging import Merged, merge
from moestat.montecarlo.store.reading import CellRows
from moestat.montecarlo.store.repairing import Repair, repair

__all__ = [
    "Store",
    "Study",
    "CellRows",
    "read_export",
    "verify",
    "Report",
    "Finding",
    "repair",
    "Repair",
    "merge",
    "Merged",
]
