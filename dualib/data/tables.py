"""Tables of counts or probabilities from files: .csv, .tsv, .npy, .npz (dense or scipy.sparse) and .mtx.

Nothing is ever unpickled, and nothing is guessed: a table that can be read in two ways is refused, with the line.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, NoReturn

import numpy as np

from dualib.data.archives import UNREADABLE, check_compressed, read_npy, read_npz
from dualib.data.matrix_market import read_matrix_market
from dualib.memory import check_fits

if TYPE_CHECKING:
    from dualib.joint import JointDistribution

_MAGIC = {".npy": b"\x93NUMPY", ".npz": b"PK", ".mtx": b"%%MatrixMarket"}
_FORMAT = {".npy": "a NumPy array", ".npz": "a NumPy archive", ".mtx": "a Matrix Market file"}
ENDINGS = (".csv", ".tsv", *_MAGIC)
_SPREADSHEET = "export the sheet as CSV"
_REMEDIES = {  # for what people have instead
    **dict.fromkeys((".xlsx", ".xls", ".xlsm", ".xlsb", ".ods", ".numbers"), _SPREADSHEET),
    **dict.fromkeys(
        (".parquet", ".feather", ".pkl", ".pickle", ".h5", ".hdf5", ".json", ".dta", ".sav"), "write it as CSV first"
    ),
    **dict.fromkeys((".txt", ".dat", ".tab", ""), "name a table of text .csv (commas or semicolons) or .tsv (tabs)"),
    **dict.fromkeys((".gz", ".bz2", ".xz", ".zst", ".zip", ".tar"), "unpack it first"),
    ".mat": "save the table in it as CSV, or as .npy (scipy.io.loadmat, numpy.save)",
    ".rds": "write it as CSV first (write.csv)",
}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_WITH_COMMA = re.compile(r"[+-]?(\d*,\d+([eE][+-]?\d+)?|\d{1,3}(,\d{3})+(\.\d*)?)", re.ASCII)
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+", re.ASCII)
_MISSING = frozenset({"", "na", "n/a", "nan", "+nan", "-nan", "inf", "+inf", "-inf", "infinity", "null", "none", "-", "?"})


@dataclass(frozen=True, eq=False)
class Table:
    """What a file holds: non-negative numbers, of sum > 0, and their labels.

    Attributes
    ----------
    values : ndarray or scipy.sparse.csr_array, shape (n_x, n_y)
        As they stand in the file, float64.
    x_labels, y_labels : tuple of str, or None
        Names of the rows and of the columns, where the file has them.
    kind : {"counts", "probabilities", "conditionals", "weights"}
        Integers; a joint distribution (sum 1); one distribution of y per row (every row sums to 1, so that p(x) comes
        out uniform); anything else.
    """

    values: Any
    x_labels: tuple[str, ...] | None
    y_labels: tuple[str, ...] | None
    kind: str

    def to_joint(self, smoothing: float = 0.0) -> JointDistribution:
        """Divide the table by its sum; `smoothing`, in the unit of the table, is first added to every cell."""
        from dualib.joint import JointDistribution

        return JointDistribution.from_counts(self.values, smoothing=smoothing, x_labels=self.x_labels, y_labels=self.y_labels)


def read_table(path: str | os.PathLike[str], *, smoothing: float = 0.0) -> JointDistribution:
    r"""Read a table of counts or probabilities, and normalise it.

    Parameters
    ----------
    path : path-like
        .csv or .tsv, rows x and columns y, with or without a header line and a column of labels (an empty corner cell
        says that both are there); .npy; .npz with one array, or one called ``counts`` or ``pxy`` (and optionally
        ``x_labels`` and ``y_labels``), or a matrix saved by `scipy.sparse.save_npz`; .mtx.
    smoothing : float
        Added to every cell before normalising, >= 0; in the unit of the table, so a pseudocount for counts.

    Returns
    -------
    JointDistribution
        Sparse where the file is.

    Raises
    ------
    OSError
        The file is missing or cannot be read.
    ValueError
        It is not what its name says, is ragged, ambiguous or empty, or has entries that are negative or no numbers; the
        message names the file and, in a text table, the line.

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
    return load_table(path).to_joint(smoothing)


def load_table(path: str | os.PathLike[str]) -> Table:
    """Read a table as it stands, with what it seems to hold (`Table.kind`); arguments and errors as in `read_table`."""
    name = os.fspath(path)
    if not isinstance(name, str):
        raise TypeError(f"path must be a str or a path, got {name!r}")
    ending = os.path.splitext(name)[1].lower()
    if ending not in ENDINGS:
        remedy = _REMEDIES.get(ending)
        raise ValueError(f"path must end in one of {', '.join(ENDINGS)}, got {name!r}" + (f": {remedy}" if remedy else ""))
    with open(name, "rb") as file:
        if ending in (".csv", ".tsv"):
            values, x_labels, y_labels = _TextTable(name, file.read(), ending).parse()
        else:
            values, x_labels, y_labels = _read_binary(name, file, ending)
    return Table(values, x_labels, y_labels, _kind(name, values))


