"""What a report states: the curve of a table, its points as rows, and how much of the information is the sample's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dualib.information import mutual_information, mutual_information_miller_madow, mutual_information_shuffled
from dualib.joint import JointDistribution
from dualib.path.onset import onset
from dualib.results.units import Unit, unit_factor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dualib.results.curve import Curve
    from dualib.results.solution import Solution

N_SHUFFLED = 10  # tables without dependence, whose onsets are stated
FEW_CELLS = 20_000  # of a table whose onset takes about a second
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
    kind : str
        "counts", "probabilities", "conditionals" or "weights".
    smoothing : float
        What was added to every cell.
    """

    name: str
    digest: str
    kind: str
    smoothing: float


@dataclass(frozen=True)
class Sample:
    """How much of I(X;Y) a table of counts has by chance; nats.

    Attributes
    ----------
    n : int
        Number of observations.
    plug_in, miller_madow, shuffled : float
        I(X;Y) of the counts as they are, with the Miller-Madow correction, and less its mean over tables of the same margins
        in which X and Y are independent.
    null_onsets : tuple of float
        Where learning begins in such tables, ascending; empty where that was not computed.
    """

    n: int
    plug_in: float
    miller_madow: float
    shuffled: float
    null_onsets: tuple[float, ...]

    @property
    def by_chance(self) -> float:
        """What tables without dependence have in the mean, nats."""
        return self.plug_in - self.shuffled


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
    counts: Any,
    distortion: str,
    smoothing: float,
    rng: np.random.Generator,
    report: Callable[[], Any] = lambda: None,
) -> Sample | None:
    """The sample's part of the information in a dense table of whole counts; None for any other.

    Parameters
    ----------
    counts : ndarray, shape (n_x, n_y)
    distortion : "ib" or "dualib"
        Whose onset is sought in the shuffled tables.
    smoothing : float
        Added to them, as to the table itself.
    rng : Generator
    report : callable
        Called after each table.
    """
    from scipy.stats import random_table

    table = np.asarray(counts)
    if min(table.shape) < 2:
        return None
    shuffled = mutual_information_shuffled(table, random_state=rng)
    onsets: list[float] = []
    if table.size <= FEW_CELLS:
        rows, columns = (table.sum(axis=axis).astype(np.int64) for axis in (1, 0))
        margins = random_table(rows, columns, seed=rng)
        for _ in range(N_SHUFFLED):
            null = JointDistribution.from_counts(margins.rvs(), smoothing)
            onsets.append(onset(null, distortion))
            report()
    return Sample(
        int(table.sum()),
        mutual_information(table),
        mutual_information_miller_madow(table),
        shuffled,
        tuple(sorted(onsets)),
    )


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
