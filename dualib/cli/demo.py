"""``dualib demo``: letters of English, clustered by the IB and the dual IB; and how the command line shows curves."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dualib._validation import Unit
from dualib.cli.input import make_folder
from dualib.results.curve import Curve
from dualib.results.solution import Solution
from dualib.results.units import unit_factor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dualib.joint import JointDistribution

SMOOTHING = 0.5
# Twenty-four betas an octave, for both problems: from below the onset of the dual IB to where both curves saturate.
BETAS = 2.0 ** (np.arange(-36, 121) / 24.0)
TABLE_BETAS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
NAMES = {"ib": "IB", "dualib": "dual IB"}
_SHOWN_RATES = (0.2, 0.4, 0.6)  # of the largest rate: where the clusters are drawn
_DOTS_PER_INCH = 130


def run_demo(
    output_dir: str | os.PathLike[str] = "dualib-demo",
    *,
    betas: npt.ArrayLike | None = None,
    progress: bool = True,
) -> dict[str, Curve]:
    """Solve the IB and the dual IB for which letter follows which in English text, and show the results.

    Prints a short table, and writes a CSV and the saved curve of each problem and the pictures.

    Parameters
    ----------
    output_dir : path-like
        Made where it does not exist.
    betas : array_like, optional
        The trade-offs, for both problems; by default `BETAS`.
    progress : bool
        A progress bar on stderr.

    Returns
    -------
    dict of str to Curve
        By "ib" and "dualib".

    Notes
    -----
    Some pairs of letters never occur. For the dual IB, an x that is never followed by y keeps y out of each of its
    clusters, and so the gaps in the counts would rule; `SMOOTHING` is therefore added to every count, for both problems.
    """
    from dualib.datasets import load_letters

    start = time.monotonic()
    folder = os.fspath(output_dir)
    make_folder("--output", folder)
    joint = load_letters(smoothing=SMOOTHING)
    print(
        "Which letter y follows which letter x in English text: the alphabet and the space between words (_),\n"
        f"{joint.n_x} x {joint.n_y} counts with {SMOOTHING:g} added to each. "
        f"I(X;Y) = {joint.mutual_information:.4f} nats.",
        flush=True,
    )
    curves = {name: _solve(name, joint, BETAS if betas is None else betas, progress) for name in NAMES}
    both = list(curves.values())
    print(f"\n{curve_table(both, [beta for beta in TABLE_BETAS if beta in both[0].beta])}\n")
    print("Letters x that are mostly in one cluster, at two fifths of the largest rate:")
    for name, curve in curves.items():
        solution = _at_rate(curve, 0.4)
        print(f"  {NAMES[name]:<8} beta = {solution.beta:<5.3g}  {_partition(solution)}")
    print("\nWritten:")
    for file in _write_all(curves, folder):
        print(f"  {file}", flush=True)
    print(f"All in {time.monotonic() - start:.1f} s.")
    return curves


def _write_all(curves: dict[str, Curve], folder: str) -> Iterator[str]:
    """Write the tables and the pictures of the demo; yields the name of each file when it is there."""
    for name, curve in curves.items():
        yield from write_curve(curve, os.path.join(folder, name))
    yield _save(_information_plane(list(curves.values()), "nats"), os.path.join(folder, "information-plane.png"))
    for name, curve in curves.items():
        yield from _write_trees(curve, os.path.join(folder, name))


def _solve(name: str, joint: JointDistribution, betas: npt.ArrayLike, progress: bool) -> Curve:
    from dualib.path.anneal import anneal
    from dualib.progress import ProgressBar

    if not progress:
        return anneal(joint, name, betas)
    bar = ProgressBar(NAMES[name])
    with bar:
        return anneal(joint, name, betas, progress=bar.show)


def write_curve(curve: Curve, stem: str, unit: Unit = "nats") -> list[str]:
    """Write ``STEM-curve.csv``, every scalar by beta, and ``STEM-curve.npz``, everything; returns their names."""
    rows = [solution.summary(unit) for solution in curve]
    name = f"{stem}-curve.csv"
    with open(name, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    curve.save(f"{stem}-curve.npz")
    return [name, f"{stem}-curve.npz"]


def write_pictures(curve: Curve, stem: str, unit: Unit = "nats") -> Iterator[str]:
    """Write the information plane, the trees and the clusters of one curve as .png; yields the name of each when it is there."""
    yield _save(_information_plane([curve], unit), f"{stem}-information-plane.png")
    yield from _write_trees(curve, stem)


def curve_table(curves: Sequence[Curve], betas: Sequence[float] = (), unit: Unit = "nats") -> str:
    """Rate, relevance, clusters and gap of each curve at the betas given, or at eight spread over the first curve."""
    factor = unit_factor(unit)
    chosen = betas or curves[0].beta[np.unique(np.linspace(0, len(curves[0]) - 1, 8).round().astype(int))]
    names = [NAMES.get(curve.distortion.name, curve.distortion.name) for curve in curves]
    columns = f"{'rate':>8} {'relevance':>10} {'clusters':>9} {'gap':>8}"
    lines = [
        " " * 8 + "".join(f"  {name:^{len(columns)}}" for name in names),
        f"{'beta':>8}" + f"  {columns}" * len(curves) + f"   [{unit}]",
    ]
    for beta in chosen:
        solutions = [curve.nearest(float(beta)) for curve in curves]
        cells = (
            f"  {factor * s.rate:8.4f} {factor * s.relevance:10.4f} {s.n_clusters:9d} {factor * s.gap:8.0e}" for s in solutions
        )
        lines.append(f"{solutions[0].beta:8.4g}" + "".join(cells))
    return "\n".join(line.rstrip() for line in lines)


def _at_rate(curve: Curve, share: float) -> Solution:
    """Pick the solution whose rate is nearest to a share of the largest."""
    return curve[int(np.argmin(np.abs(curve.rate - share * curve.rate.max())))]


def _partition(solution: Solution) -> str:
    """Group the x by the cluster that each is mostly in, the heaviest cluster first."""
    home = np.argmax(solution.encoder, axis=1)
    order = np.argsort(-solution.weights, kind="stable")
    groups = ["".join(solution.joint.x_labels[x] for x in np.flatnonzero(home == t)) for t in order]
    return " | ".join(group for group in groups if group)


# -- pictures: figures without pyplot, so that no display is needed and no backend is changed -------------------------


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _save(figure: Figure, name: str) -> str:
    figure.savefig(name, dpi=_DOTS_PER_INCH)
    return name


def _information_plane(curves: Sequence[Curve], unit: Unit) -> Figure:
    from dualib.plotting.plane import plot_information_plane

    figure = _figure(6.4, 4.4)
    plot_information_plane(curves, ax=figure.add_subplot(), unit=unit)
    return figure


def _write_trees(curve: Curve, stem: str) -> Iterator[str]:
    pictures: dict[str, Any] = {"clusters": _clusters}
    if len(curve) > 1:  # one beta makes no tree
        pictures = {"bifurcations": _tree, "bifurcations-by-y": _small_trees, **pictures}
    for name, draw in pictures.items():
        yield _save(draw(curve), f"{stem}-{name}.png")


def _tree(curve: Curve) -> Figure:
    from dualib.plotting.bifurcations import plot_bifurcations

    figure = _figure(8.4, 5.4)
    plot_bifurcations(curve, ax=figure.add_subplot())
    return figure


def _small_trees(curve: Curve) -> Figure:
    """Draw the tree in each of the six coordinates of the decoder that vary most between the x."""
    from matplotlib.figure import Figure

    from dualib.plotting.bifurcations import draw_grid

    rows = curve.joint.to_dense().py_x
    spread = curve.joint.px @ (rows - curve.joint.py) ** 2
    chosen = np.argsort(-spread, kind="stable")[:6]
    return draw_grid(Figure, curve, chosen.tolist(), 3, mark_events=False)[0, 0].figure


def _clusters(curve: Curve) -> Figure:
    """Draw the encoders where a fifth, two fifths and three fifths of the largest rate are spent."""
    from dualib.plotting.cluster_map import plot_clusters

    betas = sorted({_at_rate(curve, share).beta for share in _SHOWN_RATES})
    solutions = [curve.nearest(beta) for beta in betas]
    widths = [1.7 + 0.17 * min(max(solution.n_clusters, 3), 40) for solution in solutions]
    figure = _figure(sum(widths), 1.3 + 0.165 * min(max(curve.joint.n_x, 12), 60))
    axes = figure.subplots(1, len(widths), squeeze=False, gridspec_kw={"width_ratios": widths})[0]
    for ax, solution in zip(axes, solutions, strict=True):
        plot_clusters(solution, ax=ax, colorbar=False)
    figure.colorbar(axes[-1].images[0], ax=axes, label="p(t|x)", shrink=0.6, ticks=[0.0, 0.5, 1.0], pad=0.01)
    return figure
