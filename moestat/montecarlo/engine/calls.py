"""A batch's way to a worker and back: what is sent, what is run there, and what comes back.

An error of the work comes back as a value. So every exception that an executor gives stems from the executor, its
processes or its network, whichever executor it is, and nobody needs the names of its exceptions. Results are turned
into bytes by the worker, so that one that cannot be is told from a worker that died.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from time import perf_counter
from traceback import format_exc

import cloudpickle

from moestat import threads
from moestat.errors import InputError
from moestat.montecarlo.rows import Batch, Finished

Work = Callable[[Batch], Finished]

#: Works that a worker keeps at hand: a cluster's may serve several studies.
KEPT = 4


@dataclass(frozen=True, eq=False)
class Returned:
    """What the work gave, and the seconds that it took."""

    finished: Finished
    seconds: float


@dataclass(frozen=True, eq=False)
class Packed:
    """The same as bytes."""

    finished: bytes
    seconds: float


@dataclass(frozen=True)
class Raised:
    """An error of the work: what it says, and where it was raised."""

    text: str
    trace: str


@dataclass(frozen=True)
class Lost:
    """No result, by no fault of the work as far as one can tell: why, and how many workers were lost with it."""

    reason: str
    workers: int = 1


Reply = Returned | Raised | Lost


@dataclass(frozen=True)
class Direct:
    """A call of the work in the process that has it."""

    work: Work

    def __call__(self, batch: Batch) -> Returned | Raised:
        """The work's result, or its error."""
        try:
            with threads.limit(1):
                began = perf_counter()
                finished = self.work(batch)
                return Returned(finished, perf_counter() - began)
        except (Exception, SystemExit) as error:
            return raised(error)

    def ready(self) -> None:
        """Nothing is to be loaded."""


@dataclass(frozen=True)
class Sent:
    """A call of the work in another process."""

    data: bytes

    @classmethod
    def of(cls, work: Work) -> Sent:
        """The call of a work.

        Raises
        ------
        InputError
            When it cannot be sent anywhere.
        """
        try:
            return cls(cloudpickle.dumps(work))
        except Exception as error:
            raise InputError(
                f"work must be something that can be pickled, to be sent to other processes; got {work!r} ({error}). "
                "Open files, locks and connections inside the call, or run in this process."
            ) from error

    def __call__(self, batch: Batch) -> Packed | Raised | Lost:
        """The work's result as bytes, or its error."""
        problem = self.ready()
        if problem is not None:
            return problem
        reply = Direct(_loaded(self.data))(batch)
        if isinstance(reply, Raised):
            return reply
        try:
            return Packed(pickle.dumps(reply.finished, protocol=5), reply.seconds)
        except Exception as error:
            return Lost(f"the result cannot be pickled: {said(error)}")

    def ready(self) -> Raised | None:
        """Load the work, and keep to one thread from here on; what went wrong with that."""
        try:
            _loaded(self.data)
        except Exception as error:
            return raised(error)
        return None


def unpacked(reply: Packed | Reply) -> Reply:
    """What came back, as it was before it was sent."""
    if not isinstance(reply, Packed):
        return reply
    try:
        return Returned(pickle.loads(reply.finished), reply.seconds)
    except Exception as error:
        return Lost(f"the result cannot be unpickled: {said(error)}")


def said(error: BaseException) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")


def raised(error: BaseException) -> Raised:
    """An error that is being handled, as a value."""
    return Raised(said(error), format_exc())


@lru_cache(maxsize=KEPT)
def _loaded(data: bytes) -> Work:
    from threadpoolctl import threadpool_limits

    work: Work = pickle.loads(data)
    threadpool_limits(limits=1)  # for good, of all libraries that the work has brought along
    return work
