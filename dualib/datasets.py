"""Small joint distributions with known answers, and real counts that ship with the package."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from importlib import resources

import numpy as np
import numpy.typing as npt

from dualib._validation import Array, as_distribution, shown, validate_integer, validate_open_probability, validate_positive
from dualib.joint import JointDistribution

__all__ = [
    "ColourSolid",
    "Contexts",
    "bernoulli",
    "binary_symmetric",
    "case_a",
    "colour_solid",
    "deterministic",
    "erasure",
    "gaussian",
    "load_contexts",
    "load_letters",
    "symmetric",
    "three_by_three",
    "toy",
]


def load_letters(smoothing: float = 0.0) -> JointDistribution:
    """Which letter follows which in English text: 27 x 27 counts (26 letters and the separator "_"), normalised.

    Parameters
    ----------
    smoothing : float
        Added to every count. Some pairs never occur, so without it the dual IB has infinite distortions (legal, and exact).

    Examples
    --------
    >>> from dualib import datasets
    >>> joint = datasets.load_letters(smoothing=0.5)
    >>> joint.n_x, joint.n_y, joint.x_labels[:3], round(joint.mutual_information, 4)
    (27, 27, ('_', 'a', 'b'), 0.5982)
    """
    text = (resources.files("dualib") / "data" / "english-letters.csv").read_text(encoding="utf-8")
    rows = list(csv.reader(io.StringIO(text)))
    counts = np.array([row[1:] for row in rows[1:]], dtype=np.float64)
    return JointDistribution.from_counts(counts, smoothing, x_labels=[row[0] for row in rows[1:]], y_labels=rows[0][1:])


@dataclass(frozen=True)
class Contexts:
    """Counts of the letter that follows each of 542 pairs of letters, in the two halves of a text.

    Attributes
    ----------
    train_counts, test_counts : ndarray, shape (542, 27)
    x_labels, y_labels : tuple of str

    Examples
    --------
    >>> from dualib import datasets
    >>> contexts = datasets.load_contexts()
    >>> int(contexts.train_counts.sum()), int(contexts.test_counts.sum())
    (2006935, 2006935)
    """

    train_counts: npt.NDArray[np.int64]
    test_counts: npt.NDArray[np.int64]
    x_labels: tuple[str, ...]
    y_labels: tuple[str, ...]

    @property
    def train(self) -> JointDistribution:
        """The first half as a joint distribution, not smoothed."""
        return JointDistribution.from_counts(self.train_counts, x_labels=self.x_labels, y_labels=self.y_labels)

    @property
    def test(self) -> JointDistribution:
        """The second half as a joint distribution, not smoothed."""
        return JointDistribution.from_counts(self.test_counts, x_labels=self.x_labels, y_labels=self.y_labels)


def load_contexts() -> Contexts:
    """Which letter follows each pair of letters in English text: 542 x 27 counts from each half of the text.

    Examples
    --------
    >>> from dualib import datasets
    >>> contexts = datasets.load_contexts()
    >>> contexts.train_counts.shape, contexts.x_labels[:3]
    ((542, 27), ('_a', '_b', '_c'))
    """
    data = (resources.files("dualib") / "data" / "english-contexts.npz").read_bytes()
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        train, test = arrays["train"], arrays["test"]
        x_labels, y_labels = tuple(arrays["x_labels"].tolist()), tuple(arrays["y_labels"].tolist())
    train.flags.writeable = test.flags.writeable = False
    return Contexts(train, test, x_labels, y_labels)


@dataclass(frozen=True)
class ColourSolid:
    """Colour chips, and what is meant by each, as a joint distribution p(chip, colour meant).

    Attributes
    ----------
    joint : JointDistribution
        ``p(y|x)`` proportional to ``exp(-|v_x - v_y|^2 / (2 width^2))``, x uniform.
    points : ndarray, shape (n, 3)
        v, the places of the chips: lightness from 0 to 100, and two axes of colour, of which red is the first.
    hues : ndarray of int, shape (n,)
        The number of a chip's hue, from 0 (red) to 39; -1 of the greys.

    Examples
    --------
    >>> from dualib import datasets
    >>> solid = datasets.colour_solid()
    >>> int((solid.hues == -1).sum()), solid.points[solid.hues == -1][0].tolist()
    (10, [10.0, 0.0, 0.0])
    """

    joint: JointDistribution
    points: Array
    hues: npt.NDArray[np.int64]


def colour_solid(width: float = 8.0) -> ColourSolid:
    """A synthetic solid of 330 colours, as those that names of colours are studied on: 40 hues at 8 lightnesses, and 10 greys.

    The chips lie on the surface of a solid about the axis of greys, which is widest at a light yellow and a dark blue, as the solid
    of surface colours is; they are made by a formula and measure no pigment. What a speaker means by a chip is a Gaussian over
    all chips (Zaslavsky, Kemp, Regier and Tishby 2018, PNAS 115: 7937: the variance is 64, the chips those of a survey).

    Parameters
    ----------
    width : float
        Standard deviation of what is meant, in units of lightness.

    Examples
    --------
    >>> from dualib import datasets
    >>> solid = datasets.colour_solid()
    >>> solid.points.shape, solid.joint.x_labels[0], round(solid.joint.mutual_information, 4)
    ((330, 3), 'L20 h00', 3.5422)
    """
    width = validate_positive("width", width)
    lightness, hue = (part.ravel() for part in np.meshgrid(np.linspace(20.0, 90.0, 8), np.arange(40), indexing="ij"))
    angle = 2.0 * np.pi * hue / 40.0
    widest = 55.0 + 25.0 * np.cos(angle - 1.6)  # the lightness of most colour: yellow is light, blue dark
    chroma = 10.0 + 60.0 * np.exp(-(((lightness - widest) / 40.0) ** 2))
    around = np.stack([lightness, chroma * np.cos(angle), chroma * np.sin(angle)], axis=1)
    greys = np.stack([np.linspace(10.0, 95.0, 10), np.zeros(10), np.zeros(10)], axis=1)
    points, hues = np.concatenate([around, greys]), np.append(hue, np.full(10, -1))
    square = np.sum((points[:, None] - points[None]) ** 2, axis=2)
    rows = np.exp(-square / (2.0 * width**2))
    labels = [
        f"L{light:.0f} " + (f"h{number:02d}" if number >= 0 else "grey")
        for light, number in zip(points[:, 0], hues, strict=True)
    ]
    joint = JointDistribution.from_conditionals(rows / rows.sum(axis=1, keepdims=True), None, labels, labels)
    for part in (points, hues):
        part.flags.writeable = False
    return ColourSolid(joint, points, hues)


def toy() -> JointDistribution:
    """The five-point toy: x on a line from -1 to 0.6, p(y|x) proportional to exp(-y x) with y = -1 or 1, p(x) uniform.

    I(X;Y) = 0.1225974513 nats. Onsets of learning: IB 4.365028, dual IB 3.223708.

    Examples
    --------
    >>> from dualib import datasets
    >>> round(datasets.toy().mutual_information, 10)
    0.1225974513
    """
    x = np.linspace(-1.0, 0.6, 5)
    rows = np.exp(-np.outer(x, [-1.0, 1.0]))
    return JointDistribution.from_conditionals(
        rows / rows.sum(axis=1, keepdims=True), x_labels=[f"{value:g}" for value in x], y_labels=["-1", "1"]
    )


def binary_symmetric(e: float) -> JointDistribution:
    """Binary symmetric channel with flip probability e in (0, 1), x uniform; see `closed_forms.binary_symmetric`.

    Examples
    --------
    >>> from dualib import datasets
    >>> datasets.binary_symmetric(0.1).py_x
    array([[0.9, 0.1],
           [0.1, 0.9]])
    """
    e = validate_open_probability("e", e)
    return JointDistribution.from_conditionals([[1.0 - e, e], [e, 1.0 - e]])


def erasure(e: float) -> JointDistribution:
    """Binary erasure channel with erasure probability e in (0, 1), x uniform; y = 0, 1 or erased; see `closed_forms.erasure`.

    Examples
    --------
    >>> from dualib import datasets
    >>> datasets.erasure(0.25).py_x
    array([[0.75, 0.  , 0.25],
           [0.  , 0.75, 0.25]])
    """
    e = validate_open_probability("e", e)
    return JointDistribution.from_conditionals([[1.0 - e, 0.0, e], [0.0, 1.0 - e, e]], y_labels=["0", "1", "erased"])


def symmetric(n: int, a: float) -> JointDistribution:
    """Symmetric n-ary channel, p(y|x) = a [y = x] + (1 - a) / n, x uniform; a in (0, 1). Its onsets are of first order.

    Examples
    --------
    >>> from dualib import datasets
    >>> datasets.symmetric(3, 0.6).py_x.round(4)
    array([[0.7333, 0.1333, 0.1333],
           [0.1333, 0.7333, 0.1333],
           [0.1333, 0.1333, 0.7333]])
    """
    a = validate_open_probability("a", a)
    n = validate_integer("n", n, 2)
    return JointDistribution.from_conditionals(a * np.eye(n) + (1.0 - a) / n)


def deterministic(classes: npt.ArrayLike) -> JointDistribution:
    """Y = f(X), x uniform: `classes` (n_x,) are the values f(x), whole numbers from 0.

    Examples
    --------
    >>> from dualib import datasets
    >>> datasets.deterministic([0, 1, 1]).py_x
    array([[1., 0.],
           [0., 1.],
           [0., 1.]])
    """
    labels = np.asarray(classes)
    if labels.ndim != 1 or labels.size == 0 or labels.dtype.kind not in "iu" or (labels < 0).any():
        raise ValueError(f"classes must be a one-dimensional array of whole numbers >= 0, got {shown(classes)}")
    return JointDistribution.from_conditionals(np.eye(int(labels.max()) + 1)[labels])


def bernoulli(p: float) -> JointDistribution:
    """X = Y, 1 with probability p in (0, 1): the source for rate-distortion with a matrix such as Hamming's.

    Examples
    --------
    >>> from dualib import datasets
    >>> datasets.bernoulli(0.3).pxy
    array([[0.7, 0. ],
           [0. , 0.3]])
    """
    p = validate_open_probability("p", p)
    return JointDistribution.from_conditionals(np.eye(2), as_distribution("p", [1.0 - p, p]))


def gaussian(n: int, rho: float, width: float = 4.0) -> JointDistribution:
    """A bivariate normal of correlation rho in (0, 1), on an n x n grid over `width` standard deviations to each side.

    For fine, wide grids it tends to the Gaussian Information Bottleneck; see `closed_forms.gaussian_ib`.

    Examples
    --------
    >>> from dualib import datasets
    >>> joint = datasets.gaussian(40, rho=0.8)
    >>> joint.n_x, joint.n_y
    (40, 40)
    """
    rho = validate_open_probability("rho", rho)
    n = validate_integer("n", n, 2)
    width = validate_positive("width", width)
    grid = np.linspace(-width, width, n)
    log_rows = -((grid[None, :] - rho * grid[:, None]) ** 2) / (2.0 * (1.0 - rho**2))
    rows = np.exp(log_rows - log_rows.max(axis=1, keepdims=True))
    px = np.exp(-(grid**2) / 2.0)
    digits = next(digits for digits in range(3, 18) if len({f"{value:.{digits}g}" for value in grid}) == n)
    labels = [f"{value:.{digits}g}" for value in grid]
    return JointDistribution.from_conditionals(rows / rows.sum(axis=1, keepdims=True), px / px.sum(), labels, labels)


def case_a() -> JointDistribution:
    """A random 5 x 2 problem whose dual IB learns at beta = 1.336, half the textbook critical beta of 2.608.

    Examples
    --------
    >>> from dualib import datasets
    >>> datasets.case_a().px.round(4)
    array([0.1832, 0.2455, 0.12  , 0.3447, 0.1066])
    """
    rng = np.random.default_rng(0)
    px = rng.dirichlet(3.0 * np.ones(5))
    return JointDistribution.from_conditionals(rng.dirichlet(np.ones(2), 5), px)


def three_by_three() -> JointDistribution:
    """A 3 x 3 matrix published by Huang et al. for rate and relevance tables; x uniform, I(X;Y) = 0.4541057321 nats.

    Examples
    --------
    >>> from dualib import datasets
    >>> round(datasets.three_by_three().mutual_information, 10)
    0.4541057321
    """
    columns = np.array([[0.90, 0.08, 0.40], [0.025, 0.82, 0.05], [0.075, 0.10, 0.55]])
    return JointDistribution.from_conditionals(columns.T)
