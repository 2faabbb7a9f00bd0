"""``dualib compare``: held-out scores of bottlenecks and of the plain estimate, from two tables of counts."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any

from dualib.cli.input import LAYOUT_HELP, add_output, add_reading, checked_seed, guess_of, make_folder, numbers, read_file

if TYPE_CHECKING:
    from dualib.data.labelled import CountTable
    from dualib.predict.scores import Comparison

SUMMARY = "how well the clusters predict y on held-out counts, beside the plain estimate"
EPILOG = f"""\
TRAIN and TEST are tables of counts with the same x (rows) and the same y (columns), with or without labels: .csv, .tsv,
.npy, .npz (dense or scipy.sparse), .mtx. Smoothing and beta are chosen on a part of TRAIN; TEST decides nothing.
{LAYOUT_HELP}
examples:
  dualib compare train.csv test.csv
  dualib compare train.csv test.csv --n-train 500,5000 --splits 10 -o results
  dualib compare train.csv test.csv --features features.csv --methods ib,dualib-exp,maxent,plug-in

Methods: ib, dualib; plug-in, the smoothed empirical p(y|x); dualib-exp, the dual IB in an exponential family, fitted to
--features where given; ib-exp, the IB of that family; maxent, that family without clusters. Written into DIR:
  comparison.csv    one row per method, beta, training size and split
  summary.csv       mean and standard error over the splits at the chosen beta, and the difference from the plug-in;
                    no standard error (an empty cell) where there is one split, as of all symbols of TRAIN
  comparison.png    log loss against beta, against rate and against training size
"""


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    command.add_argument("train", metavar="TRAIN", help="table of training counts")
    command.add_argument("test", metavar="TEST", help="table of test counts")
    add_output(command, "dualib-compare")
    add_reading(command)
    command.add_argument("--features", metavar="FILE", help="one row of numbers for each x: .npy, or .csv without labels")
    names = "separated by commas (default: ib,dualib,dualib-exp,plug-in)"
    command.add_argument("--methods", metavar="M,M,...", default="ib,dualib,dualib-exp,plug-in", help=names)
    command.add_argument("--betas", metavar="B,B,...", type=numbers, help="trade-offs (default: eight from 2 to 24)")
    command.add_argument("--smoothing", metavar="A,A,...", type=numbers, help="pseudocounts per cell to choose from")
    command.add_argument("--l2", metavar="L,L,...", type=numbers, help="penalties of the family's fit to choose from")
    command.add_argument("--n-train", metavar="N,N,...", type=numbers, help="training sizes (default: all of TRAIN, one draw)")
    splits = "draws of each size, two or more for standard errors and verdicts (default: %(default)s)"
    command.add_argument("--splits", metavar="N", type=int, default=5, help=splits)
    command.add_argument("--seed", metavar="N", type=int, help="of the draws (default: a fixed one, so results repeat)")
    command.add_argument("--jobs", metavar="N", type=int, default=1, help="fits at a time, -1 for all cores (default: 1)")
    command.add_argument("--no-plots", action="store_true", help="write the tables only")


def run(arguments: argparse.Namespace) -> None:
    """Read, compare, write, and print the short table."""
    from dualib.predict.comparison import compare_predictions
    from dualib.predict.tables import check_same_labels

    train, test = (read_file(arguments, path) for path in (arguments.train, arguments.test))
    check_same_labels("x", train.x_labels, test.x_labels, "TRAIN", "TEST")
    check_same_labels("y", train.y_labels, test.y_labels, "TRAIN", "TEST")
    options = {name: value for name in ("betas", "smoothing", "l2") if (value := getattr(arguments, name)) is not None}
    if arguments.n_train is not None:
        options["n_train"] = [int(size) if size.is_integer() else size for size in arguments.n_train]
    features = None if arguments.features is None else _read_features(arguments.features)
    make_folder("--output", arguments.output)
    print(_describe(arguments, train, test))
    comparison = compare_predictions(
        train,
        test,
        features=features,
        methods=[name.strip() for name in arguments.methods.split(",")],
        n_splits=arguments.splits,
        random_state=checked_seed(arguments.seed),
        n_jobs=arguments.jobs,
        progress=not arguments.quiet,
        **options,
    )
    files = _write(comparison, arguments.output, pictures=not arguments.no_plots)
    print(f"\n{comparison!r}\n")
    for line in _verdicts(comparison):
        print(f"  {line}")
    print("\nwritten:")
    print("\n".join(f"  {name}" for name in files))


def _describe(arguments: argparse.Namespace, train: CountTable, test: CountTable) -> str:
    n_x, n_y = train.counts.shape
    known, new = (f"{table.counts.sum():.12g} symbols in" for table in (train, test))
    lines = [f"{n_x} x by {n_y} y: {known} {arguments.train}, {new} {arguments.test}"]
    lines += guess_of(train) + (guess_of(test) if test.guess != train.guess else [])
    return "\n".join(lines)


def _verdicts(comparison: Comparison) -> list[str]:
    """The difference of each method from the plug-in, size by size; none where there is no plug-in."""
    from dualib.predict.scores import with_error

    rows = comparison.against("plug-in") if "plug-in" in comparison.methods else []
    if not rows:
        return []
    lines = ["log loss less that of the plug-in, by split; better or worse: by more than two standard errors"]
    if all(row["verdict"] is None for row in rows):
        lines = ["log loss less that of the plug-in, on one split: no standard error, and so no verdict"]
    for row in rows:
        verdict = "" if row["verdict"] is None else f"  {row['verdict']}"
        lines.append(f"{row['n_train']:>8}  {row['method']:<11}{with_error(row, '+')}{verdict}")
    return lines


def _write(comparison: Comparison, folder: str, *, pictures: bool) -> list[str]:
    import csv

    rows, summary = os.path.join(folder, "comparison.csv"), os.path.join(folder, "summary.csv")
    comparison.to_csv(rows)
    differences: dict[Any, Any] = {}
    if "plug-in" in comparison.methods:
        differences = {(row["method"], row["n_train"]): row for row in comparison.against("plug-in")}
    table = []
    for row in comparison.summary():
        difference = differences.get((row["method"], row["n_train"]), {})
        extra = {"log_loss_difference": difference.get("log_loss", ""), "difference_se": difference.get("log_loss_se", "")}
        table.append({**row, **extra, "verdict": difference.get("verdict", "")})
    with open(summary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(table[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
    if not pictures:
        return [rows, summary]
    from matplotlib.figure import Figure

    picture = os.path.join(folder, "comparison.png")
    figure = Figure(figsize=(12.0, 4.2), layout="constrained")
    comparison.plot(figure.subplots(1, 3))
    figure.savefig(picture, dpi=110)
    return [rows, summary, picture]


def _read_features(path: str) -> Any:
    """A matrix of numbers, of either sign, from .npy or from .csv without labels."""
    import numpy as np

    if path.endswith(".npy"):
        with open(path, "rb") as file:
            if file.read(6) != b"\x93NUMPY":
                raise ValueError(f"--features: {path!r} is not a NumPy array")
        return np.load(path, allow_pickle=False)
    if not path.endswith(".csv"):
        raise ValueError(f"--features must end in .npy or .csv, got {path!r}")
    try:
        return np.loadtxt(path, delimiter=",", ndmin=2, encoding="utf-8")
    except ValueError as error:
        raise ValueError(f"--features: {path!r} must hold rows of numbers without labels: {error}") from None
