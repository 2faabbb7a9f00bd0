"""`ShardedJoint`: p(x, y) whose rows are in shards."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dualib._validation import shown, validate_integer
from dualib.data.labelled import texts_of
from dualib.distortions.interface import Array
from dualib.distortions.rows import x_log_x
from dualib.doors import door
from dualib.sharded.parquet import Format
from dualib.sharded.pools import Step, pool_of
from dualib.sharded.shards import name_of, sources_of
from dualib.sharded.steps import Facts, facts, margins, named


class ShardedJoint:
    """A joint distribution p(x, y) as a sparse table whose rows are in shards.

    Each shard has all counts of its x. Their sum over all shards is taken for 1, so counts and probabilities are the same.

    Parameters
    ----------
    shards : path-like, or sequence of paths or functions
        A folder, whose files .npz and .parquet are taken in the order of their names; or files; or functions without arguments that
        return the rows of a shard, counts or probabilities (m, n_y), as a scipy.sparse matrix or an array. A function must return
        the same each time, and be one that dask can send (of a module that the workers have, or `functools.partial` of one). Workers
        open files themselves, by the same path.

        An .npz file is of `write_shards` or ``scipy.sparse.save_npz``. A .parquet file is a long table, a line for each pair that
        was seen: x (anything), y and count; pairs that come again are added. All lines of an x are in one file.
    client : distributed.Client, optional
        Of the dask cluster whose workers load the shards and keep them. None: this process.
    keep : bool
        Keep the shards in memory. False: each is loaded again for every sweep, for a table larger than the memory.
    n_y : int, optional
        The number of y. None: the width of the files .npz; of Parquet files one more than the largest y.
    y_labels : sequence of str, optional
        The y of Parquet files, in order, where the column is text; else it holds numbers from 0 on.
    columns : (str, str, str)
        The columns x, y and count of Parquet files.

    Attributes
    ----------
    n_shards, n_x, n_y, nonzeros : int
    rows : tuple of int
        The number of x in each shard.
    py : ndarray (n_y,)
        p(y).
    total : float
        The sum of the table as it was given.
    mutual_information : float
        I(X;Y), nats.

    Raises
    ------
    OSError, ValueError, TypeError
        A file that is missing, or a shard that is not as it should be, by its name; a bad argument, named with its value.
    ImportError
        distributed, or pyarrow for Parquet files, is not installed (extra `dask`).

    Examples
    --------
    >>> import dualib, functools
    >>> letters = dualib.datasets.load_letters()
    >>> halves = [functools.partial(letters.pxy.__getitem__, part) for part in (slice(0, 13), slice(13, 27))]
    >>> joint = dualib.sharded.ShardedJoint(halves)
    >>> joint.n_shards, joint.n_x, abs(joint.mutual_information - letters.mutual_information) < 1e-14
    (2, 27, True)
    """

    is_sparse = True

    @door
    def __init__(
        self,
        shards: Any,
        *,
        client: Any = None,
        keep: bool = True,
        n_y: int | None = None,
        y_labels: Sequence[object] | None = None,
        columns: tuple[str, str, str] = ("x", "y", "count"),
    ) -> None:
        sources = sources_of(shards)
        labels = None if y_labels is None else texts_of("y_labels", y_labels)
        form = Format(_columns(columns), labels)
        self.pool = pool_of(sources, form, client, keep=bool(keep))
        known: list[Facts] = self.pool.each(facts)
        self.n_shards, self.n_x = len(known), sum(one.rows for one in known)
        self.nonzeros = sum(one.nonzeros for one in known)
        self.n_y = _width(known, [name_of(source) for source in sources], n_y, labels)
        self.rows = tuple(one.rows for one in known)
        self.total = math.fsum(one.mass for one in known)
        if not 0.0 < self.total < np.inf:
            raise ValueError(f"shards must have a sum that is positive and finite, got {shown(self.total)}")
        py, self.row_entropy = self.pool.total(margins, self.n_y, self.total)
        self.py: Array = py / py.sum()
        self.py.flags.writeable = False
        self.mutual_information = max(0.0, self.row_entropy - float(np.sum(x_log_x(self.py))))

    def x_labels(self, shard: int) -> tuple[str, ...]:
        """The x of the rows of one shard, as text: those of a Parquet file in the order in which they first come, else numbers.

        Raises
        ------
        IndexError
            No such shard.
        """
        names: tuple[str, ...] = of_shard(self, shard, named)
        return names

    def __repr__(self) -> str:
        size = f"{self.n_x} x {self.n_y}, {self.nonzeros} nonzeros in {self.n_shards} shard{'s' * (self.n_shards > 1)}"
        return f"ShardedJoint({size}, I(X;Y) = {self.mutual_information:.6g} nats)"


def of_shard(joint: ShardedJoint, shard: int, step: Step, *arguments: Any) -> Any:
    """What a step makes of one shard.

    Raises
    ------
    IndexError
        No such shard.
    """
    if isinstance(shard, bool) or not isinstance(shard, (int, np.integer)) or not 0 <= shard < joint.n_shards:
        raise IndexError(f"shard must be a number from 0 to {joint.n_shards - 1}, got {shown(shard)}")
    return joint.pool.one(int(shard), step, *arguments)


def check_sharded(value: object) -> None:
    """Refuse something else in the place of a sharded joint distribution.

    Raises
    ------
    TypeError
        With what to write.
    """
    if not isinstance(value, ShardedJoint):
        remedy = (
            "write ShardedJoint(folder), with the files of dualib.sharded.write_shards; of one machine dualib.solve is for"
        )
        raise TypeError(f"joint must be a dualib.sharded.ShardedJoint, got {type(value).__name__}: {remedy}")


def _columns(columns: Any) -> tuple[str, str, str]:
    if isinstance(columns, str) or len(columns) != 3 or not all(isinstance(name, str) for name in columns):
        raise ValueError(f"columns must be three names, of x, y and count, got {shown(columns)}")
    x, y, count = columns
    return x, y, count


def _width(known: list[Facts], names: list[str], n_y: int | None, labels: tuple[str, ...] | None) -> int:
    """The number of y, which every shard must have that says one, and none may exceed."""
    exact = [(one.width, name) for one, name in zip(known, names, strict=True) if one.is_exact]
    largest, where = max((one.width, name) for one, name in zip(known, names, strict=True))
    if n_y is not None:
        width, given = validate_integer("n_y", n_y, 1), f"n_y = {n_y}"
    elif labels is not None:
        width, given = len(labels), f"{len(labels)} y_labels"
    else:
        width, given = exact[0] if exact else (largest, where)
        given = f"{width} of {given}"
    for other, name in exact:
        if other != width:
            raise ValueError(f"{name} has {other} columns, and not the {given}: all shards are parts of one table")
    if largest > width:
        raise ValueError(f"{where} has a y of number {largest - 1}, beyond the {given}: give n_y, or all y_labels")
    return width
