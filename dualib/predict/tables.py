"""The two tables of a comparison: counts, and of the same x and y, as far as labels and the counts themselves can tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dualib._validation import Array, as_non_negative, is_sparse, shown
from dualib.data.labelled import Labels, labelled

_LARGEST_TOTAL = 10**9  # what NumPy draws without replacement
_EXAMPLES = (
    "rows are the x, and x has to be the same in both; if the rows are examples, others for training than for testing, use an "
    "estimator (InformationBottleneck().fit(train).predict(test)) or solve(...).predict_proba(rows); or, where the examples have "
    "features, put all of them into both tables, a row of zeros in the one where an example is not used, and give features="
)


def paired_tables(train_counts: Any, test_counts: Any, features: Any) -> tuple[Array, Array]:
    """Both tables (n_x, n_y) as arrays, once it is clear that they count the same x and y.

    Labels decide where both tables have them (DataFrames, tables of `read_table`): they must be the same, in the same order.
    Without labels two tables of one shape are taken to be of the same x, unless the counts speak against it:

    - every row of both tables has a single count, as rows that are examples have (each its own x, with its label y). Samples of
      pairs (x, y) do not come so even, and a sparse table of counts has empty rows and rows of two.
    - no row has counts in both tables, and there are no features: then nothing is known of any x that is to be predicted.

    Raises
    ------
    ValueError, TypeError
        What is wrong with which table, and what to do with rows that are examples.
    """
    train, test = as_count_table("train_counts", train_counts), as_count_table("test_counts", test_counts)
    train_labels, test_labels = labelled("train_counts", train_counts)[1:], labelled("test_counts", test_counts)[1:]
    for axis, known, found in zip("xy", train_labels, test_labels, strict=True):
        check_same_labels(axis, known, found, "train_counts", "test_counts")
    if test.shape != train.shape:
        remedy = f"; {_EXAMPLES}" if len(test) != len(train) else "; columns are the y, and y has to be the same in both"
        raise ValueError(f"test_counts must have the shape of train_counts, {train.shape}, got {test.shape}{remedy}")
    in_train, in_test = train.sum(axis=1), test.sum(axis=1)
    with_labels = train_labels[0] is not None and test_labels[0] is not None
    if not with_labels and len(train) > 1 and (in_train == 1.0).all() and (in_test == 1.0).all():
        raise ValueError(
            f"test_counts must be of the x of train_counts, got a single count in each of the {len(train)} rows of both, as examples"
            f" have: {_EXAMPLES}. If the x are the same, show it by labels: DataFrames with one index, files with a column of labels"
        )
    if features is None and not np.any((in_train > 0.0) & (in_test > 0.0)):
        raise ValueError(
            "test_counts must have counts of an x of train_counts, got none: without features nothing is known of any x that is to "
            f"be predicted; {_EXAMPLES}"
        )
    return train, test


def check_same_labels(axis: str, train: Labels, test: Labels, train_name: str, test_name: str) -> None:
    """Refuse tables whose labels say that their rows (axis "x") or columns ("y") are not the same.

    Raises
    ------
    ValueError
        With the first label that differs, and the remedy.
    """
    if train is None or test is None or train == test:
        return
    new = [label for label in test if label not in set(train)]
    if len(train) == len(test):
        i = next(i for i, (a, b) in enumerate(zip(train, test, strict=True)) if a != b)
        what = f"the {axis} labels of {train_name} in the same order, got {test[i]!r} for {train[i]!r}"
    else:
        what = f"the {len(train)} {axis} labels of {train_name}, got {len(test)}" + (f": {new[0]!r} is new" if new else "")
    raise ValueError(f"{test_name} must have {what}: {_remedy(axis, new, len(train) == len(test))}")


def _remedy(axis: str, new: Sequence[str], as_many: bool) -> str:
    if as_many and not new:
        return f"bring its {'rows' if axis == 'x' else 'columns'} into that order (pandas: test.reindex_like(train))"
    if axis == "x" and new:
        return _EXAMPLES
    return f"give both tables the same {axis}, with zeros where one of them counts nothing"


def as_count_table(name: str, counts: Any) -> Array:
    """Counts (n_x, n_y) as an array: of whatever `JointDistribution.from_counts` takes.

    Raises
    ------
    ValueError, TypeError
        Not two-dimensional, with fewer than two columns, negative, not whole, all zero, or too many to be drawn from.
    """
    if hasattr(counts, "mutual_information"):
        raise TypeError(f"{name} must be a table of counts, got a JointDistribution: give the counts it was made from")
    values = labelled(name, counts)[0]
    table = as_non_negative(name, values.toarray() if is_sparse(values) else values, 2)
    broken = table[table != np.rint(table)]
    if len(broken):
        raise ValueError(f"{name} must be whole numbers, counts of symbols that can be drawn, got {shown(broken[0])}")
    with np.errstate(over="ignore"):  # an infinite sum is refused
        total = table.sum()
    if total >= _LARGEST_TOTAL:
        raise ValueError(f"{name} must sum to less than 1e9, got {total:g}: divide the counts")
    if table.shape[1] < 2:
        raise ValueError(f"{name} must have at least 2 columns, got shape {table.shape}")
    return table


def draw(rng: np.random.Generator, counts: Array, size: int) -> Array:
    """`size` of the counted observations, without replacement."""
    if size == counts.sum():
        return counts.copy()
    flat = counts.astype(np.int64).ravel()
    return rng.multivariate_hypergeometric(flat, size, method="marginals").reshape(counts.shape).astype(np.float64)
