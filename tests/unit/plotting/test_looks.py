"""One look, which survives without colour."""

from __future__ import annotations

from itertools import combinations

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
from matplotlib.colors import to_rgb

from moestat.plotting import colours, style
from moestat.plotting.density import RIBBONS
from moestat.plotting.looks import DASHES, HATCHES, MARKERS, drawing, hatched, look, marker

#: As many experts as anyone can tell apart.
MOST = 8


def luminance(colour):
    """What is left of a colour in grey (Rec. 601)."""
    r, g, b = to_rgb(colour)
    return 0.299 * r + 0.587 * g + 0.114 * b


def test_eight_experts_have_eight_looks():
    assert len(set(colours(MOST))) == MOST
    assert len({str(dash) for dash in DASHES}) == len(set(MARKERS)) == len(set(HATCHES)) == MOST


def test_any_two_experts_differ_without_colour():
    """Dashes, markers and hatches differ in every pair; the lightness need not."""
    for a, b in combinations(range(MOST), 2):
        assert str(look(a)["ls"]) != str(look(b)["ls"])
        assert marker(a) != marker(b)
        assert hatched(a)["hatch"] != hatched(b)["hatch"]


def test_no_colour_fades_on_white():
    assert max(luminance(colour) for colour in colours(MOST)) < 0.72


def test_ribbons_differ_in_grey():
    light = [luminance(colour) for colour in RIBBONS]
    assert min(b - a for a, b in zip(light, [*light[1:], 1.0], strict=True)) > 0.1


def test_of_more_experts_looks_repeat():
    assert colours(MOST + 1)[-1] == colours(1)[0]
    assert look(MOST) == look(0)


def test_the_style_ends_with_its_block():
    before = dict(mpl.rcParams)
    with style():
        assert mpl.rcParams["axes.spines.top"] is False
    assert dict(mpl.rcParams) == before


def test_within_the_style_changes_stay():
    """A page makes letters small; the axes on it keep them."""
    with style(**{"font.size": 5.0}), style():
        assert mpl.rcParams["font.size"] == 5.0


def test_drawing_takes_axes_or_finds_the_current_ones():
    _, (left, right) = plt.subplots(1, 2)
    with drawing(left) as ax:
        assert ax is left
    with drawing(None) as ax:
        assert ax is right


@pytest.mark.parametrize("n", range(1, MOST + 1))
def test_an_expert_keeps_its_colour_when_others_join(n):
    assert colours(MOST)[:n] == colours(n)
