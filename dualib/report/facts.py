"""What a report states: the curve of a table, its points as rows, and how much of the information is the sample's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dualib._validation import Unit
from dualib.information.entropies import mutual_information
from dualib.information.estimates import mutual_information_nsb
from dualib.predict.cross_fit import cross_fit
from dualib.results.units import unit_factor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dualib.predict.cross_fit_result import CrossFit
    from dualib.progress import Progress
    from dualib.results.curve import Curve
    from dualib.results.solution import Solution

N_SPLITS, N_MEASURED, N_SHUFFLED = 3, 8, 10  # divisions into halves, betas measured there, and tables without dependence
PSEUDOCOUNT = 0.5  # in each cell of the tables of clusters by y that predict the other half
FEW_CELLS, FEWEST = 20_000, 8  # cells and observations of a table that is divided
MOST_MEMBERS, MOST_Y = 12, 4  # that are named of a cluster
LEAST_MARK = 0.01  # p(y|t) of a y that is named, but for the first
SHOWN_RATES = (0.2, 0.4, 0.6, 0.8)  # of the largest: where clusters are written out


@dataclass(frozen=True)
class Source:
    """The file that was read.

    Attributes
    ----------
    name, digest : str
        As it was given, and the SHA-256 of its bytes.
    kind, guess : str
        "counts", "probabilities", "conditionals" or "weights"; and how a file of text was read, where that was guessed.
    smoothing : float
        What was added to every cell.
    """

    name: str
    digest: str
    kind: str
    guess: str
    smoothing: float


@dataclass(frozen=True)
class Sample:
    """How much of the information in a table of counts is the sample's; nats.

    Attributes
    ----------
    n : int
        Number of observations.
    plug_in, estimate : float
        I(X;Y) of the counts as they are, and by the NSB estimate.
    fit : CrossFit, optional
        Encoders chosen on one half of the observations and measured on the other; None for a table that is too large or too small.
    """

    n: int
    plug_in: float
    estimate: float
    fit: CrossFit | None


@dataclass(frozen=True)
class Facts:
    """All that the page needs.

    Attributes
    ----------
    source : Source
    curve : Curve
    sample : Sample, optional
        None where the table holds no counts of observations.
    shown : tuple of Solution
        The points of the curve whose clusters are written out.
    unit : "nats" or "bits"
    command : str
        What makes the same page again.
    """

    source: Source
    curve: Curve
    sample: Sample | None
    shown: tuple[Solution, ...]
    unit: Unit
    command: str

    @property
    def factor(self) -> float:
        """What nats are multiplied by."""
        return unit_factor(self.unit)


def sample_of(
    counts: Any, curve: Curve, smoothing: float, seed: int | None, progress: Progress = False, *, refit: bool = True
) -> Sample:
    """The sample's part of the information in a table of whole counts.

    Parameters
    ----------
    counts : ndarray or scipy.sparse array, shape (n_x, n_y)
    curve : Curve
        Of these counts; the encoders are measured at `N_MEASURED` of its betas, in about equal steps of the rate.
    smoothing : float
        Added to every cell before anything is solved, as to the table itself.
    seed : int, optional
        Of the divisions and shuffles.
    progress : bool or callable
    refit : bool
        Whether to solve on halves at all; it is left out where the table is too large or too small for it, too.
    """
    n = int(counts.sum())
    fit = None
    if refit and min(counts.shape) > 1 and counts.shape[0] * counts.shape[1] <= FEW_CELLS and n >= FEWEST:
        shares = np.linspace(0.0, curve.rate.max(), N_MEASURED + 1)[1:]
        betas = np.unique([curve.beta[np.argmin(np.abs(curve.rate - share))] for share in shares])
        fit = cross_fit(
            counts,
            curve.distortion,
            betas,
            N_SPLITS,
            PSEUDOCOUNT,
            seed,
            table_smoothing=smoothing,
            n_shuffles=N_SHUFFLED,
            progress=progress,
        )
    return Sample(n, mutual_information(counts), mutual_information_nsb(counts), fit)


def chosen_points(curve: Curve, betas: Sequence[float] | None) -> tuple[Solution, ...]:
    """The points nearest to `betas`; None: those that spend shares of the largest rate, `SHOWN_RATES`."""
    if betas is None:
        betas = [float(curve.beta[np.argmin(np.abs(curve.rate - share * curve.rate.max()))]) for share in SHOWN_RATES]
    return tuple(sorted({id(s): s for s in map(curve.nearest, betas)}.values(), key=lambda solution: solution.beta))


@dataclass(frozen=True)
class Group:
    """One cluster, for a reader.

    Attributes
    ----------
    weight : float
        p(t).
    members : tuple of str
        The x that it is the likeliest cluster of, the most probable first, `MOST_MEMBERS` at most.
    more : int
        How many there are besides.
    marks : tuple of (str, float)
        The y that tell it from the others, with p(y|t): those of the largest ``p(y|t) log(p(y|t) / p(y))``.
    """

    weight: float
    members: tuple[str, ...]
    more: int
    marks: tuple[tuple[str, float], ...]


def groups_of(solution: Solution) -> list[Group]:
    """The clusters, the heaviest first."""
    joint, labels = solution.joint, solution.labels
    found = []
    for t in np.argsort(-solution.weights, kind="stable"):
        inside = np.flatnonzero((labels == t) & (joint.px > 0.0))
        inside = inside[np.argsort(-joint.px[inside], kind="stable")]
        names = tuple(joint.x_labels[x] for x in inside[:MOST_MEMBERS])
        marks = _marks(solution.decoder[t], joint.py)
        found.append(
            Group(
                float(solution.weights[t]),
                names,
                max(0, len(inside) - MOST_MEMBERS),
                tuple((joint.y_labels[y], float(solution.decoder[t, y])) for y in marks),
            )
        )
    return found


def _marks(decoder: npt.NDArray[np.float64], py: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    live = (decoder > 0.0) & (py > 0.0)
    worth = np.zeros(len(decoder))
    worth[live] = decoder[live] * np.log(decoder[live] / py[live])
    order = np.argsort(-worth, kind="stable")[:MOST_Y]
    order = order[worth[order] > 0.0]
    return order[(decoder[order] >= LEAST_MARK) | (np.arange(len(order)) == 0)]
