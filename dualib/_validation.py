"""Checks of arguments, each error naming the argument and the offending value."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from scipy import sparse

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Unit = Literal["nats", "bits"]

_LONGEST = 500  # characters of a value in a message
_MOST_ITEMS = 20  # of an array that are shown

SUM_TOLERANCE = 1e-8  # how far, relative to 1, a sum of probabilities may be off before it is an error


def shown(value: object) -> str:
    """A value as a message shows it: NumPy's numbers and texts as Python's, the long cut short."""
    if isinstance(value, np.ndarray) and value.size > _MOST_ITEMS:
        return f"an array of {value.dtype} of shape {value.shape}"
    text = repr(_plain(value))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray) and value.dtype == object:
        return _plain(value.tolist())
    if isinstance(value, np.longdouble):  # whose item is of its own type
        return float(value)
    if isinstance(value, np.generic):
        return value.item()
    if type(value) in (list, tuple):
        return type(value)(map(_plain, value[: _LONGEST + 1]))
    return value


def is_real(value: object) -> bool:
    """Whether this is a real number, of Python or NumPy; a bool is none."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def validate_choice(name: str, value: Any, allowed: Sequence[str]) -> str:
    """One of the words that are allowed; ValueError for another value."""
    if value not in allowed:
        *others, last = map(repr, allowed)
        raise ValueError(f"{name} must be {', '.join(others)} or {last}, got {shown(value)}")
    return str(value)


def validate_positive(name: str, value: Any) -> float:
    """A finite real number > 0, as a float; ValueError for anything else."""
    if not is_real(value) or not 0.0 < value < np.inf:
        raise ValueError(f"{name} must be a positive number, got {shown(value)}")
    return float(value)


def validate_at_least_zero(name: str, value: Any) -> float:
    """A finite real number >= 0, as a float.

    Raises
    ------
    TypeError
        Not a real number.
    ValueError
        Negative, NaN or infinite.
    """
    if not is_real(value):
        raise TypeError(f"{name} must be a number >= 0, got {shown(value)}")
    if not 0.0 <= value < np.inf:
        raise ValueError(f"{name} must be finite and >= 0, got {shown(value)}")
    return float(value)


def validate_alpha(alpha: Any) -> float:
    """A real number from 0 to 1, as a float.

    Raises
    ------
    TypeError
        Not a real number.
    ValueError
        Out of range, or NaN.
    """
    if not is_real(alpha):
        raise TypeError(f"alpha must be a real number from 0 to 1, got {shown(alpha)}")
    value = float(alpha)
    if not 0.0 <= value <= 1.0:
        known = "1 is the Information Bottleneck, 0 the deterministic one, with hard clusters"
        raise ValueError(f"alpha must be from 0 to 1, got {shown(alpha)}: {known}")
    return value


def validate_beta(beta: Any, name: str = "beta") -> float:
    """A finite real number > 0, as a float.

    Raises
    ------
    TypeError
        Not a real number (a bool, text, None, complex, an array).
    ValueError
        Zero, negative, NaN or infinite.
    """
    if not is_real(beta):
        raise TypeError(
            f"{name} must be a real number > 0, got {shown(beta)}{_instead_of_beta(beta) if name == 'beta' else ''}"
        )
    try:
        value = float(beta)
    except OverflowError:  # a whole number beyond the largest float
        value = math.inf
    if not math.isfinite(value) or value <= 0.0:
        raise ValueError(f"{name} must be finite and > 0, got {shown(beta)}")
    return value


def _instead_of_beta(given: Any) -> str:
    """What to write, where the distortion or many trade-offs were given as beta."""
    if isinstance(given, str) or hasattr(given, "lift"):
        return ": beta comes before distortion"
    return ": many trade-offs are anneal's betas=" if np.ndim(given) == 1 else ""


def validate_betas(betas: Any) -> list[float]:
    """Each of the argument `betas`, a sequence, as of `validate_beta`."""
    return [validate_beta(float(beta), "betas") for beta in as_float_array("betas", betas, 1)]


def validate_open_probability(name: str, value: Any) -> float:
    """A real number strictly between 0 and 1, as a float.

    Raises
    ------
    ValueError
        Anything else.
    """
    if not is_real(value) or not 0.0 < value < 1.0:
        raise ValueError(f"{name} must be a number strictly between 0 and 1, got {shown(value)}")
    return float(value)


