"""A small Dask cluster for the tests of this folder."""

from __future__ import annotations

import warnings

import pytest


@pytest.fixture(scope="session")
def cluster():
    """Two processes; a task that kills its worker is given up at once, which spares waiting for new workers."""
    import dask
    from distributed import LocalCluster

    with warnings.catch_warnings(), dask.config.set({"distributed.scheduler.allowed-failures": 0}):
        warnings.simplefilter("ignore")
        with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50) as made:
            yield made
