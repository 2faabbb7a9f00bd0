"""Reductions in strands, against NumPy and against themselves as Python."""

import functools

import numpy as np
import pytest

from dualib import jit, strand_kernels


@functools.cache
def compiled(name, count):
    """A reduction of `count` arguments as machine code, to be called as kernels call it."""
    reduction = getattr(strand_kernels, name).compile()
    if jit.python_only():
        return reduction
    import numba

    callers = {
        1: lambda a: reduction(a),
        2: lambda a, b: reduction(a, b),
        4: lambda a, b, c, d: reduction(a, b, c, d),
    }
    return numba.njit(callers[count])


def reduced(name, *arguments):
    """A reduction of `strand_kernels` as machine code, as kernels would call it, which must give the bits of Python's."""
    found, kernel = compiled(name, len(arguments))(*arguments), getattr(strand_kernels, name)
    assert np.array_equal(found, kernel.python(*arguments), equal_nan=True)
    return found


@pytest.mark.parametrize("size", [0, 1, 3, 4, 7, 8, 9, 16, 29])
def test_reductions_in_strands(size):
    """Against NumPy; rows of a longer table, which what stands behind their ends does not change."""
    rng = np.random.default_rng(size)
    a, b, c, d = table = rng.standard_normal((4, size))
    behind = np.full((4, size + 8), np.nan)
    behind[:, :size] = table
    for rows in (table, behind[:, :size]):
        w, x, y, z = (row[:size] for row in rows)
        assert reduced("total", w) == pytest.approx(a.sum(), abs=1e-14)
        assert reduced("highest", w, -9.0) == max([-9.0, *a])
        assert reduced("highest", w, 9.0) == 9.0
        assert reduced("inner", w, x) == pytest.approx(a @ b, abs=1e-14)
        assert reduced("inner_of_moves", w, x, y, z) == pytest.approx((b - a) @ (d - c), abs=1e-13)


def test_reductions_of_what_is_no_number():
    """NaN and infinities are summed as they are; the largest is among numbers. Rows of single precision keep to it."""
    row = np.linspace(-1.0, 1.0, 11)
    for value in (np.nan, np.inf, -np.inf):
        row[9] = value
        assert np.array_equal(reduced("total", row), value, equal_nan=True)
        assert np.array_equal(reduced("inner", row, np.ones(11)), value, equal_nan=True)
    assert reduced("highest", np.full(11, -np.inf), -np.inf) == -np.inf
    row[9] = np.nan
    assert reduced("highest", row, -np.inf) == 1.0
    assert reduced("total", np.full(3, -0.0)) == 0.0
    if jit.python_only():
        return
    short = np.full(9, 0.1, np.float32)
    single = compiled("total", 1)(short)
    assert single == pytest.approx(0.9, abs=1e-6) and abs(single - 0.9) > 1e-9


@pytest.mark.skipif(jit.python_only(), reason="nothing is compiled")
def test_rows_that_are_not_contiguous_are_refused():
    import numba

    column = np.ones((3, 2))[:, 0]
    with pytest.raises(numba.core.errors.TypingError):
        compiled("total", 1)(column)
