"""A study's results for a reader: one page that stands alone, and the same in Markdown."""

from moestat.montecarlo.reporting.writing import Report, report

__all__ = ["Report", "report"]
