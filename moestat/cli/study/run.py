"""``moestat study run``: what a store lacks of its study."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from moestat.cli.options import Quiet, of_output, of_run
from moestat.cli.study.durations import seconds_of
from moestat.cli.study.places import StudyFile, all_shards, as_typed, read_study, store_of
from moestat.cli.study.voice import in_options, speaking
from moestat.cli.voice import ExitCode, tell

if TYPE_CHECKING:
    from moestat.montecarlo import Run
    from moestat.montecarlo.engine import Shard


def command(
    study: StudyFile,
    workers: Annotated[int, of_run("Processes on this machine.", "--workers", "-w")] = 1,
    scheduler: Annotated[str | None, of_run("Run on the Dask cluster at this address, as tcp://10.0.0.1:8786.")] = None,
    shard: Annotated[
        str | None,
        of_run("Only this part of the replications, as 3/20, into a store of its own, STUDY.shard-03-of-20.db."),
    ] = None,
    max_time: Annotated[
        str | None, of_run("Begin nothing new after so many seconds, or 90m, or 1h30m; then exit with code 75.")
    ] = None,
    strict: Annotated[
        bool, of_run("Refuse a store that was begun with other versions, or on another kind of machine.", "--strict")
    ] = False,
    store: Annotated[Path | None, of_output("File of the results. (default: beside the study, STUDY.db)")] = None,
    quiet: Quiet = False,
) -> None:
    """Run what is missing of a study. The same command goes on after any interruption.

    moestat study run rates.toml --workers 4

    Every finished batch is on the disk at once. Ctrl-C lets running batches finish for a few seconds.
    """
    given = {
        "--workers": None if workers == 1 else workers,
        "--scheduler": scheduler,
        "--shard": shard,
        "--max-time": max_time,
        "--strict": strict or None,
        "--store": store,
    }
    again = as_typed("run", study, *_words(given))
    with speaking(quiet, f"What was finished is in the store. To go on: {again}"), _engine_speaking():
        seconds = None if max_time is None else seconds_of(max_time, "--max-time")
        from moestat.kernels.compile import kept_in
        from moestat.montecarlo import run
        from moestat.montecarlo.engine import Shard

        part = None if shard is None else Shard.parse(shard)
        if not (quiet or kept_in().exists()):
            tell("Kernels are compiled first, once for this installation: a minute or two.")
        declared, path = read_study(study), store or store_of(study, part)
        if not quiet:
            tell(f"{declared.name}: {len(declared.cells)} cells, {declared.design.replications:,} replications, {path}")
        found = run(
            declared,
            path,
            workers=workers,
            scheduler=scheduler,
            shard=part,
            progress=not quiet,
            max_time=seconds,
            strict=strict,
        )
        if not quiet:
            typer.echo("\n".join([_added(found), _next(found, study, part, again)]))
    raise typer.Exit(_code(found))


def _words(given: Mapping[str, object]) -> Iterator[object]:
    """Options as they are typed, without those that were not given."""
    for name, value in given.items():
        if value is not None:
            yield from (name,) if value is True else (name, value)


@contextmanager
def _engine_speaking() -> Iterator[None]:
    """Neither is bad input: workers that cannot be had may be had tomorrow, and what goes wrong in them is a bug."""
    from moestat.montecarlo.engine import EngineError, WorkError

    try:
        yield
    except EngineError as error:
        tell(f"Error: {in_options(str(error))}")
        raise typer.Exit(ExitCode.UNAVAILABLE) from None
    except WorkError as error:
        tell(f"Error: {error}\n{error.trace}".rstrip())
        raise typer.Exit(ExitCode.BUG) from None


def _code(found: Run) -> ExitCode:
    if found.complete:
        return ExitCode.DONE
    return ExitCode.INTERRUPTED if found.outcome.interrupted else ExitCode.UNFINISHED


def _added(found: Run) -> str:
    """What this run did, and what has gone wrong so far."""
    from moestat.cli.study.standing import count_of
    from moestat.montecarlo.engine.reporting import span

    total = count_of(found.path)
    return (
        f"{found.outcome.rows:,} rows added in {span(found.outcome.seconds)}. {found.path} holds {total.done:,}: "
        f"{total.ok:,} ok, {total.error:,} with an error, {total.crashed:,} crashed."
    )


def _next(found: Run, study: Path, shard: Shard | None, again: str) -> str:
    """What is missing, and what to do now."""
    if not found.complete:
        why = "interrupted" if found.outcome.interrupted else "the time was over"
        return f"{found.outcome.missing:,} rows are missing ({why}). To go on: {again}"
    if shard is not None:
        return f"This shard is complete. When all are: {as_typed('merge', study)} {all_shards(found.path)}"
    return f"Nothing is missing. Next: {as_typed('report', study)}"
