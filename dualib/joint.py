"""`JointDistribution`: p(x, y), validated once, with its marginals, conditionals and labels."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dualib._validation import (
    SUM_TOLERANCE,
    Array,
    as_distribution,
    as_non_negative,
    as_non_negative_csr,
    as_probability_rows,
    is_sparse,
    shown,
    validate_at_least_zero,
)
from dualib.conditionals import conditionals_of, frozen, information_of
from dualib.data.labelled import as_labels, labelled
from dualib.data.samples import sampled_counts, windowed_counts
from dualib.markup import block, more, short, table
from dualib.memory import check_fits
from dualib.smoothed import Smoothed

_LABELS = ("x_labels", "y_labels")
_SHOWN_X, _SHOWN_Y = 8, 8  # rows and columns that notebooks show
# cells of sparse counts that a smoothing makes dense: at 800,000 a solve of the dense form takes four times as long
SMOOTHED_DENSE = 1_000_000
_LEAST = 1e-290  # part of the largest count below which a smoothing would be nothing but rounding


class JointDistribution:
    """A joint distribution p(x, y) of two discrete variables; immutable.

    Parameters
    ----------
    pxy : array_like, scipy.sparse matrix, DataFrame, Series, DataArray or CountTable, shape (n_x, n_y)
        Probabilities, non-negative, summing to 1 (within 1e-8; they are then renormalised). See `from_counts` for counts.
        Labels come along, see Notes.
    x_labels, y_labels : sequence of str, optional
        Names of the states, in place of those that `pxy` has; by default "0", "1", ...

    Attributes
    ----------
    pxy : ndarray (n_x, n_y), or CSR array where a sparse matrix was given, or `dualib.smoothed.Smoothed`
    px : ndarray (n_x,)
    py : ndarray (n_y,)
    py_x : ndarray (n_x, n_y), CSR or `dualib.smoothed.Smoothed`
        Conditionals p(y|x). A row of p(x) = 0 holds p(y), which claims nothing about x, dense and sparse alike
        (`from_conditionals` keeps the row given).
    n_x, n_y : int
    mutual_information : float
        I(X;Y), nats.
    x_labels, y_labels : tuple of str
    is_sparse, is_smoothed : bool
        Whether no dense table is kept; and whether that is because a pseudocount is kept beside sparse counts (`from_counts`).

    Raises
    ------
    TypeError
        Complex, text or object arrays.
    ValueError
        Negative, NaN or infinite values, a wrong shape, an empty or all-zero array, a sum that is not 1; a missing value, or a label
        given twice, with its place.

    Notes
    -----
    Tables with labels, here and in `from_counts`:

    - pandas: the index has the labels of x, the columns those of y. A column that holds no numbers is refused; if it has the labels
      of x, `set_index` makes it the index. Frames of sparse columns stay sparse. A Series whose index has two levels, x and y, as
      ``groupby([x, y]).size()`` gives it, is a table too.
    - polars, pyarrow: such frames have no index, so the one column of text, if there is one, has the labels of x.
    - xarray: a DataArray of two dimensions, first x, then y; its coordinates are the labels.

    A label of several parts (a MultiIndex) is their text with commas.

    Examples
    --------
    >>> import dualib
    >>> joint = dualib.JointDistribution.from_counts([[5, 3, 1], [1, 8, 2]], x_labels=["a", "b"])
    >>> joint
    JointDistribution(2 x 3, I(X;Y) = 0.135219 nats)
    >>> joint.px
    array([0.45, 0.55])
    >>> dualib.JointDistribution.from_samples(["a", "b", "a"], [0, 1, 0]).x_labels
    ('a', 'b')
    """

    def __init__(
        self,
        pxy: Any,
        x_labels: Sequence[object] | None = None,
        y_labels: Sequence[object] | None = None,
    ) -> None:
        values, x_labels, y_labels = labelled("pxy", pxy, x_labels, y_labels)
        matrix = as_non_negative_csr("pxy", values) if is_sparse(values) else as_non_negative("pxy", values, 2)
        with np.errstate(over="ignore"):  # an infinite sum is refused
            _check_total(float(matrix.sum()))
        self._set(matrix, None, x_labels, y_labels)

    def _set(self, matrix: Any, py_x: Array | None, x_labels: Any, y_labels: Any) -> None:
        self.is_smoothed: bool = isinstance(matrix, Smoothed)
        self.is_sparse: bool = self.is_smoothed or is_sparse(matrix)
        if self.is_smoothed:
            matrix = matrix.divided(np.full(matrix.shape[0], matrix.sum(axis=1).sum()))
        elif self.is_sparse:
            matrix.data /= matrix.data.sum()  # in place: the matrix is our own
        else:
            matrix = matrix / matrix.sum()
        self.n_x, self.n_y = (int(size) for size in matrix.shape)
        px = np.asarray(matrix.sum(axis=1), dtype=np.float64).ravel()
        py = np.asarray(matrix.sum(axis=0), dtype=np.float64).ravel()
        self.pxy: Any = frozen(matrix)
        self.px: Array = frozen(px / px.sum())
        self.py: Array = frozen(py / py.sum())
        self.py_x: Any = frozen(conditionals_of(matrix, px, self.py) if py_x is None else py_x)
        for name, labels in (("x_labels", x_labels), ("y_labels", y_labels)):
            if labels is not None:
                setattr(self, name, as_labels(name, labels, self.n_x if name == "x_labels" else self.n_y))
        self.mutual_information: float = information_of(self.pxy)

    @functools.cached_property
    def x_labels(self) -> tuple[str, ...]:
        """The labels of x; numbers from "0", made when first asked for, where none were given."""
        return tuple(map(str, range(self.n_x)))

    @functools.cached_property
    def y_labels(self) -> tuple[str, ...]:
        """Those of y."""
        return tuple(map(str, range(self.n_y)))

    @classmethod
    def from_counts(
        cls,
        counts: Any,
        smoothing: float = 0.0,
        x_labels: Sequence[object] | None = None,
        y_labels: Sequence[object] | None = None,
    ) -> JointDistribution:
        """The normalised counts (n_x, n_y), dense or sparse, after adding `smoothing` to every cell.

        `counts` are what the class takes: arrays, scipy.sparse matrices, and DataFrames and others with their labels; or the
        `CountTable` that `read_table` gives. Smoothing makes sparse counts of up to a million cells dense; of more it is kept
        beside them, and the IB and the dual IB are solved without the dense table (`is_smoothed`).

        Raises
        ------
        TypeError, ValueError
            As the class; a negative or infinite `smoothing`.
        MemoryError
            Smoothing makes a sparse table of up to a million cells dense, and that does not fit.
        """
        amount = validate_at_least_zero("smoothing", smoothing)
        values, x_labels, y_labels = labelled("counts", counts, x_labels, y_labels)
        is_large = is_sparse(values) and values.ndim == 2 and values.shape[0] * values.shape[1] > SMOOTHED_DENSE
        if is_sparse(values) and (amount == 0.0 or is_large):
            matrix = as_non_negative_csr("counts", values)
            top = matrix.data.max()
            matrix.data /= top
            if amount > 0.0:
                if amount / top < _LEAST:
                    raise ValueError(
                        f"smoothing must be at least {_LEAST:g} of the largest count {top:g}, got {shown(smoothing)}"
                    )
                matrix = Smoothed(matrix, np.full(matrix.shape[0], amount / top))
            else:
                matrix.data /= matrix.data.sum()
                matrix.eliminate_zeros()  # what has underflown
            joint = cls.__new__(cls)
            joint._set(matrix, None, x_labels, y_labels)
            return joint
        if is_sparse(values):
            if values.ndim == 2:
                check_fits(values.shape[0], values.shape[1], "smoothing makes a sparse table dense, which")
            values = values.toarray()
        dense = as_non_negative("counts", values, 2)
        if amount > 0.0:
            half = 0.5 if max(float(dense.max()), amount) > 1e307 else 1.0  # the sum must not overflow
            dense = half * dense + half * amount
        dense /= dense.max()
        return cls(dense / dense.sum(), x_labels, y_labels)

    @classmethod
    def of_smoothed(
        cls, pxy: Smoothed, x_labels: Sequence[object] | None = None, y_labels: Sequence[object] | None = None
    ) -> JointDistribution:
        """A p(x, y) that `from_counts` has made of counts and a smoothing: what is saved of it.

        Raises
        ------
        ValueError
            Cells or backgrounds that are no probabilities, backgrounds of another number of rows, or a sum that is not 1.
        """
        background = as_non_negative("background of pxy", pxy.background, 1)
        if background.shape != pxy.shape[:1] or not (background > 0.0).all():
            raise ValueError(f"background of pxy must be {pxy.shape[0]} numbers above 0, got {shown(pxy.background)}")
        table = Smoothed(as_non_negative_csr("pxy", pxy.sparse), background)
        _check_total(float(table.sum(axis=0).sum()))
        joint = cls.__new__(cls)
        joint._set(table, None, x_labels, y_labels)
        return joint

    @classmethod
    def from_conditionals(
        cls,
        py_x: Any,
        px: npt.ArrayLike | None = None,
        x_labels: Sequence[object] | None = None,
        y_labels: Sequence[object] | None = None,
    ) -> JointDistribution:
        """p(x) p(y|x) from conditionals (n_x, n_y), rows summing to 1, and p(x) (n_x,), by default uniform.

        The conditionals, an array, a DataFrame or a DataArray, are kept as given, also where p(x) = 0.
        """
        remedy = "divide each row by its sum, or use JointDistribution.from_counts for counts"
        values, x_labels, y_labels = labelled("py_x", py_x, x_labels, y_labels)
        rows = as_probability_rows("py_x", values, remedy=remedy)
        source = np.full(len(rows), 1.0 / len(rows)) if px is None else as_distribution("px", px, len(rows))
        joint = cls.__new__(cls)
        joint._set(source[:, None] * rows, rows, x_labels, y_labels)
        object.__setattr__(joint, "px", frozen(source))
        return joint

    @classmethod
    def from_samples(
        cls,
        x: Any,
        y: Any,
        smoothing: float = 0.0,
        x_labels: Sequence[object] | None = None,
        y_labels: Sequence[object] | None = None,
        weights: npt.ArrayLike | None = None,
    ) -> JointDistribution:
        """Empirical joint of paired samples; the states are the sorted distinct values.

        Parameters
        ----------
        x, y : array_like (n,) or (n, d), Series, DataFrame or sequence of tuples
            Samples, numbers or text. Of two dimensions every different row is one symbol, and so is a tuple; its label is the values
            with commas. Continuous values must be put into bins first, for each different number is a symbol.
        smoothing : float
            Added to every cell of the counts, >= 0.
        x_labels, y_labels : sequence of str, optional
            In place of the values, in their sorted order.
        weights : array_like, shape (n,), optional
            What each pair counts, >= 0; by default 1.

        Returns
        -------
        JointDistribution
            Sparse where the dense table would have more than ten million cells.

        Raises
        ------
        ValueError
            Empty, more than two dimensions, lengths that differ, a missing value (None, NaN) with its place.
        TypeError
            Values that cannot be sorted.
        """
        counts, x_found, y_found = sampled_counts(x, y, weights)
        return cls.from_counts(
            counts, smoothing, x_found if x_labels is None else x_labels, y_found if y_labels is None else y_labels
        )

    @classmethod
    def from_series(cls, z: Any, past: int = 1, future: int = 1, smoothing: float = 0.0) -> JointDistribution:
        """Past against future of a time series, by delay embedding: how predictable it is, and by what.

        Every stretch of ``past + future`` symbols of the series is one sample of a pair: x its first `past` symbols, y the others.

        Parameters
        ----------
        z : array_like (n,) or (n, d), Series, DataFrame, sequence of tuples or str
            The series in order of time, numbers or text; symbols as of `from_samples`. A str is the series of its letters.
        past, future : int
            Numbers of symbols, >= 1. More than a few take a long series: there are as many x as different stretches.
        smoothing : float
            Added to every cell of the counts, >= 0.

        Returns
        -------
        JointDistribution
            I(X;Y) is the predictive information of the series between these lengths. The labels are the symbols, oldest first,
            with commas.

        Raises
        ------
        ValueError, TypeError
            As of `from_samples`; fewer than ``past + future`` symbols.

        Examples
        --------
        >>> JointDistribution.from_series([0, 0, 1, 0, 0, 1, 0, 0, 1], past=2).x_labels
        ('0,0', '0,1', '1,0')
        """
        counts, x_labels, y_labels = windowed_counts(z, past, future)
        return cls.from_counts(counts, smoothing, x_labels, y_labels)

    def to_dense(self) -> JointDistribution:
        """The same distribution with dense arrays."""
        if not self.is_sparse:
            return self
        dense = JointDistribution(self.pxy.toarray())
        dense.__setstate__({"x_labels": self.x_labels, "y_labels": self.y_labels})
        return dense

    def __setattr__(self, name: str, value: object) -> None:
        if name in self.__dict__ or (name in _LABELS and "mutual_information" in self.__dict__):
            raise AttributeError(f"JointDistribution is immutable: cannot set {name!r}")
        object.__setattr__(self, name, value)

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():  # numpy's pickles come back writeable
            object.__setattr__(self, name, frozen(value) if name in ("pxy", "px", "py", "py_x") else value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, JointDistribution):
            return NotImplemented
        mine, theirs = self.to_dense(), other.to_dense()
        return (
            (self.x_labels, self.y_labels) == (other.x_labels, other.y_labels)
            and mine.pxy.shape == theirs.pxy.shape
            and np.allclose(mine.pxy, theirs.pxy, rtol=1e-13, atol=0.0)  # dense and sparse sums differ by rounding
            and np.allclose(mine.py_x, theirs.py_x, rtol=1e-13, atol=0.0)
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        kind = "smoothed, sparse, " if self.is_smoothed else "sparse, " if self.is_sparse else ""
        return f"JointDistribution({self.n_x} x {self.n_y}, {kind}I(X;Y) = {self.mutual_information:.6g} nats)"

    def _repr_html_(self) -> str:
        corner = self.pxy[:_SHOWN_X, :_SHOWN_Y]
        cells = corner.toarray() if self.is_sparse else corner
        rows = [
            [short(label), float(p), *map(float, row)] for label, p, row in zip(self.x_labels, self.px, cells, strict=False)
        ]
        left = [more(self.n_x, len(rows), "x"), more(self.n_y, cells.shape[1], "y")]
        header = ["p(x, y)", "p(x)", *map(short, self.y_labels[:_SHOWN_Y])]
        facts = [("I(X;Y)", f"{self.mutual_information:.6g} nats")]
        more_than = "more than the smoothing" if self.is_smoothed else "nonzeros"
        facts += [("kept", f"sparse, {self.pxy.nnz} {more_than}")] if self.is_sparse else []
        return block(f"JointDistribution, {self.n_x} x {self.n_y}", facts, table(header, rows, ", ".join(filter(None, left))))


def check_joint(name: str, value: object) -> None:
    """Refuse something else in the place of a joint distribution.

    Raises
    ------
    TypeError
        With what to write.
    """
    if not isinstance(value, JointDistribution):
        counts = f"read_table({shown(value)})" if isinstance(value, (str, os.PathLike)) else "counts"
        remedy = f"write JointDistribution.from_counts({counts}), or JointDistribution(pxy) for probabilities"
        raise TypeError(f"{name} must be a JointDistribution, got {type(value).__name__}: {remedy}")


def _check_total(total: float) -> None:
    if not abs(total - 1.0) <= SUM_TOLERANCE:
        raise ValueError(f"pxy must sum to 1, got {shown(total)}; use JointDistribution.from_counts for counts")
