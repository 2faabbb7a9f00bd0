"""Tables from files: .csv, .tsv, .npy, .npz (dense or scipy.sparse) and .mtx, and with pandas sheets and parquet.

Nothing is ever unpickled.
"""

from __future__ import annotations

import logging
import os
from typing import IO, Any

import numpy as np

from dualib._validation import shown
from dualib.data.archives import UNREADABLE, check_compressed, read_npy, read_npz
from dualib.data.frames import FRAMES, read_frame
from dualib.data.labelled import CountTable
from dualib.data.layouts import Arranged, arranged
from dualib.data.matrix_market import read_matrix_market
from dualib.data.text import SPREADSHEET, read_text
from dualib.memory import check_fits

_MAGIC = {".npy": b"\x93NUMPY", ".npz": b"PK", ".mtx": b"%%MatrixMarket"}
_FORMAT = {".npy": "a NumPy array", ".npz": "a NumPy archive", ".mtx": "a Matrix Market file"}
ENDINGS = (".csv", ".tsv", *_MAGIC)
LAYOUTS = ("auto", "table", "samples", "long")
_REMEDIES = {  # for what people have instead
    **dict.fromkeys((".xlsx", ".xls", ".xlsm", ".xlsb", ".ods", ".numbers"), SPREADSHEET),
    **dict.fromkeys(
        (".parquet", ".feather", ".pkl", ".pickle", ".h5", ".hdf5", ".json", ".dta", ".sav"), "write it as CSV first"
    ),
    **dict.fromkeys((".txt", ".dat", ".tab", ""), "name a table of text .csv (commas or semicolons) or .tsv (tabs)"),
    **dict.fromkeys((".gz", ".bz2", ".xz", ".zst", ".zip", ".tar"), "unpack it first"),
    ".mat": "save the table in it as CSV, or as .npy (scipy.io.loadmat, numpy.save)",
    ".rds": "write it as CSV first (write.csv)",
}
_logger = logging.getLogger("dualib")


def read_table(
    path: str | os.PathLike[str], header: bool | None = None, index: bool | None = None, layout: str = "auto"
) -> CountTable:
    r"""Read a table of counts or probabilities, with its labels.

    Parameters
    ----------
    path : path-like
        .csv or .tsv, in one of three layouts (below), commas, semicolons or tabs between the cells; .npy; .npz with one array, or
        one called ``counts`` or ``pxy`` (and optionally ``x_labels`` and ``y_labels``), or a matrix of `scipy.sparse.save_npz`;
        .mtx. With pandas and what it needs for them also the first sheet of .xlsx, .xlsm, .xls and .ods, and .parquet and .feather.
    header : bool, optional
        Whether the first line has names, those of the y in a table. None: guessed.
    index : bool, optional
        Whether the first column has the names of the x, or in the other layouts numbers the rows and is left out. None: guessed.
    layout : "auto", "table", "samples" or "long"
        A table, rows x and columns y. Samples: two columns, x and y, a line for each. Long: three columns, x, y and how often, where
        what is not there is 0 and what is there again is added. "auto": guessed.

    Returns
    -------
    CountTable
        For `JointDistribution.from_counts`. Its `guess` says how a file of text was read, where that was guessed; so does a
        message of level INFO to the logger "dualib". Sparse where the file is, and from samples and long tables of more than ten
        million cells. Labels are the text that is there: "010" stays "010". Rows and columns called "Total", "Sum" or, as pandas
        calls them, "All" that hold the sums of the others are left out.

    Raises
    ------
    OSError
        The file is missing or cannot be read.
    ValueError
        It is not what its name says, is ragged or empty, has entries that are missing, negative or no numbers, or the same label
        twice; or it can be read in two ways. The message names the file and, in a text table, the line, and says what to do.

    Notes
    -----
    Guesses are made where nothing else is likely: text over numbers is a header, text before numbers are labels, an empty first cell
    says that there are both, rising numbers beside the name of the labels are labels of y, a first column 0, 1, 2, ... before labels
    numbers the rows. Where numbers may as well be labels as counts, nothing is guessed.

    Examples
    --------
    >>> import dualib
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "counts.csv"
    ...     _ = path.write_text("word,noun,verb\nrun,3,9\nhouse,12,1\n")
    ...     table = dualib.read_table(path)
    ...
    >>> table.x_labels, table.y_labels
    (('run', 'house'), ('noun', 'verb'))
    """
    name = os.fspath(path)
    if not isinstance(name, str):
        raise TypeError(f"path must be a str or a path, got {name!r}")
    _check_choices(header, index, layout)
    ending = os.path.splitext(name)[1].lower()
    if ending in (".csv", ".tsv"):
        with open(name, "rb") as file:
            found = arranged(read_text(name, file.read(), ending), header, index, layout)
    elif ending in _MAGIC:
        with open(name, "rb") as file:
            found = _read_binary(name, file, ending)
        _check_defaults(name, header, index, layout)
    elif ending in FRAMES:
        cells, *known = read_frame(name, ending, _wrong_ending(name, ending))
        header, index = (found if said is None else said for found, said in zip(known, (header, index), strict=True))
        found = arranged(cells, header, index, layout)
    else:
        raise ValueError(_wrong_ending(name, ending))
    _check_values(name, found.counts)
    if found.guess:
        _logger.info("%s: %s", name, found.guess)
    return CountTable(*found)