def _kind(name: str, values: Any) -> str:
    """Say what the numbers are; refuse those that no distribution can be made of."""
    entries = values if isinstance(values, np.ndarray) else values.data
    if not np.isfinite(entries).all():
        raise ValueError(f"path {name!r}: entries must be finite, got {float(entries[~np.isfinite(entries)][0])!r}")
    if (entries < 0.0).any():
        raise ValueError(f"path {name!r}: entries must be >= 0, got {float(entries.min())!r}")
    with np.errstate(over="ignore"):
        total = float(values.sum())
        rows = np.asarray(values.sum(axis=1))
    if not 0.0 < total < np.inf:
        raise ValueError(f"path {name!r}: the sum of the table must be positive and finite, got {total!r}")
    if (entries == np.rint(entries)).all():
        return "counts"
    if abs(total - 1.0) <= 1e-6:
        return "probabilities"
    return "conditionals" if (np.abs(rows - 1.0) <= 1e-6).all() else "weights"


# -- .npy, .npz, .mtx -------------------------------------------------------------------------------------------------


def _read_binary(name: str, file: IO[bytes], ending: str) -> tuple[Any, Any, Any]:
    found = file.read(len(_MAGIC[ending]))
    if found.lower() != _MAGIC[ending].lower():
        raise ValueError(f"path {name!r} is not {_FORMAT[ending]}, as its ending says: it starts with {found!r}")
    file.seek(0)
    try:
        if ending == ".npy":
            return _numeric(read_npy(file)), None, None
        return _read_npz(file) if ending == ".npz" else (_numeric(read_matrix_market(file.read())), None, None)
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


# -- .csv, .tsv -------------------------------------------------------------------------------------------------------


