"""``dualib demo``: the letters of English, clustered by the IB and the dual IB; and how the command line shows curves."""

from __future__ import annotations

import csv
import math
import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dualib.results import Curve, Solution, Unit, unit_factor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SMOOTHING = 0.5
# Twelve betas an octave, both problems on the same ones: from below the onset of the dual IB to where both curves saturate.
BETAS = 2.0 ** (np.arange(-18, 61) / 12.0)
TABLE_BETAS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
NAMES = {"ib": "IB", "dualib": "dual IB"}
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
        The trade-offs, for both problems; by default 79 of them, `BETAS`.
    progress : bool
        A progress bar on stderr.

    Returns
    -------
    dict of str to Curve
        By "ib" and "dualib".

    Notes
    -----
    Some pairs of letters never occur. For the dual IB such a zero forbids to every cluster with that letter, so that nearly
    all its clusters would be ruled by the gaps in the counts; `SMOOTHING` is therefore added to every count, for both problems.
    """
    from dualib.datasets import load_letters

    start = time.monotonic()
    folder = os.fspath(output_dir)
    os.makedirs(folder, exist_ok=True)
    joint = load_letters(smoothing=SMOOTHING)
    print(
        f"Which letter y follows which letter x in English text: {joint.n_x} x {joint.n_y} counts, of the alphabet and of\n"
        f"the space between words (_), with {SMOOTHING:g} added to every count. I(X;Y) = {joint.mutual_information:.4f} nats."
    )
    curves = {name: _solve(name, joint, BETAS if betas is None else betas, progress) for name in NAMES}
    files: list[str] = []
    for name, curve in curves.items():
        files += write_curve(curve, os.path.join(folder, name))
    files.append(_save(_information_plane(list(curves.values())), os.path.join(folder, "information-plane.png")))
    for name, curve in curves.items():
        files += _write_trees(curve, os.path.join(folder, name))
    print(f"\n{curve_table(list(curves.values()), TABLE_BETAS)}\n\n{clusters_text(curves['dualib'])}")
    print(f"\nwritten in {time.monotonic() - start:.0f} s:\n" + "\n".join(f"  {name}" for name in files))
    return curves
