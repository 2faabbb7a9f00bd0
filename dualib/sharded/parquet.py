"""Counts from a Parquet file in long form: a line for each pair of x and y that was seen, with how often."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from dualib._validation import shown


class Format(NamedTuple):
    """The names of the columns x, y and count, and the labels that y may have, in order; None: they are numbers from 0 on."""

    columns: tuple[str, str, str] = ("x", "y", "count")
    y_labels: tuple[str, ...] | None = None


def read_counts(path: Path, form: Format) -> tuple[Any, Any]:
    """The COO array (m, n_y) of the file, x in the order in which they first come, and these, a pyarrow array.

    Without labels of y, n_y is one more than the largest.

    Raises
    ------
    ImportError
        pyarrow is not installed.
    OSError, ValueError
        The file is missing, no Parquet file, lacks a column, has a missing value, or a y that has no number.
    """
    try:
        from pyarrow import compute, parquet
    except ImportError as error:
        raise ImportError('reading a Parquet file needs pyarrow: pip install "dualib[dask]"') from error
    name = f"shard {os.fspath(path)!r}"
    try:
        with open(path, "rb") as file:
            known = parquet.ParquetFile(file).schema_arrow.names
            lacking = [column for column in form.columns if column not in known]
            if not lacking:
                file.seek(0)
                table = parquet.read_table(file, columns=list(form.columns))
    except (ValueError, KeyError) as error:  # pyarrow's ArrowInvalid is a ValueError
        raise ValueError(f"{name} cannot be read as Parquet: {error}") from error
    if lacking:
        raise ValueError(f"{name} must have a column {lacking[0]!r}, it has {known}: give columns=(x, y, count), their names")
    for column in form.columns:
        if table.column(column).null_count:
            raise ValueError(
                f"{name}: column {column!r} has {table.column(column).null_count} missing values: leave these lines out"
            )
    x, y, count = (table.column(column) for column in form.columns)
    numbers = _numbers(name, form.columns[1], y, form.y_labels, compute)
    coded = x.combine_chunks().dictionary_encode()
    rows = coded.indices.to_numpy(zero_copy_only=False)
    values = count.to_numpy()
    if values.dtype.kind not in "biuf":
        raise TypeError(f"{name}: column {form.columns[2]!r} must hold real numbers, got {values.dtype}")
    n_y = int(numbers.max(initial=-1)) + 1 if form.y_labels is None else len(form.y_labels)
    return sparse.coo_array((values, (rows, numbers)), shape=(len(coded.dictionary), n_y)), coded.dictionary


def _numbers(name: str, column: str, y: Any, labels: tuple[str, ...] | None, compute: Any) -> Any:
    """The number of each y."""
    if labels is None:
        values = y.to_numpy()
        if values.dtype.kind not in "iu":
            raise TypeError(
                f"{name}: column {column!r} must hold whole numbers from 0 on, got {y.type}: give y_labels, all of them in order"
            )
        if len(values) and values.min() < 0:
            raise ValueError(f"{name}: column {column!r} must hold whole numbers from 0 on, got {shown(values.min())}")
        return values
    import pyarrow

    found = compute.index_in(y.cast(pyarrow.string()), value_set=pyarrow.array(labels, type=pyarrow.string()))
    if found.null_count:
        strange = y.filter(compute.is_null(found))[0].as_py()
        raise ValueError(f"{name}: column {column!r} has {shown(strange)}, which y_labels has not")
    return np.asarray(found.to_numpy())
