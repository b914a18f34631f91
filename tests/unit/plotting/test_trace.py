"""The way to the maximum."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from moestat.plotting import plot_trace
from moestat.solvers import TraceRow
from tests.unit.fitted import fitted
from tests.unit.plotting.artists import bare, curves, reloaded, title


def told(*rows):
    """A fit with this trace."""
    return replace(bare(), _trace=tuple(TraceRow(*row) for row in rows))


def test_the_gap_and_the_gradient_are_drawn():
    gap, gradient = curves(plot_trace(bare()))
    trace = bare().trace
    below = trace["loglik"].iloc[-1] - trace["loglik"]
    assert gap.get_xdata().tolist() == np.flatnonzero(below > 0).tolist()
    np.testing.assert_array_equal(gap.get_ydata(), below[below > 0])
    np.testing.assert_array_equal(gradient.get_ydata(), trace["gradient"][trace["gradient"] > 0])


def test_the_switch_is_marked_and_the_steps_are_counted():
    """The first row is where the way begins; every other is a step by its method."""
    results = told(("em", -9.0, 1.0), ("em", -5.0, 0.5), ("newton", -4.0, 0.1), ("newton", -3.9, 1e-9))
    ax = plot_trace(results)
    assert title(ax) == "The way to the maximum\nEM: 1 step, then Newton: 2 steps"
    (switch,) = [line for line in ax.lines if line not in curves(ax)]
    assert switch.get_xdata()[0] == 1.5
    assert ax.get_yscale() == "log"


def test_one_method_has_no_switch():
    ax = plot_trace(told(("em", -9.0, 1.0), ("em", -5.0, 0.5)))
    assert title(ax).endswith("EM: 1 step")
    assert len(ax.lines) == 2


def test_what_is_climbed_is_what_is_drawn():
    """Classification EM raises something else, and the log-likelihood may fall."""
    ax = plot_trace(told(("cem", -5.0, 1.0, -9.0), ("cem", -5.5, 0.5, -8.0), ("cem", -5.2, 0.1, -7.5)))
    gap, _ = curves(ax)
    assert gap.get_ydata().tolist() == [1.5, 0.5]
    assert gap.get_label().startswith("objective")


def test_a_way_of_one_step_is_drawn():
    ax = plot_trace(fitted("one expert").results)
    low, high = ax.get_ylim()
    assert high / low > 1e3


def test_a_loaded_fit_still_knows_its_way(tmp_path):
    before, after = (curves(plot_trace(r))[0].get_data() for r in (bare(), reloaded(bare(), tmp_path)))
    np.testing.assert_array_equal(before, after)


def test_methods_that_take_turns_are_counted_together():
    turns = [(method, -9.0 + 0.1 * i, 1.0) for i, method in enumerate(["em", "em", "ties"] * 4)]
    ax = plot_trace(told(*turns))
    assert title(ax) == "The way to the maximum\nin turns EM 7, ties 4 steps"
