"""``moestat study``: simulation studies, from a skeleton to results that can be read elsewhere."""

from __future__ import annotations

import typer

from moestat.cli.study import export, merge, new, repair, replay, report, run, status, verify
from moestat.cli.study.voice import EXIT_CODES

app = typer.Typer(
    help="Simulation studies: declared in a file, run anywhere, resumed after anything.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("new")(new.command)
app.command("run", epilog=EXIT_CODES, no_args_is_help=True)(run.command)
app.command("status", epilog=EXIT_CODES, no_args_is_help=True)(status.command)
app.command("report", epilog=EXIT_CODES, no_args_is_help=True)(report.command)
app.command("export", epilog=EXIT_CODES, no_args_is_help=True)(export.command)
app.command("verify", epilog=EXIT_CODES, no_args_is_help=True)(verify.command)
app.command("repair", epilog=EXIT_CODES, no_args_is_help=True)(repair.command)
app.command("merge", epilog=EXIT_CODES, no_args_is_help=True)(merge.command)
app.command("replay", epilog=EXIT_CODES, no_args_is_help=True)(replay.command)
