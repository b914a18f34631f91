"""What a user waits for at first stays within the figures of the table."""

from __future__ import annotations

import pytest

from tests.benchmarks.measures import MEASURES

WAITS = [measure for measure in MEASURES if measure.key in ("import", "first-fit", "first-fit-ever")]


@pytest.mark.parametrize("measure", WAITS, ids=lambda measure: measure.key)
def test_waiting_at_first(measure):
    (found,) = measure.run(False)
    print(f"\n{measure.name}: {found.value:.2f} {measure.unit} (figure {measure.bound})")
    assert measure.bound.met(found.value)
