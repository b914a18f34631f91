"""Every test begins without figures, and leaves none."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pytest


@pytest.fixture(autouse=True)
def closed():
    plt.close("all")  # a figure that some other test left open would be drawn on
    yield
    plt.close("all")
