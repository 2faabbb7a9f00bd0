"""``dualib anneal``: the path over beta of a table in a file, as tables and pictures."""

from __future__ import annotations

import argparse
import os

from dualib.cli.estimate import announce_duration
from dualib.cli.input import checked_seed, describe, make_folder, read_input, share_of_sample


def run_anneal(arguments: argparse.Namespace) -> None:
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