class _TextTable:
    """One text table on its way to numbers; every refusal names the file and the line.

    Where the first line or the first column mixes numbers and text, the text may be labels or may be slips in the
    numbers: only an empty corner cell decides it.
    """

    def __init__(self, name: str, raw: bytes, ending: str) -> None:
        self.name = name
        self.text = self._decode(raw)
        self.delimiter = "\t" if ending == ".tsv" else self._delimiter()

    def parse(self) -> tuple[np.ndarray, tuple[str, ...] | None, tuple[str, ...] | None]:
        """Return the numbers, the row labels and the column labels."""
        rows, lines = self._rows()
        short = _is_short_header(rows)
        if short:
            rows[0].insert(0, "")
        self._check_ragged(rows, lines)
        header, labelled = self._layout(rows, lines)
        body, lines = rows[header:], lines[header:]
        if not body or len(body[0]) == labelled:
            self._refuse("there are no numbers, only labels")
        cells = [row[labelled:] for row in body]
        decimal_comma = self.delimiter == ";" and self._has_decimal_commas(cells, lines)
        values = np.array(
            [[self._number(cell, line, decimal_comma) for cell in row] for row, line in zip(cells, lines, strict=True)]
        )
        x_labels = tuple(row[0] for row in body) if labelled else None
        return values, x_labels, tuple(rows[0][labelled:]) if header else None

    def _decode(self, raw: bytes) -> str:
        if raw[:4] == b"PK\x03\x04" or raw[:8] == b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1":
            self._refuse(f"this is a spreadsheet or an archive, whatever its ending: {_SPREADSHEET}")
        encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError as error:
            line = raw[: error.start].count(b"\n") + 1
            self._refuse(f"byte {raw[error.start]:#04x} is not {encoding[:6].upper().rstrip('-')} text", line)
        if "\x00" in text:
            self._refuse("a zero byte, so this is not text", text[: text.index("\x00")].count("\n") + 1)
        return text

    def _delimiter(self) -> str:
        """Find the semicolon where all lines have equally many outside of quotes, or no commas; else comma or tab."""
        bare = [line for line in re.sub(r'"[^"]*"', "", self.text).splitlines() if line.strip()]
        counts = {line.count(";") for line in bare}
        if bare and ";" in bare[0] and (len(counts) == 1 or "," not in bare[0]):
            return ";"
        return "\t" if bare and "\t" in bare[0] and "," not in bare[0] else ","

    def _rows(self) -> tuple[list[list[str]], list[int]]:
        """Cells, stripped, of the lines, and their numbers; empty lines may only be at the ends."""
        rows: list[list[str]] = []
        lines: list[int] = []
        line, empty = 1, 0
        source = io.StringIO(self.text, newline="")
        reader = csv.reader(source, delimiter=self.delimiter, strict=True, skipinitialspace=True)
        try:
            for row in reader:
                cells = [cell.strip() for cell in row]
                if not any(cells):
                    empty = empty or (line if rows else 0)
                elif empty:
                    self._refuse("an empty line inside the table", empty)
                else:
                    rows.append(cells)
                    lines.append(line)
                line = reader.line_num + 1
        except csv.Error as error:
            self._refuse(str(error), line)
        if not rows:
            self._refuse("the file is empty")
        return rows, lines

    def _check_ragged(self, rows: Sequence[Sequence[str]], lines: Sequence[int]) -> None:
        for row, line in zip(rows, lines, strict=True):
            if len(row) != len(rows[0]):
                self._refuse(f"ragged: {len(row)} cell(s), where line {lines[0]} has {len(rows[0])}", line)

    def _layout(self, rows: Sequence[Sequence[str]], lines: Sequence[int]) -> tuple[bool, bool]:
        """Whether there is a header line, and whether there is a column of labels."""
        corner, across, down = rows[0][0], _nature(rows[0][1:]), _nature([row[0] for row in rows[1:]])
        if not corner:
            return True, True
        across_all = "mixed" if _nature([corner]) == "number" and across == "text" else across
        if across_all == "mixed":
            odd = next(cell for cell in rows[0] if _nature([cell]) == "text")
            advice = "if this line is a header, empty its first cell"
            self._refuse(f"text ({odd[:40]!r}) mixed with numbers: {advice}", lines[0])
        if down == "mixed" or (_nature([corner]) == "number" and down == "text"):
            at = next(i for i, row in enumerate(rows) if i and _nature(row[:1]) == "text")
            advice = "if these are labels, put a header with an empty first cell above them"
            self._refuse(f"text ({rows[at][0][:40]!r}) mixed with numbers in the first column: {advice}", lines[at])
        if _nature([corner]) == "number":
            return False, False
        if across != "text" and down != "text":  # text over numbers only: the name of a column of labels
            if across == down == "number" and not re.match(r"[^\W\d]", corner):
                self._refuse(f"{corner[:40]!r} is not a finite number (the name of a column begins with a letter)", lines[0])
            return down is not None, across is not None
        self._refuse_if_running(rows, lines, across, down)
        return across == "text", down == "text"

    def _refuse_if_running(
        self, rows: Sequence[Sequence[str]], lines: Sequence[int], across: str | None, down: str | None
    ) -> None:
        """Refuse running numbers where they may as well be labels as data."""
        first_column = [row[0] for row in rows[1:]]
        if down == "text" and across == "number" and _is_running(rows[0][1:]):
            advice = "empty the first cell if it is; put a header above this line if it is not"
            self._refuse(f"cannot tell whether {','.join(rows[0][:3])}... is a header: {advice}", lines[0])
        if across == "text" and down == "number" and _is_running(first_column):
            advice = "empty the first cell of the header if they are; put a column of labels in front if they are not"
            self._refuse(f"cannot tell whether {','.join(first_column[:3])}... below are labels: {advice}", lines[0])

    def _has_decimal_commas(self, rows: Sequence[Sequence[str]], lines: Sequence[int]) -> bool:
        """Whether numbers between semicolons have decimal commas; refuses commas that may separate thousands."""
        found = [(cell, line) for row, line in zip(rows, lines, strict=True) for cell in row if "," in cell]
        if not found:
            return False
        first, at = found[0]
        if all(_THOUSANDS.fullmatch(cell) for cell, _ in found):
            self._refuse(f"{first!r} may have a decimal comma or a thousands separator: write it with a point", at)
        for row, line in zip(rows, lines, strict=True):
            for cell in row:
                if "." in cell:
                    self._refuse(f"{cell!r} has a decimal point, but {first!r} in line {at} has a decimal comma", line)
        return True

    def _number(self, cell: str, line: int, decimal_comma: bool) -> float:
        text = cell.replace(",", ".") if decimal_comma and _WITH_COMMA.fullmatch(cell) else cell
        if not _NUMBER.fullmatch(text):
            hint = ": write numbers without commas" if _nature([cell]) == "number" and "," in cell else ""
            self._refuse(f"{cell[:40]!r} is not a finite number{hint}" if cell else "an empty cell", line)
        value = float(text)
        if not 0.0 <= value < float("inf"):
            self._refuse(f"entries must be >= 0 and finite, got {cell}", line)
        return value

    def _refuse(self, reason: str, line: int | None = None) -> NoReturn:
        raise ValueError(f"path {self.name!r}{'' if line is None else f', line {line}'}: {reason}")


def _nature(cells: Sequence[str]) -> str | None:
    """All "number", all "text", or "mixed"; None of nothing. A missing number fits either, and alone is a number."""
    present = [cell for cell in cells if cell.lower() not in _MISSING]
    kinds = {bool(_NUMBER.fullmatch(cell) or _WITH_COMMA.fullmatch(cell)) for cell in present}
    if len(kinds) == 2:
        return "mixed"
    return None if not cells else "text" if kinds == {False} else "number"


def _is_running(cells: Sequence[str]) -> bool:
    """Whether the cells are 0, 1, ... or 1, 2, 3, 4, ...: these may be labels; shorter runs from 1 are data."""
    start = int(cells[0] == "1")
    return len(cells) >= (4 if start else 2) and list(cells) == [str(start + i) for i in range(len(cells))]


def _is_short_header(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first line names the columns but not the column of row names, as R writes it."""
    body = [row[0] for row in rows[1:]]
    if not body or _nature(rows[0]) != "text" or any(len(row) != len(rows[0]) + 1 for row in rows[1:]):
        return False
    return _nature(body) == "text" or body == [str(1 + i) for i in range(len(body))]
