"""How commands on studies speak: in the words of their options, and with exit codes of their own."""

from __future__ import annotations

from contextlib import AbstractContextManager

from moestat.cli import voice

EXIT_CODES = (
    "Exit codes: 0 done, and of a run, that nothing is missing; 2 bad input, nothing was written; 3 done, but what was "
    "replayed is not what the store has; 69 the workers or the cluster cannot be had; 74 the store cannot be read or "
    "written to, is in use, or is damaged; 75 the time of --max-time was over before the study was; 130 interrupted; 1 "
    "an error that moestat did not foresee. After 69, 74, 75 and 130 finished replications are in the store, and the "
    "same command goes on from there."
)

#: Words of the Python interface, and what to type instead. Those of a study file stay: its keys are Python's words.
OPTIONS = (
    (r"^workers, scheduler and engine are three ways", "--workers and --scheduler are two ways"),
    (r"^(workers|shard|scheduler) (must|needs)\b", r"--\1 \2"),
    (r"\bcorrect scheduler\b", "correct --scheduler"),
    (r"\b([Ww]ithout|Leave out) strict\b", r"\1 --strict"),
    (r"^path: ", ""),
    (r"^path must be a file", "a store is a file"),
    (r"^sources must not name the target", "SHARD must not be the TARGET"),
    (r"^cell must be\b", "CELL must be"),
    (r"^replication must be\b", "REP must be"),
)


def in_options(text: str) -> str:
    """A message of the package in the words of these commands."""
    return voice.in_options(text, OPTIONS)


def speaking(quiet: bool = False, interrupted: str = "Nothing was written.") -> AbstractContextManager[None]:
    """As of all commands; ``interrupted`` is what an interrupt leaves behind."""
    return voice.speaking(quiet, interrupted, OPTIONS)
