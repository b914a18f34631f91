"""Gate weights over two covariates."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.contour import QuadContourSet

import moestat as ms
from moestat.plotting import plot_gate_plane
from moestat.plotting.plane import SIDE
from tests.unit.fitted import fitted
from tests.unit.plotting.artists import formula, in_order, planes, points, reloaded


def regions(ax):
    return [c for c in ax.collections if isinstance(c, QuadContourSet) and c.filled]


def test_every_expert_has_its_region():
    """Points in the region of an expert give it the largest weight."""
    ax = plot_gate_plane(formula())
    rng = np.random.default_rng(0)
    at = np.column_stack([rng.uniform(*ax.get_xlim(), 400), rng.uniform(*ax.get_ylim(), 400)])
    weights = formula().gate_weights({"z1": at[:, 0], "z2": at[:, 1]})
    clear = np.diff(np.sort(weights, axis=1)[:, -2:], axis=1)[:, 0] > 0.1  # the grid is not finer
    assert len(regions(ax)) == 3
    for k, region in enumerate(regions(ax)):
        inside = np.array([any(path.contains_point(p) for path in region.get_paths()) for p in at])
        assert np.array_equal(inside[clear], (weights.argmax(axis=1) == k)[clear])


def test_names_stand_in_their_regions():
    ax = plot_gate_plane(formula())
    names = {t.get_text(): t.get_position() for t in ax.texts if t.get_text().startswith("expert")}
    assert list(names) == ["expert 1", "expert 2", "expert 3"]
    at = np.array(list(names.values()))
    assert formula().gate_weights({"z1": at[:, 0], "z2": at[:, 1]}).argmax(axis=1).tolist() == [0, 1, 2]


def test_points_are_the_rows():
    np.testing.assert_allclose(in_order(points(plot_gate_plane(formula()))), in_order(planes()[["z1", "z2"]]))


def test_the_covariates_can_be_chosen():
    ax = plot_gate_plane(formula(), along=("z2", 0))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("z2", "z1")


def test_one_expert_has_all_of_the_plane():
    results = formula("y ~ x | z1 + z2", n_experts=1)
    (region,) = regions(plot_gate_plane(results))
    (path,) = region.get_paths()
    assert np.ptp(path.vertices[:, 0]) == pytest.approx(np.ptp(planes()["z1"]))


def test_a_loaded_fit_has_regions_and_no_points(tmp_path):
    ax = plot_gate_plane(reloaded(formula(), tmp_path))
    assert len(regions(ax)) == 3
    assert [c for c in ax.collections if c.get_gid() == "rows"] == []
    assert SIDE >= 100  # kinks of the borders are not seen


@pytest.mark.parametrize(
    ("along", "message"),
    [
        ("z1", r"along must be two of \['z1', 'z2'\], or their positions; got 'z1'"),
        (("z1",), r"along must be two of"),
        (("z1", "x"), r"along must be one of \['z1', 'z2'\], or its position; got 'x'"),
        (("z1", 0), "along must be two different covariates; got 'z1' twice"),
    ],
)
def test_what_is_no_pair_is_refused(along, message):
    with pytest.raises(ms.InputError, match=message):
        plot_gate_plane(formula(), along=along)


def test_a_gate_with_one_covariate_has_no_plane():
    with pytest.raises(ms.InputError, match=r"a plane needs two numerical covariates of the gate; .*Use plot_gate"):
        plot_gate_plane(fitted("gate").results)
