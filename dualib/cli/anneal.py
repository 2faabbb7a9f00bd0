"""``dualib anneal``: the path over beta of a table in a file, as tables and pictures."""

from __future__ import annotations

import argparse
import os

from dualib.cli.estimate import announce_duration
from dualib.cli.input import (
    TABLE_HELP,
    add_alpha,
    add_output,
    add_problem,
    checked_seed,
    describe,
    make_folder,
    numbers,
    read_input,
    share_of_sample,
)

SUMMARY = "the whole path over beta: a table, the saved curve and pictures"
EPILOG = f"""\
{TABLE_HELP}
examples:
  dualib anneal counts.csv
  dualib anneal counts.csv --distortion dualib -o results
  dualib anneal counts.csv --betas 1,2,4,8,16                 or: dualib anneal counts.csv 1,2,4,8,16
  dualib anneal samples.csv --layout samples --header no      a line for each sample: x, y
  dualib anneal counts.npz --beta-min 1 --beta-max 50 --unit bits --no-plots
  dualib anneal counts.csv --n-clusters 8 --betas 5,20,100     the best that 8 clusters do, with a bound for so many
  dualib anneal large.npz --betas 5,20 --no-events --no-plots
  dualib anneal large.npz --checkpoint large.checkpoint        interrupted? the same command goes on

Without --betas the grid of beta is adaptive: it begins below the onset of learning, ends where all but a thousandth
of I(X;Y) is kept, and is finest where the solution changes. Written into DIR, for the distortion ib:
  ib-curve.csv                one row per beta
  ib-curve.npz                everything, encoders and decoders too, for dualib.load
  ib-information-plane.png    relevance against rate
  ib-bifurcations.png         the tree of clusters over beta; ...-by-y.png the same in other coordinates
  ib-clusters.png             who is in which cluster, at three betas
"""


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_problem(command)
    add_output(command, "dualib-anneal")
    command.add_argument("--betas", metavar="B,B,...", type=numbers, help="exactly these; may also stand right after FILE")
    command.add_argument("--beta-min", metavar="B", type=float, help="where the adaptive grid begins")
    command.add_argument("--beta-max", metavar="B", type=float, help="where the adaptive grid ends")
    cap = "at most N clusters at each beta: then no events and no onset"
    command.add_argument("--n-clusters", metavar="N", type=int, help=cap)
    add_alpha(command)
    command.add_argument("--no-events", action="store_true", help="do not locate the events between the betas: faster")
    record = "record every point in PATH; the same command then goes on from it"
    command.add_argument("--checkpoint", metavar="PATH", help=record)
    command.add_argument("--no-plots", action="store_true", help="write the table and the curve only")


def run(arguments: argparse.Namespace) -> None:
    """Solve the path, write its tables and pictures, and print the short table."""
    from dualib.cli.demo import curve_table, write_curve, write_pictures
    from dualib.path.anneal import anneal

    table, joint = read_input(arguments)
    print(describe(arguments, table, joint))
    print(share_of_sample(arguments, table), end="", flush=True)
    make_folder("--output", arguments.output)
    if not arguments.quiet:
        announce_duration(joint, arguments)
    curve = anneal(
        joint,
        arguments.distortion,
        arguments.betas,
        beta_min=arguments.beta_min,
        beta_max=arguments.beta_max,
        tol=arguments.tol,
        progress=not arguments.quiet,
        random_state=checked_seed(arguments.seed),
        checkpoint=arguments.checkpoint,
        events=not arguments.no_events,
        alpha=arguments.alpha,
        n_clusters=arguments.n_clusters,
    )
    stem = os.path.join(arguments.output, arguments.distortion)
    print(f"\n{curve_table([curve], unit=arguments.unit)}\n\nwritten:")
    print("\n".join(f"  {name}" for name in write_curve(curve, stem, unit=arguments.unit)), flush=True)
    if not arguments.no_plots:
        for name in write_pictures(curve, stem, unit=arguments.unit):
            print(f"  {name}", flush=True)
