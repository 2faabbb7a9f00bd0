"""A shard: some rows of a sparse table. What it is in memory, where it is loaded from, and how its file is written."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from dualib._validation import as_non_negative_csr, is_sparse, shown, validate_integer
from dualib.data.labelled import labelled
from dualib.distortions.interface import Array
from dualib.joint import JointDistribution
from dualib.sharded.parquet import Format, read_counts

Source = str | os.PathLike[str] | Callable[[], Any]


class Shard(NamedTuple):
    """Rows of a table in memory.

    Attributes
    ----------
    mass : (m,)
        The sum of each row as it was given, counts or probabilities; 0 of a row of zeros.
    data, indices, indptr :
        The CSR arrays of p(y|x), (m, n_y). A row of mass 0 has nothing stored.
    width : int
        n_y, or, of a file that does not say, one more than the largest y in it.
    is_exact : bool
        Whether it is n_y.
    names : pyarrow array (m,), or None
        The x, of a file that has them.
    """

    mass: Array
    data: Array
    indices: npt.NDArray[np.integer]
    indptr: npt.NDArray[np.integer]
    width: int
    is_exact: bool
    names: Any = None

    def part(self, begin: int, end: int, n_y: int) -> Any:
        """p(y|x) of some rows, a CSR array (end - begin, n_y)."""
        first, last = self.indptr[begin], self.indptr[end]
        arrays = self.data[first:last], self.indices[first:last], self.indptr[begin : end + 1] - first
        return sparse.csr_array(arrays, shape=(end - begin, n_y))


def load(source: Source, form: Format) -> Shard:
    """The shard of a file, by its ending, or of a function.

    Raises
    ------
    OSError
        The file is missing or cannot be read.
    ValueError, TypeError, ImportError
        It is not what its name says, has a negative or infinite entry or one that is no number; pyarrow is not installed. The
        message names the shard.
    """
    if callable(source):
        return shard_of(name_of(source), source(), is_exact=True)
    path = Path(source)
    if path.suffix == ".parquet":
        table, names = read_counts(path, form)
        return shard_of(name_of(source), table, is_exact=form.y_labels is not None)._replace(names=names)
    try:
        with open(path, "rb") as file:
            table = sparse.load_npz(file)
        table.check_format(full_check=True)  # an index out of range would read foreign memory
    except (ValueError, KeyError, AttributeError, zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"{name_of(source)} is no CSR array as of scipy.sparse.save_npz: {error}") from error
    return shard_of(name_of(source), table, is_exact=True)


def name_of(source: Source) -> str:
    """What messages call a shard."""
    if not callable(source):
        return f"shard {os.fspath(source)!r}"
    function = getattr(source, "func", source)  # of a functools.partial
    return f"shard {getattr(function, '__name__', type(function).__name__)}()"


def shard_of(name: str, table: Any, *, is_exact: bool) -> Shard:
    """The shard of a table (m, n_y) of counts or probabilities, sparse or an array."""
    rows = _rows(name, table)
    mass = np.asarray(rows.sum(axis=1), dtype=np.float64).ravel()
    data = np.repeat(mass, np.diff(rows.indptr))
    np.divide(rows.data, data, out=data)
    kind = np.int32 if max(rows.nnz, rows.shape[1]) < 2**31 else np.int64  # of both, else SciPy makes copies
    return Shard(
        mass, data, rows.indices.astype(kind, copy=False), rows.indptr.astype(kind, copy=False), int(rows.shape[1]), is_exact
    )


def _rows(name: str, table: Any) -> Any:
    """A CSR array of finite positive numbers; rows of zeros, and nothing but these, are allowed in a part of a table."""
    if not is_sparse(table):
        values = np.asarray(table)
        if values.ndim != 2:
            raise ValueError(f"{name} must have 2 dimensions, got shape {values.shape}")
        if values.dtype.kind not in "biuf":
            raise TypeError(f"{name} must hold real numbers, got dtype {values.dtype}")
        table = sparse.csr_array(values)
    if table.nnz == 0 and 0 not in table.shape:
        return sparse.csr_array(table.shape, dtype=np.float64)
    return as_non_negative_csr(name, table)


def write_shards(counts: Any, folder: str | os.PathLike[str], rows_per_shard: int) -> list[Path]:
    """Write a table as files of some rows each, which `ShardedJoint` reads.

    Parameters
    ----------
    counts : JointDistribution, scipy.sparse matrix, array_like, DataFrame or CountTable, shape (n_x, n_y)
        Counts or probabilities; labels are not written.
    folder : path-like
        A new one, or an empty one. It is complete or not there: files are written to ``FOLDER.part``, which is then renamed.
    rows_per_shard : int
        Rows of each file but the last. A worker holds some 12 bytes for each nonzero of its shards; a few shards for each thread of
        the cluster let the work be shared out evenly.

    Returns
    -------
    list of Path
        The files, in the order of the rows: ``shard-00000.npz`` and so on, as of ``scipy.sparse.save_npz``.

    Raises
    ------
    FileExistsError
        The folder, or ``FOLDER.part``, is there and not empty: nothing is written over.
    ValueError, TypeError
        A bad argument, named with its value.

    Examples
    --------
    >>> import dualib, pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     files = dualib.sharded.write_shards(dualib.datasets.load_letters(), pathlib.Path(folder) / "letters", 10)
    ...     [file.name for file in files]
    ['shard-00000.npz', 'shard-00001.npz', 'shard-00002.npz']
    """
    size = validate_integer("rows_per_shard", rows_per_shard, 1)
    values = counts.pxy if isinstance(counts, JointDistribution) else labelled("counts", counts)[0]
    table = _rows("counts", values)
    if table.nnz == 0:
        raise ValueError(f"counts must not be all zero, got shape {table.shape} of zeros")
    target = Path(folder)
    part = target.with_name(target.name + ".part")
    for place in (target, part):
        if place.exists() and (not place.is_dir() or any(place.iterdir())):
            raise FileExistsError(f"folder {os.fspath(place)!r} is there and not empty: give another one, or remove it")
    part.mkdir(parents=True, exist_ok=True)
    names = []
    for number, begin in enumerate(range(0, table.shape[0], size)):
        names.append(f"shard-{number:05d}.npz")
        sparse.save_npz(part / names[-1], table[begin : begin + size], compressed=False)
    if target.exists():
        target.rmdir()
    part.rename(target)
    return [target / name for name in names]


def sources_of(shards: Any) -> list[Source]:
    """The files of a folder in the order of their names, or the files and functions of a sequence.

    Raises
    ------
    FileNotFoundError
        No such folder.
    ValueError, TypeError
        No shard; something that is neither a file nor a function.
    """
    if isinstance(shards, (str, os.PathLike)):
        folder = Path(shards)
        if not folder.is_dir():
            raise FileNotFoundError(f"shards: there is no folder {os.fspath(shards)!r}; one file is given as a list of one")
        found: list[Any] = sorted(path for path in folder.iterdir() if path.suffix in (".npz", ".parquet"))
        if not found:
            raise ValueError(f"shards: the folder {os.fspath(shards)!r} has no file .npz or .parquet")
        return found
    try:
        found = list(shards)
    except TypeError:
        raise TypeError(f"shards must be a folder, or a sequence of files or functions, got {shown(shards)}") from None
    if not found:
        raise ValueError("shards must not be empty")
    for source in found:
        if callable(source):
            continue
        if not isinstance(source, (str, os.PathLike)):
            raise TypeError(
                f"shards must be files or functions, got {type(source).__name__}: write a table with dualib.sharded.write_shards"
            )
        if Path(source).suffix not in (".npz", ".parquet"):
            raise ValueError(f"shards must be files .npz or .parquet, got {os.fspath(source)!r}")
    return found
