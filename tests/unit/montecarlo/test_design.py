"""Sample sizes and replications."""

from __future__ import annotations

import pytest

from moestat.errors import InputError
from moestat.montecarlo import Design, geometric, linear
from moestat.montecarlo.design import read_design
from moestat.montecarlo.reading import Table


def read(**values):
    return read_design(Table({"replications": 3} | values, "design"))


def test_sizes_at_equal_ratios_and_at_equal_distances():
    assert geometric(100, 10_000, 3) == (100, 1000, 10_000)
    assert linear(100, 300, 3) == (100, 200, 300)
    assert geometric(1, 3, 30) == (1, 2, 3)


@pytest.mark.parametrize("n", [100, [100], 1e2, {"from": 100, "to": 100.4, "points": 2}])
def test_ways_to_say_one_size(n):
    assert read(n=n).n == (100,)


def test_ranges_are_geometric_unless_they_say_otherwise():
    span = {"from": 1e3, "to": 1e5, "points": 3}
    assert read(n=span).n == (1000, 10_000, 100_000)
    assert read(n=span | {"spacing": "linear"}).n == (1000, 50_500, 100_000)


def test_sizes_may_be_named_in_any_order():
    assert read(n=[300, 1e2, 200]).n == (100, 200, 300)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"n": []}, "^design: n must be 1 to 1000 sample sizes; got 0"),
        ({"n": [100, 100]}, "^design: n must be different"),
        ({"n": [100, 1.5]}, r"^design.n\[1\] must be a whole number"),
        ({"n": 0}, "^design.n must be a whole number from 1"),
        ({"n": 10**10}, "^design.n must be a whole number from 1"),
        ({"n": "100"}, "^design.n must be a whole number"),
        ({"n": True}, "^design.n must be a whole number"),
        ({"n": {"from": 100, "to": 50, "points": 3}}, "^design.n.to must be a finite number larger than 100"),
        ({"n": {"from": 0, "to": 50, "points": 3}}, "^design.n.from must be a finite number larger than 0"),
        ({"n": {"from": 0.1, "to": 50, "points": 3}}, "^design"),
        ({"n": {"from": 1, "to": 50, "points": 1}}, "^design.n.points must be a whole number from 2"),
        ({"n": {"from": 1, "to": 50, "points": 3, "step": 1}}, "^design.n.step is not known"),
        ({"n": {"from": 1, "to": 50, "points": 3, "spacing": "log"}}, "^design.n.spacing must be one of"),
        ({"n": list(range(1, 1003))}, "^design: n must be 1 to 1000"),
        ({"n": 100, "replications": 0}, "^design.replications must be a whole number from 1"),
        ({"n": 100, "samples": "paired"}, "^design.samples must be one of"),
        ({"n": 100, "size": 3}, "^design.size is not known"),
    ],
)
def test_designs_that_are_none(values, said):
    with pytest.raises(InputError, match=said):
        read(**values)


@pytest.mark.parametrize("n", [[200, 100], [100, 100], [0], [], [True]])
def test_designs_made_in_python_are_checked_too(n):
    with pytest.raises(InputError, match=r"^n(\[0\])? must be"):
        Design(n, 1)


def test_whole_numbers_become_whole():
    design = Design([1e2, 2e2], 3.0)
    assert design.n == (100, 200)
    assert isinstance(design.replications, int)
