"""What the commands share: the table in a file, its description, and options."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dualib.data.tables import Table
    from dualib.joint import JointDistribution


_LARGEST_SAMPLE = 1e15  # counts beyond are no whole numbers of a float when summed
_FEW_CELLS = 20_000  # of a table whose onset takes about a second


def read_input(arguments: argparse.Namespace) -> tuple[Table, JointDistribution]:
    """The table in the file, and its joint distribution."""
    from dualib.data.tables import load_table

    table = load_table(arguments.file)
    return table, table.to_joint(arguments.smoothing)


def describe(arguments: argparse.Namespace, table: Table, joint: JointDistribution) -> str:
    """Say what was read, so that a file taken for what it is not is seen at once."""
    from dualib.results.units import unit_factor

    sparse = "sparse " if joint.is_sparse else ""
    smoothing = f" + {arguments.smoothing:g} in every cell" if arguments.smoothing else ""
    if table.kind == "conditionals":
        smoothing += " (every row sums to 1: p(x) is uniform)"
    information = joint.mutual_information * unit_factor(arguments.unit)
    lines = [
        f"{arguments.file}: {sparse}table of {table.kind}, {joint.n_x} x by {joint.n_y} y{smoothing}",
        f"  x: {listed(joint.x_labels)}",
        f"  y: {listed(joint.y_labels)}",
        f"  I(X;Y) = {information:.6g} {arguments.unit}",
    ]
    return "\n".join(lines)


def share_of_sample(arguments: argparse.Namespace, table: Table) -> str:
    """One line, how much of I(X;Y) is the sample's; nothing where the table is not of counts."""
    from dualib.information import mutual_information, mutual_information_nsb

    if table.kind != "counts" or table.values.sum() > _LARGEST_SAMPLE:
        return ""
    plug_in, estimate = (
        measure(table.values, unit=arguments.unit) for measure in (mutual_information, mutual_information_nsb)
    )
    surplus = max(0.0, plug_in - max(0.0, estimate))
    part = f" ({surplus / plug_in:.0%})" if plug_in > 0.0 else ""
    return (
        f"  of the {plug_in:.4g} {arguments.unit} in the counts about {surplus:.2g}{part} is the sample's: {table.values.sum():.0f} "
        "observations, by the NSB estimate; dualib.cross_fit says it along the curve\n"
    )


def listed(names: Sequence[str], most: int = 30) -> str:
    """Names on one line, the first `most` of them."""
    more = f" ... ({len(names)} in all)" if len(names) > most else ""
    return " ".join(name if name.strip() else repr(name) for name in names[:most]) + more or "(none)"


def check_folder(path: str) -> None:
    """Refuse a place that cannot be written before the work, not after it."""
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise ValueError(f"--save: the folder {folder!r} does not exist")
    if os.path.isdir(path):
        raise ValueError(f"--save: {path!r} is a folder")


def checked_seed(seed: int | None) -> int | None:
    """Refuse a negative one."""
    if seed is not None and seed < 0:
        raise ValueError(f"--seed must be >= 0, got {seed}")
    return seed
