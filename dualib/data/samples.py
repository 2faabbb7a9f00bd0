"""Paired samples and time series: their distinct values as symbols, counted."""

from __future__ import annotations

from collections.abc import Iterator, Set
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dualib._validation import as_float_array, is_missing, is_sparse, shown, validate_integer

LARGEST_DENSE = 10_000_000  # cells; a table of counts with more is sparse
Codes = npt.NDArray[np.int64]


def text_of(label: Any) -> str:
    """A label as text; of a tuple its parts, with commas."""
    if isinstance(label, tuple):
        return ",".join(map(text_of, label))
    return label.decode("utf-8", "backslashreplace") if isinstance(label, bytes) else str(label)


class Symbols(NamedTuple):
    """Samples as numbers of their distinct values, which are in sorted order; `labels` are these values as text."""

    labels: tuple[str, ...]
    codes: Codes


def coded(name: str, samples: Any) -> Symbols:
    """The symbols of samples (n,), or of rows (n, d), of which each different row is one symbol.

    Raises
    ------
    ValueError
        Empty, more than two dimensions, or a missing value (None, NaN, NaT), with its place.
    TypeError
        Values that cannot be sorted.
    """
    columns = _columns_of(name, samples)
    if len(columns) == 1:
        return _coded_column(name, columns[0], "")
    return joined([_coded_column(name, column, f", column {j}") for j, column in enumerate(columns)])


def joined(columns: list[Symbols]) -> Symbols:
    """One symbol for each combination of symbols that occurs, in lexicographic order; its label is theirs, with commas."""
    found, codes = np.unique(columns[0].codes, return_inverse=True)
    codes = codes.ravel()
    for column in columns[1:]:
        found, codes = np.unique(codes * len(column.labels) + column.codes, return_inverse=True)
        codes = codes.ravel()
    first = np.empty(len(found), dtype=np.int64)
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    parts = [[column.labels[code] for code in column.codes[first].tolist()] for column in columns]
    return Symbols(tuple(map(",".join, zip(*parts, strict=True))), codes)


def pair_counts(x: Symbols, y: Symbols, weights: npt.NDArray[np.float64] | None = None) -> Any:
    """How often, or with what weight, each pair occurs: an array (n_x, n_y), or CSR where that would pass `LARGEST_DENSE` cells."""
    shape = len(x.labels), len(y.labels)
    if shape[0] * shape[1] <= LARGEST_DENSE:
        cells = np.bincount(x.codes * shape[1] + y.codes, weights, minlength=shape[0] * shape[1])
        return cells.astype(np.float64).reshape(shape)
    from scipy import sparse

    entries = np.ones(len(x.codes)) if weights is None else weights
    return sparse.csr_array(sparse.coo_array((entries, (x.codes, y.codes)), shape=shape))


def sampled_counts(x: Any, y: Any, weights: Any = None) -> tuple[Any, tuple[str, ...], tuple[str, ...]]:
    """Counts (n_x, n_y) of paired samples, and the labels of both; errors as of `JointDistribution.from_samples`."""
    of_x, of_y = coded("x", x), coded("y", y)
    n = len(of_x.codes)
    if n != len(of_y.codes):
        raise ValueError(f"x and y must have the same length, got {n} and {len(of_y.codes)}")
    return pair_counts(of_x, of_y, None if weights is None else _checked_weights(weights, n)), of_x.labels, of_y.labels


def windowed_counts(z: Any, past: int, future: int) -> tuple[Any, tuple[str, ...], tuple[str, ...]]:
    """Counts of the `past` symbols up to each time against the `future` symbols that follow, and the labels of both."""
    past, future = validate_integer("past", past, 1), validate_integer("future", future, 1)
    labels, codes = coded("z", list(z) if isinstance(z, str) else z)
    if len(codes) < past + future:
        raise ValueError(f"z must have at least past + future = {past + future} symbols, got {len(codes)}")
    windows = np.lib.stride_tricks.sliding_window_view(codes, past + future).T
    x, y = (joined([Symbols(labels, column) for column in part]) for part in (windows[:past], windows[past:]))
    return pair_counts(x, y), x.labels, y.labels


