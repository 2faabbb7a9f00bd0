"""Tables with their labels: `CountTable`, and the numbers and labels of whatever people hold tables in.

pandas, xarray, polars and pyarrow are never imported here: their tables are known by what they can do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from dualib._validation import as_non_negative, as_non_negative_csr, is_missing, is_sparse, shown
from dualib.data.samples import coded, pair_counts, text_of

Labels = tuple[str, ...] | None
_NAMES_OF_LABELS = """
id ids index idx key name names label labels symbol symbols x word words token
term doc document class category item neuron unit cell channel subject
"""  # what the column of labels is called, where it has a name


@dataclass(frozen=True, eq=False)
class CountTable:
    """A table of counts (or of other non-negative numbers) with the labels of its rows, the x, and of its columns, the y.

    `read_table` makes one of a file; `JointDistribution.from_counts` and `compare_predictions` take it.

    Parameters
    ----------
    counts : array_like, scipy.sparse matrix, DataFrame or DataArray, shape (n_x, n_y)
        Non-negative, not all zero. Labels that it has itself are taken, as by `JointDistribution`.
    x_labels, y_labels : sequence of str, optional
        Names of the rows and of the columns, each different; None where there are none. In place of those that `counts` has.
    guess : str
        How a file was read, where that was guessed; empty where nothing was.

    Attributes
    ----------
    counts : ndarray or scipy.sparse.csr_array, float64, shape (n_x, n_y)
    x_labels, y_labels : tuple of str, or None
    kind : {"counts", "probabilities", "conditionals", "weights"}
        Integers; a joint distribution (sum 1); one distribution of y per row (every row sums to 1, so that p(x) comes
        out uniform); anything else.

    Raises
    ------
    TypeError, ValueError
        Values that are negative, missing, infinite or no numbers; a wrong shape; labels of a wrong number or given twice.

    Examples
    --------
    >>> import dualib
    >>> table = dualib.CountTable([[5, 1], [2, 7]], x_labels=["a", "b"], y_labels=["u", "v"])
    >>> table.kind, dualib.JointDistribution.from_counts(table).x_labels
    ('counts', ('a', 'b'))
    """

    counts: Any
    x_labels: Labels = None
    y_labels: Labels = None
    guess: str = ""

    def __post_init__(self) -> None:
        values, x_labels, y_labels = labelled("counts", self.counts, self.x_labels, self.y_labels)
        matrix = as_non_negative_csr("counts", values) if is_sparse(values) else as_non_negative("counts", values, 2)
        object.__setattr__(self, "counts", matrix)
        object.__setattr__(self, "x_labels", as_labels("x_labels", x_labels, matrix.shape[0]))
        object.__setattr__(self, "y_labels", as_labels("y_labels", y_labels, matrix.shape[1]))

    @property
    def kind(self) -> str:
        """What the numbers seem to be."""
        entries = self.counts.data if is_sparse(self.counts) else self.counts
        if (entries == np.rint(entries)).all():
            return "counts"
        with np.errstate(over="ignore"):
            rows = np.asarray(self.counts.sum(axis=1))
        if abs(float(rows.sum()) - 1.0) <= 1e-6:
            return "probabilities"
        return "conditionals" if (np.abs(rows - 1.0) <= 1e-6).all() else "weights"

    def __repr__(self) -> str:
        n_x, n_y = self.counts.shape
        labels = [axis for axis, known in (("x", self.x_labels), ("y", self.y_labels)) if known is not None]
        named = f", with labels of {' and '.join(labels)}" if labels else ""
        kind = f"sparse {self.kind}" if is_sparse(self.counts) else self.kind
        return f"CountTable({n_x} x by {n_y} y, {kind}{named}{f'; {self.guess}' if self.guess else ''})"


def labelled(name: str, table: Any, x_labels: Any = None, y_labels: Any = None) -> tuple[Any, Any, Any]:
    """Numbers and labels of a table, called `name`: an array or a scipy.sparse matrix yet to be validated, and x and y labels.

    The labels given, which are yet to be validated, too, count in place of its own.

    Raises
    ------
    TypeError, ValueError
        Columns that hold no numbers, missing values, labels given twice: with the place and what to do.
    """
    values, x_found, y_found = _parts_of(name, table)
    return values, x_found if x_labels is None else x_labels, y_found if y_labels is None else y_labels


def _parts_of(name: str, table: Any) -> tuple[Any, Labels, Labels]:
    """Numbers and own labels of a table."""
    if isinstance(table, CountTable):
        return table.counts, table.x_labels, table.y_labels
    if is_sparse(table):
        return table, None, None
    if hasattr(table, "dims") and hasattr(table, "coords"):
        return _data_array(name, table)
    if hasattr(table, "iloc"):
        return _data_frame(name, table) if hasattr(table, "columns") else _series(name, table)
    if hasattr(table, "column_names") or hasattr(table, "columns"):
        return _columns(name, table)
    _refuse_masked(name, table)
    return table, None, None


def texts_of(name: str, labels: Iterable[object]) -> tuple[str, ...]:
    """Labels as text.

    Raises
    ------
    TypeError
        One text in the place of a sequence of them.
    """
    if isinstance(labels, str):
        raise TypeError(f"{name} must be a sequence of labels, got the text {shown(labels)}")
    return tuple(map(text_of, labels))


def as_labels(name: str, labels: Iterable[object] | None, size: int) -> Labels:
    """The argument `x_labels` or `y_labels`: text, one for each of `size` states and all different; None where there are none.

    Raises
    ------
    TypeError, ValueError
        One text in the place of several; another number of them; one given twice.
    """
    if labels is None:
        return None
    texts = texts_of(name, labels)
    if len(texts) != size:
        raise ValueError(f"{name} must have {size} labels, got {len(texts)}")
    check_distinct(name, name[0], texts)
    return texts


def check_distinct(name: str, axis: str, labels: Sequence[str]) -> None:
    """Refuse labels that are the same.

    Raises
    ------
    ValueError
        With the label and both places.
    """
    if len(set(labels)) == len(labels):
        return
    first: dict[str, int] = {}
    for i, label in enumerate(labels):
        if label in first:
            which = "rows" if axis == "x" else "columns"
            raise ValueError(
                f"{name} must have different {axis} labels, got {label!r} twice, at {which} {first[label]} and {i}: add such "
                f"{which} up, or name them apart"
            )
        first[label] = i


# -- pandas -----------------------------------------------------------------------------------------------------------------


def _data_frame(name: str, frame: Any) -> tuple[Any, Labels, Labels]:
    y_labels = _labels(name, "y", frame.columns)
    _refuse_id_column(name, frame, y_labels)
    x_labels = _labels(name, "x", frame.index)
    missing = np.argwhere(frame.isna().to_numpy())
    for label, dtype in zip(y_labels, frame.dtypes, strict=True):
        if dtype.kind not in "biuf" and not (dtype.kind == "O" and len(missing)):
            advice = (
                f"make it the index (set_index({label!r})) if it holds the labels of x, else drop it or turn it into numbers"
            )
            raise TypeError(f"{name} must hold real numbers, got a column {label!r} of {dtype}: {advice}")
    if len(missing):
        i, j = missing[0]
        _refuse_missing_at(name, f"row {x_labels[i]!r}, column {y_labels[j]!r}", "fillna(0)")
    if len(frame.columns) and all(str(dtype).startswith("Sparse") and dtype.fill_value == 0 for dtype in frame.dtypes):
        return frame.sparse.to_coo(), x_labels, y_labels
    return frame.to_numpy(dtype=np.float64), x_labels, y_labels


def _refuse_id_column(name: str, frame: Any, y_labels: Sequence[str]) -> None:
    """Refuse labels that were left among the columns, as `reset_index` leaves them: then they would be counts of a y."""
    if type(frame.index).__name__ != "RangeIndex" or len(y_labels) < 2 or frame.dtypes.iloc[0].kind not in "biuf":
        return
    alone = isinstance(frame.columns[0], str) and not any(isinstance(column, str) for column in frame.columns[1:])
    if alone or (names_labels(y_labels[0]) and frame.iloc[:, 0].is_unique):
        label = y_labels[0]
        raise ValueError(
            f"{name} must have the labels of x in its index, got a column {label!r} that looks like them: write "
            f"set_index({label!r}), or rename it if it does hold the counts of a y"
        )


def _series(name: str, series: Any) -> tuple[Any, Labels, Labels]:
    """A table in long form, as groupby(...).size() gives it: one level of the index is x, the other y."""
    if getattr(series.index, "nlevels", 1) != 2:
        raise ValueError(
            f"{name} must be a table, or a Series whose index has two levels, x and y, got a Series of index levels "
            f"{getattr(series.index, 'nlevels', 1)}: give the DataFrame, or JointDistribution.from_samples for samples"
        )
    if series.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers, got a Series of {series.dtype}")
    missing = np.flatnonzero(series.isna().to_numpy())
    if len(missing):
        _refuse_missing_at(name, f"{text_of(series.index[missing[0]])!r}", "fillna(0)")
    x, y = (coded(f"{name}: {axis}", series.index.get_level_values(level)) for level, axis in enumerate("xy"))
    if series.index.has_duplicates:
        pair = text_of(series.index[series.index.duplicated()][0])
        raise ValueError(f"{name} must have each pair x, y once, got {pair!r} twice: write groupby(level=[0, 1]).sum()")
    return pair_counts(x, y, series.to_numpy(dtype=np.float64)), x.labels, y.labels


# -- xarray, polars, pyarrow ------------------------------------------------------------------------------------------------


def _data_array(name: str, array: Any) -> tuple[Any, Labels, Labels]:
    if hasattr(array, "data_vars"):
        raise TypeError(
            f"{name} must be a DataArray, got a Dataset: choose one of its variables, {list(array.data_vars)[:5]!r}"
        )
    if len(array.dims) != 2:
        raise ValueError(f"{name} must have 2 dimension(s), x and y, got the dimensions {tuple(array.dims)!r}")
    x_labels, y_labels = (
        _labels(name, axis, array.coords[dim].values) if dim in array.coords else None
        for axis, dim in zip("xy", array.dims, strict=True)
    )
    values = np.asarray(array.values)
    if values.dtype.kind == "f" and np.isnan(values).any():
        i, j = np.argwhere(np.isnan(values))[0]
        where = [
            f"{dim} {labels[k]!r}" if labels else f"{dim} {k}"
            for dim, labels, k in zip(array.dims, (x_labels, y_labels), (i, j), strict=True)
        ]
        _refuse_missing_at(name, ", ".join(where), "fillna(0)")
    return values, x_labels, y_labels


def _columns(name: str, frame: Any) -> tuple[Any, Labels, Labels]:
    """A table that is columns and has no index: the one column of text, where there is one, has the labels of x."""
    names = _labels(name, "y", frame.column_names if hasattr(frame, "column_names") else frame.columns)
    columns = [np.asarray(frame[column]) for column in names]
    text = [i for i, column in enumerate(columns) if column.dtype.kind not in "biuf"]
    if len(text) > 1:
        raise TypeError(
            f"{name} must hold real numbers and at most one column of labels, got the columns "
            f"{', '.join(repr(names[i]) for i in text[:5])}: drop all but one; for samples or a long table, "
            "JointDistribution.from_samples(x, y, weights=...)"
        )
    if text and not all(isinstance(value, str) or is_missing(value) for value in columns[text[0]].tolist()):
        raise TypeError(f"{name} must hold real numbers, got a column {names[text[0]]!r} of {columns[text[0]].dtype}")
    kept = [i for i in range(len(names)) if i not in text]
    x_labels = _labels(name, "x", columns[text[0]].tolist()) if text else None
    if not kept:
        raise ValueError(f"{name} must hold counts, got no column of numbers")
    if x_labels is None and len(names) > 1 and names_labels(names[0]) and len(np.unique(columns[0])) == len(columns[0]):
        raise ValueError(
            f"{name} must have its labels of x as a column of text, got a column {names[0]!r} of numbers that looks like them: turn "
            "it into text, or rename it if it does hold the counts of a y"
        )
    for i in kept:
        if columns[i].dtype.kind == "f" and np.isnan(columns[i]).any():
            row = int(np.flatnonzero(np.isnan(columns[i]))[0])
            at = f"row {x_labels[row]!r}" if x_labels else f"row {row}"
            _refuse_missing_at(name, f"{at}, column {names[i]!r}", "fill_null(0)")
    return np.column_stack([columns[i].astype(np.float64) for i in kept]), x_labels, tuple(names[i] for i in kept)


# -- what they share --------------------------------------------------------------------------------------------------------


def _labels(name: str, axis: str, labels: Any) -> tuple[str, ...]:
    values = list(labels)
    for i, value in enumerate(values):
        if is_missing(value):
            where = "row" if axis == "x" else "column"
            raise ValueError(f"{name}: a missing value among the {axis} labels, at {where} {i}: name it, or leave it out")
    result = tuple(map(text_of, values))
    check_distinct(name, axis, result)
    return result


def names_labels(name: str) -> bool:
    """Whether this is what a column of labels is called."""
    return name.casefold() in _NAMES_OF_LABELS.split() or name.casefold().endswith("_id")


def _refuse_masked(name: str, table: Any) -> None:
    """NumPy would drop the mask; None and NaN are refused where arrays are validated."""
    if np.ma.isMaskedArray(table):
        masked = np.argwhere(np.ma.getmaskarray(table))
        if len(masked):
            _refuse_missing_at(name, f"index {tuple(masked[0].tolist())}, which is masked", "filled(0)")


def _refuse_missing_at(name: str, place: str, fill: str) -> NoReturn:
    raise ValueError(f"{name}: a missing value at {place}: write 0 there if nothing was counted ({fill}), else leave it out")
