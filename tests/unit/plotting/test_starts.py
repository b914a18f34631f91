"""What became of the starts, as drawn."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import to_rgb

from moestat.plotting import plot_starts
from moestat.plotting.starts import lower_edge
from tests.unit.plotting.artists import bare, reloaded, searched, several_kinds, title


def test_every_start_is_a_mark_in_the_row_of_its_family():
    table = searched().starts
    ax = plot_starts(searched())
    families = [label.get_text().replace(" ", "_") for label in ax.get_yticklabels()]
    marks = np.vstack([collection.get_offsets() for collection in ax.collections])
    assert len(marks) == len(table) == 30
    for i, family in enumerate(families):
        shown = np.sort(marks[np.abs(marks[:, 1] - i) < 0.5, 0])
        np.testing.assert_allclose(shown, np.sort(np.maximum(table.loglik[table.family == family], shown.min())))


def test_the_reported_solution_is_marked_and_counted():
    _, given = plt.subplots()
    ax = plot_starts(searched(), ax=given)
    assert ax is given
    (line,) = ax.lines
    assert line.get_xdata()[0] == searched().llf
    assert title(ax).splitlines()[1] == f"{searched().certificate.n_reached} of 30 reached the reported solution"


def test_kinds_of_end_points_are_told_apart_by_colour_and_marker():
    ax = plot_starts(several_kinds())
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == list(dict.fromkeys(several_kinds().starts.status))
    assert len(labels) == 3
    assert len({to_rgb(collection.get_facecolor()[0][:3]) for collection in ax.collections}) == len(labels)
    assert len({str(collection.get_paths()[0].vertices) for collection in ax.collections}) == len(labels)


def test_one_low_start_does_not_squeeze_the_others():
    """It is drawn at the left edge."""
    assert lower_edge(np.r_[np.linspace(-10, 0, 20), -1e6], 0.0) > -100


def test_starts_that_agree_are_not_spread_over_the_page():
    """They differ in the last digits only."""
    low, high = plot_starts(bare()).get_xlim()
    assert high - low > 1e-4 * abs(bare().llf)


def test_a_loaded_fit_still_knows_its_starts(tmp_path):
    ax = plot_starts(reloaded(searched(), tmp_path))
    assert sum(len(collection.get_offsets()) for collection in ax.collections) == 30
