"""``dualib report``: a table of counts as one page of HTML, to read or to hand on."""

from __future__ import annotations

import argparse
import hashlib
import os
import shlex

from dualib.cli.input import add_problem, check_folder, checked_seed, numbers, read_input

SUMMARY = "one page of HTML on a table: plane, tree, clusters, events, certificate, and what is the sample's"
EPILOG = """\
FILE is a table of counts or of probabilities, rows x and columns y, as 'dualib anneal --help' lists them.

examples:
  dualib report counts.csv
  dualib report counts.csv --distortion dualib --smoothing 0.5 -o letters.html
  dualib report counts.csv --betas 1,2,4,8,16 --show 4,16 --unit bits

The page is one file that loads nothing from elsewhere: mail it, or open it in any browser, with or without scripts, or print it.
In a browser a slider shows the clusters at every beta. --no-events saves the time that it takes to locate every bifurcation,
--no-sample that of solving on halves of the observations.
"""


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_problem(command)
    page = "the page to write (default: %(default)s)"
    command.add_argument("-o", "--output", metavar="PATH", default="report.html", help=page)
    command.add_argument("--betas", metavar="B,B,...", type=numbers, help="exactly these (default: an adaptive grid)")
    command.add_argument("--show", metavar="B,B,...", type=numbers, help="betas whose clusters are written out")
    command.add_argument("--no-events", action="store_true", help="bracket bifurcations by the points, do not locate them")
    less = "leave out what encoders are worth on halves that did not choose them"
    command.add_argument("--no-sample", action="store_true", help=less)
    command.add_argument("-q", "--quiet", action="store_true", help="no progress bar")


def run(arguments: argparse.Namespace) -> None:
    """Read, solve, and write the page."""
    from dualib.path.anneal import anneal
    from dualib.report.facts import Facts, Source, chosen_points, sample_of
    from dualib.report.page import page_of

    table, joint = read_input(arguments)
    check_folder("--output", arguments.output)
    seed = checked_seed(arguments.seed)
    with open(arguments.file, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    curve = anneal(
        joint,
        arguments.distortion,
        arguments.betas,
        tol=arguments.tol,
        events=not arguments.no_events,
        progress=not arguments.quiet,
        random_state=seed,
    )
    sample = None
    if table.kind == "counts":
        progress = not arguments.quiet and not arguments.no_sample
        sample = sample_of(table.counts, curve, arguments.smoothing, seed, progress, refit=not arguments.no_sample)
    facts = Facts(
        source=Source(os.path.basename(arguments.file), digest, table.kind, table.guess, arguments.smoothing),
        curve=curve,
        sample=sample,
        shown=chosen_points(curve, arguments.show),
        unit=arguments.unit,
        command=_command(arguments),
    )
    page = page_of(facts)
    with open(arguments.output, "w", encoding="utf-8", newline="\n") as file:
        file.write(page)
    print(f"{arguments.output}: {len(page.encode()) / 1024:.0f} KiB, loads nothing from elsewhere; open it in a browser")


def _command(arguments: argparse.Namespace) -> str:
    """The command with every option that differs from its default."""
    words = ["dualib", "report", os.path.basename(arguments.file), "--distortion", arguments.distortion]
    for name in ("header", "index", "layout"):
        if getattr(arguments, name) != "auto":
            words += [f"--{name}", getattr(arguments, name)]
    if arguments.smoothing:
        words += ["--smoothing", repr(arguments.smoothing)]
    for name in ("betas", "show"):
        if getattr(arguments, name) is not None:
            words += [f"--{name}", ",".join(map(repr, getattr(arguments, name)))]
    if arguments.tol != 1e-9:
        words += ["--tol", repr(arguments.tol)]
    words += ["--unit", arguments.unit]
    words += ["--seed", str(arguments.seed)] * (arguments.seed is not None)
    words += [f"--{name.replace('_', '-')}" for name in ("no_events", "no_sample") if getattr(arguments, name)]
    return shlex.join(words)
