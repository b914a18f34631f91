"""Pictures of a fit; matplotlib axes in and out.

Every function takes results and, optionally, rows to show: by default those of the fit. ``along`` names the covariate
on the horizontal axis, or gives its position. Experts are told apart by colour, dashes, markers and hatches, so that
the pictures survive in grey.
"""

from __future__ import annotations

from moestat.plotting.classes import plot_class
from moestat.plotting.density import plot_density
from moestat.plotting.experts import plot_experts
from moestat.plotting.gate import plot_gate
from moestat.plotting.looks import colours, style
from moestat.plotting.panel import plot_fit, plot_summary
from moestat.plotting.plane import plot_gate_plane
from moestat.plotting.responsibilities import plot_responsibilities
from moestat.plotting.starts import plot_starts
from moestat.plotting.trace import plot_trace

__all__ = [
    "colours",
    "plot_class",
    "plot_density",
    "plot_experts",
    "plot_fit",
    "plot_gate",
    "plot_gate_plane",
    "plot_responsibilities",
    "plot_starts",
    "plot_summary",
    "plot_trace",
    "style",
]
