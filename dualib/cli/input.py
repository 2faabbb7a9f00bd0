"""What the commands share: the table in a file, its description, and options."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dualib.data.labelled import CountTable
    from dualib.joint import JointDistribution


_LARGEST_SAMPLE = 1e15  # counts beyond are no whole numbers of a float when summed


_ANSWERS = {"yes": True, "no": False, "auto": None}
LAYOUT_HELP = """\
In a file of text, layout "table" has rows x and columns y; "samples" two columns, x and y of each sample; "long" three
columns, x, y and how often. What is not said is guessed, and the guess is printed.
"""
TABLE_HELP = f"""\
FILE is a table of counts or of probabilities, rows x and columns y; it is divided by its sum:
  .csv, .tsv    with or without a header line and a column of labels (an empty
                corner cell says that both are there)
  .npy, .npz    one array, or one called counts or pxy
  .npz, .mtx    sparse: scipy.sparse.save_npz, Matrix Market
  .xlsx, .ods, .parquet    by pandas, where it is installed
{LAYOUT_HELP}"""


def add_reading(command: argparse.ArgumentParser) -> None:
    """Add the options that say how a table of text is to be read."""
    header = "whether the first line has names (default: auto, which guesses)"
    index = "whether the first column has the labels of x, or in other layouts numbers the lines (default: auto)"
    command.add_argument("--header", choices=tuple(_ANSWERS), default="auto", help=header)
    command.add_argument("--index", choices=tuple(_ANSWERS), default="auto", help=index)
    layouts = ("auto", "table", "samples", "long")
    command.add_argument("--layout", choices=layouts, default="auto", help="of a file of text, see below (default: auto)")


def add_problem(command: argparse.ArgumentParser) -> None:
    """Add the file, and how it becomes a problem that is solved."""
    command.add_argument("file", metavar="FILE", help="table of counts or probabilities, see below")
    add_reading(command)
    ib, dual = "ib: KL( p(y|x) || p(y|t) )", "dualib: KL( p(y|t) || p(y|x) )"
    command.add_argument("--distortion", choices=("ib", "dualib"), default="ib", help=f"{ib}; {dual} (default: ib)")
    smoothing = "added to every cell of the table first, in its unit: a pseudocount (default: 0, zeros are exact)"
    command.add_argument("--smoothing", metavar="A", type=float, default=0.0, help=smoothing)
    command.add_argument("--tol", metavar="T", type=float, default=1e-9, help="wanted gap in nats (default: %(default)s)")
    command.add_argument("--unit", choices=("nats", "bits"), default="nats", help="of all that is printed (default: nats)")
    command.add_argument("--seed", metavar="N", type=int, help="of the search (default: a fixed one, so results repeat)")


def add_alpha(command: argparse.ArgumentParser) -> None:
    """Add the price of randomness."""
    known = "1 is the Information Bottleneck (default), 0 the deterministic one, hard clusters"
    command.add_argument("--alpha", metavar="A", type=float, default=1.0, help=f"price of randomness, from 0 to 1: {known}")


def add_output(command: argparse.ArgumentParser, default: str) -> None:
    """Add the folder to write, and whether progress is shown."""
    command.add_argument("-o", "--output", metavar="DIR", default=default, help="folder to write (default: %(default)s)")
    command.add_argument("-q", "--quiet", action="store_true", help="no progress bar")


def numbers(text: str) -> list[float]:
    """A list of numbers, for argparse."""
    return [float(part) for part in text.replace(",", " ").split()]


numbers.__name__ = "list of numbers"  # what argparse calls it when it complains


def read_file(arguments: argparse.Namespace, path: str) -> CountTable:
    """The table in a file, read as the options say."""
    from dualib.data.tables import read_table

    return read_table(path, _ANSWERS[arguments.header], _ANSWERS[arguments.index], arguments.layout)


def read_input(arguments: argparse.Namespace) -> tuple[CountTable, JointDistribution]:
    """The table in the file, and its joint distribution."""
    from dualib.joint import JointDistribution

    table = read_file(arguments, arguments.file)
    return table, JointDistribution.from_counts(table, arguments.smoothing)


def guess_of(table: CountTable) -> list[str]:
    """What to print of a guess: nothing, or one line."""
    return [f"  {table.guess} (guessed: --header, --index and --layout say otherwise)"] if table.guess else []


def describe(arguments: argparse.Namespace, table: CountTable, joint: JointDistribution) -> str:
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
        *guess_of(table),
        f"  I(X;Y) = {information:.6g} {arguments.unit}",
    ]
    return "\n".join(lines)


def share_of_sample(arguments: argparse.Namespace, table: CountTable) -> str:
    """One line, how much of I(X;Y) is the sample's; nothing where the table is not of counts."""
    from dualib.information.entropies import mutual_information
    from dualib.information.estimates import mutual_information_nsb

    if table.kind != "counts" or table.counts.sum() > _LARGEST_SAMPLE:
        return ""
    plug_in, estimate = (
        measure(table.counts, unit=arguments.unit) for measure in (mutual_information, mutual_information_nsb)
    )
    surplus = max(0.0, plug_in - max(0.0, estimate))
    part = f" ({surplus / plug_in:.0%})" if plug_in > 0.0 else ""
    return (
        f"  of the {plug_in:.4g} {arguments.unit} in the counts about {surplus:.2g}{part} is the sample's: {table.counts.sum():.0f} "
        "observations, by the NSB estimate; dualib.cross_fit says it along the curve\n"
    )


def listed(names: Sequence[str], most: int = 30) -> str:
    """Names on one line, the first `most` of them."""
    more = f" ... ({len(names)} in all)" if len(names) > most else ""
    return " ".join(name if name.strip() else repr(name) for name in names[:most]) + more or "(none)"


def check_folder(option: str, path: str) -> None:
    """Refuse a place that cannot be written before the work, not after it."""
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise ValueError(f"{option}: the folder {folder!r} does not exist")
    if os.path.isdir(path):
        raise ValueError(f"{option}: {path!r} is a folder")


def make_folder(option: str, path: str) -> None:
    """Make a folder that does not exist, and refuse a file in its place."""
    try:
        os.makedirs(path, exist_ok=True)
    except FileExistsError:
        raise ValueError(f"{option}: {path!r} is a file: name a folder") from None


def checked_seed(seed: int | None) -> int | None:
    """Refuse a negative one."""
    if seed is not None and seed < 0:
        raise ValueError(f"--seed must be >= 0, got {seed}")
    return seed
