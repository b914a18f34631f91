"""Workers of an existing Dask cluster."""

from __future__ import annotations

from concurrent.futures import Executor
from time import monotonic
from typing import Any

from moestat.errors import InputError
from moestat.montecarlo.engine.calls import Lost, Work, said
from moestat.montecarlo.engine.engines import Remote
from moestat.montecarlo.engine.faults import EngineError

#: Seconds to wait for the scheduler.
PATIENCE = 10.0

#: Seconds between two counts of the workers, of which a cluster may get more or fewer at any time.
COUNT = 2.0


class Cluster:
    """Runs batches on a Dask cluster, whose scheduler and workers are there, with moestat installed.

    Parameters
    ----------
    scheduler : str
        Its address: ``tcp://10.0.0.1:8786``.
    patience : float
        Seconds to wait for the scheduler.

    Raises
    ------
    InputError
        When Dask is not installed, or there is no address.
    """

    name = "the Dask cluster"

    def __init__(self, scheduler: str, *, patience: float = PATIENCE) -> None:
        _distributed()
        if not isinstance(scheduler, str) or not scheduler.strip():
            raise InputError(f"scheduler must be an address like 'tcp://10.0.0.1:8786'; got {scheduler!r}.")
        self.scheduler, self.patience = scheduler, patience

    def open(self, work: Work, slots: int | None = None) -> _Client:
        """A connection to the cluster.

        Raises
        ------
        EngineError
            When there is nobody at the address.
        """
        try:
            client = _distributed().Client(self.scheduler, timeout=self.patience, set_as_default=False)
        except (OSError, ValueError) as error:
            raise EngineError(
                f"no scheduler answers at {self.scheduler} within {self.patience:g} s ({error}). What was delivered is "
                "stored: start the cluster, or correct scheduler, and run again to go on."
            ) from error
        return _Client(client, work)


class _Client(Remote):
    def __init__(self, client: Any, work: Work) -> None:
        executor: Executor = client.get_executor(pure=False)
        super().__init__(executor, work, 0)
        self._client, self._counted = client, -COUNT

    @property
    def slots(self) -> int:
        if monotonic() - self._counted > COUNT and self._client.status == "running":
            self._slots = sum(self._client.nthreads().values())
            self._counted = monotonic()
        return self._slots

    def lost(self, error: BaseException) -> Lost:
        """A task that is given up stands for all the workers that died with it; the others go on."""
        self.broken = self._client.status != "running"
        if isinstance(error, _distributed().KilledWorker):
            workers = int(error.allowed_failures) + 1
            return Lost("the worker process died", workers)
        return Lost(said(error))

    def close(self, at_once: bool) -> None:
        """Leave the cluster to itself; what was asked of it and has not begun is called off."""
        self._executor.shutdown(wait=not at_once)
        self._client.close(timeout=1.0 if at_once else PATIENCE)


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise InputError(
            "scheduler needs Dask, which is not installed. Install it by: pip install 'moestat[cluster]'"
        ) from error
    return distributed