def validate_integer(name: str, value: object, least: int) -> int:
    """A whole number of at least `least`, as an int.

    Raises
    ------
    ValueError
        Anything else.
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{name} must be an integer of at least {least}, got {shown(value)}")
    return int(value)


def as_float_array(name: str, array: Any, ndim: int) -> Array:
    """A new C-contiguous float64 array of `ndim` dimensions, not empty, every value finite.

    Raises
    ------
    TypeError
        Complex, text, object or otherwise not numeric.
    ValueError
        Ragged, a wrong number of dimensions, empty, NaN or infinite.
    """
    try:
        raw = np.asarray(array)
    except ValueError as error:
        raise ValueError(f"{name} must be a rectangular array of numbers: {error}") from None
    if raw.dtype.kind not in "biuf":
        remedy = ": if these are numbers as text, turn them into numbers first" if raw.dtype.kind in "SU" and raw.ndim else ""
        raise TypeError(
            f"{name} must hold real numbers, got dtype {raw.dtype} ({_missing(raw) or f'first value {_first(raw)}'}){remedy}"
        )
    if raw.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} dimension(s), got shape {raw.shape}")
    if raw.size == 0:
        raise ValueError(f"{name} must not be empty, got shape {raw.shape}")
    values = np.array(raw, dtype=np.float64, order="C")
    bad = ~np.isfinite(values)
    if bad.any():
        raise ValueError(f"{name} must be finite, got {_where(values, bad)}")
    return values


def as_non_negative(name: str, array: Any, ndim: int) -> Array:
    """`as_float_array` whose values are all >= 0 and not all 0.

    Raises
    ------
    TypeError, ValueError
        As `as_float_array`; a negative value; nothing but zeros.
    """
    values = as_float_array(name, array, ndim)
    if (values < 0.0).any():
        raise ValueError(f"{name} must be non-negative, got {_where(values, values < 0.0)}")
    if not values.any():
        raise ValueError(f"{name} must not be all zero, got shape {values.shape} of zeros")
    return values


def is_missing(value: Any) -> bool:
    """Whether this is None, NaN, or pandas' NA or NaT, or a tuple with one of these."""
    if isinstance(value, tuple):
        return any(map(is_missing, value))
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(value, np.datetime64):
        return bool(np.isnat(value))
    return isinstance(value, (float, np.floating)) and bool(value != value)


def is_sparse(matrix: Any) -> bool:
    """Whether this is a scipy.sparse matrix or array."""
    return hasattr(matrix, "tocsr") and hasattr(matrix, "toarray")


def as_non_negative_csr(name: str, matrix: Any) -> sparse.csr_array:
    """A new float64 CSR array (n_x, n_y) of a scipy.sparse matrix: duplicates summed, stored zeros dropped.

    Raises
    ------
    TypeError, ValueError
        As `as_non_negative`.
    """
    from scipy import sparse

    if matrix.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers, got dtype {matrix.dtype}")
    if matrix.ndim != 2:
        raise ValueError(f"{name} must have 2 dimension(s), got shape {matrix.shape}")
    if matrix.format == "coo":  # an older SciPy's astype sums its duplicates first, in their own type
        matrix = sparse.coo_array((matrix.data.astype(np.float64), (matrix.row, matrix.col)), shape=matrix.shape)
    csr = sparse.csr_array(matrix.astype(np.float64))  # a copy: the caller's is left alone, and small integers do not overflow
    csr.sum_duplicates()
    csr.eliminate_zeros()
    if 0 in csr.shape or csr.nnz == 0:
        raise ValueError(f"{name} must not be empty or all zero, got shape {csr.shape}")
    if not (csr.data.min() >= 0.0 and csr.data.max() < np.inf):  # NaN fails both; no copy of good data
        _check_cells(name, csr)
    return csr


def _check_cells(name: str, csr: sparse.csr_array) -> None:
    """ValueError with the first cell that is not finite or negative."""
    bad = ~np.isfinite(csr.data)
    kind, bad = ("finite", bad) if bad.any() else ("non-negative", csr.data < 0.0)
    if bad.any():
        first = int(np.argmax(bad))
        index = int(np.searchsorted(csr.indptr, first, side="right")) - 1, int(csr.indices[first])
        raise ValueError(f"{name} must be {kind}, got {_value_at(csr.data[first], index)}")