def _wrong_ending(name: str, ending: str) -> str:
    remedy = _REMEDIES.get(ending)
    return f"path must end in one of {', '.join(ENDINGS)}, got {name!r}" + (f": {remedy}" if remedy else "")


def _check_choices(header: object, index: object, layout: object) -> None:
    for argument, value in (("header", header), ("index", index)):
        if value is not None and not isinstance(value, (bool, np.bool_)):
            raise TypeError(f"{argument} must be True, False or None (guessed), got {shown(value)}")
    if layout not in LAYOUTS:
        raise ValueError(f"layout must be one of {', '.join(map(repr, LAYOUTS))}, got {shown(layout)}")


def _check_defaults(name: str, header: bool | None, index: bool | None, layout: str) -> None:
    """Refuse what is said of an array and is not so."""
    if header or index or layout not in ("auto", "table"):
        said = "header=True" if header else "index=True" if index else f"layout={layout!r}"
        raise ValueError(
            f"path {name!r} is an array, a table without names: {said} is for text; for samples in arrays use "
            "JointDistribution.from_samples"
        )


def _check_values(name: str, values: Any) -> None:
    """Refuse numbers that no distribution can be made of."""
    entries = values if isinstance(values, np.ndarray) else values.data
    if not np.isfinite(entries).all():
        raise ValueError(f"path {name!r}: entries must be finite, got {float(entries[~np.isfinite(entries)][0])!r}")
    if (entries < 0.0).any():
        raise ValueError(f"path {name!r}: entries must be >= 0, got {float(entries.min())!r}")
    with np.errstate(over="ignore"):
        total = float(values.sum())
    if not 0.0 < total < np.inf:
        raise ValueError(f"path {name!r}: the sum of the table must be positive and finite, got {shown(total)}")


# -- .npy, .npz, .mtx -------------------------------------------------------------------------------------------------


def _read_binary(name: str, file: IO[bytes], ending: str) -> Arranged:
    found = file.read(len(_MAGIC[ending]))
    if found.lower() != _MAGIC[ending].lower():
        raise ValueError(f"path {name!r} is not {_FORMAT[ending]}, as its ending says: it starts with {found!r}")
    file.seek(0)
    try:
        if ending == ".npy":
            return Arranged(_numeric(read_npy(file)), None, None, "")
        if ending == ".npz":
            return Arranged(*_read_npz(file), "")
        return Arranged(_numeric(read_matrix_market(file.read())), None, None, "")
    except (*UNREADABLE, OSError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"path {name!r} cannot be read as {_FORMAT[ending]} of a table: {reason}") from error


def _read_npz(file: IO[bytes]) -> tuple[Any, Any, Any]:
    arrays = read_npz(file)
    names = set(arrays)
    if {"format", "shape", "data"} <= names:
        return _numeric(_sparse(file, arrays)), None, None
    tables = sorted(names - {"x_labels", "y_labels"})
    chosen = [key for key in ("counts", "pxy") if key in names] or tables
    if len(chosen) != 1:
        raise ValueError(f"it must hold one array, or one called 'counts' or 'pxy', and it holds {tables}")
    labels = [_array_labels(arrays[key]) if key in names else None for key in ("x_labels", "y_labels")]
    return _numeric(arrays[chosen[0]]), *labels


def _sparse(file: IO[bytes], arrays: dict[str, np.ndarray]) -> Any:
    """A matrix of `scipy.sparse.save_npz` whose archive has been checked, and now its declared shape and its indices are."""
    from scipy import sparse

    shape = arrays["shape"]
    if {"indptr", "indices"} <= arrays.keys():
        check_compressed(arrays["indptr"], arrays["indices"])
    for name in arrays.keys() & {"row", "col", "coords", "offsets"}:
        if arrays[name].dtype.kind not in "iu":
            raise ValueError(f"{name} must be integers, got {arrays[name].dtype}")
    if shape.shape != (2,) or shape.dtype.kind not in "iu":
        raise ValueError(f"a table must have two dimensions, got a shape {shape.tolist()!r:.60}")
    check_fits(int(shape[0]), int(shape[1]), "a table")
    file.seek(0)
    matrix = sparse.load_npz(file)
    if hasattr(matrix, "check_format"):
        matrix.check_format(full_check=True)  # an index out of range would read foreign memory
    return matrix


def _array_labels(labels: np.ndarray) -> tuple[str, ...]:
    if labels.ndim != 1 or labels.dtype.kind not in "Uiu":
        raise ValueError(f"labels must be one-dimensional text, got {labels.dtype} of shape {labels.shape}")
    return tuple(map(str, labels))


def _numeric(table: Any) -> Any:
    """Return the table as float64, dense or CSR."""
    from scipy import sparse

    if table.ndim != 2 or 0 in table.shape:
        raise ValueError(f"a table must have two dimensions and at least one entry, got shape {table.shape}")
    if table.dtype.kind not in "biuf":
        raise ValueError(f"a table must hold real numbers, got dtype {table.dtype}")
    return sparse.csr_array(table, dtype=np.float64) if sparse.issparse(table) else np.array(table, dtype=np.float64)