def _checked_weights(weights: Any, n: int) -> npt.NDArray[np.float64]:
    values = as_float_array("weights", weights, 1)
    if len(values) != n:
        raise ValueError(f"weights must have one value for each of the {n} samples, got {len(values)}")
    if values.min() < 0.0 or not values.any():
        raise ValueError(f"weights must be >= 0 and not all 0, got {shown(values.min())}")
    return values


def _columns_of(name: str, samples: Any) -> list[Any]:
    """One array for each of the d columns of the samples."""
    if is_sparse(samples):
        raise TypeError(f"{name} must be an array of samples, got a sparse matrix: JointDistribution.from_counts takes counts")
    if isinstance(samples, str):
        raise TypeError(
            f"{name} must be a sequence of samples, got the text {shown(samples)}: write list(...) for its letters"
        )
    if hasattr(samples, "iloc") and hasattr(samples, "columns"):
        columns = [np.asarray(samples.iloc[:, j]) for j in range(samples.shape[1])]
    elif hasattr(samples, "columns"):
        columns = [np.asarray(samples[column]) for column in samples.columns]
    else:
        array = _as_array(name, samples)
        columns = [array] if array.ndim == 1 else list(array.T) if array.ndim == 2 else []
    if not columns or not columns[0].size:
        if isinstance(samples, (Iterator, Set)):
            remedy = ", which has no order" if isinstance(samples, Set) else ": write list(...)"
            raise TypeError(f"{name} must be a sequence of samples, got a {type(samples).__name__}{remedy}")
        shape = np.shape(columns[0]) if columns else np.shape(samples)
        raise ValueError(f"{name} must be a non-empty array of samples, (n,) or (n, d), got shape {shape}")
    return columns


def _as_array(name: str, samples: Any) -> Any:
    """An array; of objects where the samples are tuples, each one a symbol, or where NumPy would make text of what is missing."""
    if np.ma.isMaskedArray(samples) and np.ma.getmaskarray(samples).any():
        raise ValueError(
            f"{name}: a missing value at index {int(np.argwhere(np.ma.getmaskarray(samples))[0][0])}: {_LEAVE_OUT}"
        )
    if isinstance(samples, (list, tuple)) and samples and all(isinstance(value, tuple) for value in samples):
        array = np.empty(len(samples), dtype=object)
        array[:] = samples
        return array
    try:
        array = np.asarray(samples)
        if array.dtype.kind == "U" and isinstance(samples, (list, tuple)) and array.ndim <= 2:
            objects = np.array(samples, dtype=object)
            return objects if any(map(is_missing, objects.flat)) else array
    except ValueError:
        raise ValueError(f"{name} must have rows of one length, or tuples, got {shown(samples[:3])}...") from None
    return array


_LEAVE_OUT = "leave such samples out, or give what is missing a name"


def _coded_column(name: str, values: Any, column: str) -> Symbols:
    listed = values.tolist() if values.dtype.kind == "O" else []
    missing: Any = [i for i, value in enumerate(listed) if is_missing(value)]
    if values.dtype.kind in "fcmM":
        missing = np.flatnonzero(np.isnat(values) if values.dtype.kind in "mM" else np.isnan(values))
    if len(missing):
        at = int(missing[0])
        raise ValueError(f"{name}: a missing value ({shown(values[at])}) at index {at}{column}: {_LEAVE_OUT}")
    if values.dtype.kind != "O":
        states, codes = np.unique(values, return_inverse=True)
        return Symbols(tuple(map(text_of, states.tolist())), codes.ravel())
    try:
        known = sorted(set(listed))
    except TypeError:
        raise TypeError(f"{name} must hold samples of one sortable kind, got {shown(values[:3])}...") from None
    numbers = {state: i for i, state in enumerate(known)}
    return Symbols(tuple(map(text_of, known)), np.array([numbers[value] for value in listed], dtype=np.int64))