def as_distribution(name: str, array: Any, size: int | None = None) -> Array:
    """A probability vector, summing to 1 within SUM_TOLERANCE and then renormalised.

    Raises
    ------
    TypeError, ValueError
        As `as_non_negative`; a wrong length; a sum that is not 1.
    """
    values = as_non_negative(name, array, 1)
    if size is not None and len(values) != size:
        raise ValueError(f"{name} must have length {size}, got {len(values)}")
    with np.errstate(over="ignore"):  # an infinite sum is refused
        total = values.sum()
    if not abs(total - 1.0) <= SUM_TOLERANCE:
        raise ValueError(f"{name} must sum to 1, got {shown(total)}: divide it by its sum")
    return np.asarray(values / total)


_DIVIDE = "divide each row by its sum"


def as_probability_rows(name: str, array: Any, n_columns: int | None = None, remedy: str = _DIVIDE) -> Array:
    """Rows (m, n), each a distribution within SUM_TOLERANCE and then renormalised.

    Raises
    ------
    TypeError, ValueError
        As `as_non_negative`; a wrong number of columns; a row that does not sum to 1, with its index.
    """
    values = as_non_negative(name, array, 2)
    if n_columns is not None and values.shape[1] != n_columns:
        raise ValueError(f"{name} must have {n_columns} columns, got shape {values.shape}")
    return np.asarray(values / _row_sums(name, values, remedy)[:, None])


def as_sparse_probability_rows(name: str, matrix: Any, n_columns: int, remedy: str = _DIVIDE) -> sparse.csr_array:
    """`as_probability_rows` of a scipy.sparse matrix, as a new CSR array."""
    csr = as_non_negative_csr(name, matrix)
    if csr.shape[1] != n_columns:
        raise ValueError(f"{name} must have {n_columns} columns, got shape {csr.shape}")
    csr.data /= np.repeat(_row_sums(name, csr, remedy), np.diff(csr.indptr))
    return csr


def _row_sums(name: str, rows: Any, remedy: str) -> Array:
    """The sums of the rows of a matrix, once each is 1 within SUM_TOLERANCE."""
    with np.errstate(over="ignore"):
        totals = np.asarray(rows.sum(axis=1)).ravel()
    wrong = np.flatnonzero(~(np.abs(totals - 1.0) <= SUM_TOLERANCE))
    if len(wrong):
        raise ValueError(f"{name}: row {wrong[0]} must sum to 1, got {shown(totals[wrong[0]])}: {remedy}")
    return totals


def in_unit(unit: str, nats: float) -> float:
    """An information in `unit`, "nats" or "bits"; ValueError for another."""
    validate_choice("unit", unit, ("nats", "bits"))
    return float(nats / np.log(2.0)) if unit == "bits" else float(nats)


def _first(raw: np.ndarray) -> str:
    return shown(raw.flat[0]) if raw.size else "none"


def _missing(raw: np.ndarray) -> str:
    """The place of the first missing value among objects, if there is one."""
    if raw.dtype.kind != "O" or raw.ndim == 0:
        return ""
    places = (
        f"a missing value, {shown(value)}, at index {index}" for index, value in np.ndenumerate(raw) if is_missing(value)
    )
    return next(places, "")


def _where(values: Array, bad: npt.NDArray[np.bool_]) -> str:
    index = tuple(int(i) for i in np.argwhere(bad)[0])
    return _value_at(values[index], index)


def _value_at(value: float, index: tuple[int, ...]) -> str:
    missing = " (a missing value)" if np.isnan(value) else ""
    return f"{float(value)!r} at index {index[0] if len(index) == 1 else index}{missing}"


def random_generator(random_state: Any) -> np.random.Generator:
    """The generator of a `random_state`: of a fixed seed for None, and of a whole number >= 0; a generator is itself.

    Raises
    ------
    TypeError, ValueError
        Anything else that NumPy takes for no seed.
    """
    try:
        return np.random.default_rng(0 if random_state is None else random_state)
    except (TypeError, ValueError) as error:
        known = "None, an integer >= 0 or a numpy.random.Generator"
        raise type(error)(f"random_state must be {known}, got {shown(random_state)}") from None


def is_frozen(array: Any) -> bool:
    """Whether it is a C-contiguous float64 array, or all of one transposed, that cannot be written to: it is kept without a copy."""
    known = type(array) is np.ndarray and array.dtype == np.float64 and array.flags.c_contiguous
    base = array.base if known else None
    whole = base is None or (type(base) is np.ndarray and base.size == array.size and not base.flags.writeable)
    return known and whole and not array.flags.writeable
