"""Views in another shape, as machine code and as Python."""

import functools

import numpy as np
import pytest

from dualib import jit, view_kernels


@functools.cache
def compiled(name, count):
    """A view of `count` arguments as machine code, to be called as kernels call it."""
    view = getattr(view_kernels, name).compile()
    if jit.python_only():
        return view
    import numba

    callers = {1: lambda table: view(table), 4: lambda row, first, rows, columns: view(row, first, rows, columns)}
    return numba.njit(callers[count])


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, np.bool_])
@pytest.mark.parametrize("shape", [(3, 5), (1, 4), (4, 1), (0, 3), (3, 0), (2, 3, 4)])
def test_all_numbers_as_a_row(shape, dtype):
    table = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    for view in (compiled("as_row", 1), view_kernels.as_row.python):
        row = view(table)
        np.testing.assert_array_equal(row, table.ravel())
        assert row.dtype == dtype and row.flags.c_contiguous and (row.size == 0 or np.shares_memory(row, table))


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
@pytest.mark.parametrize(("first", "rows", "columns"), [(0, 4, 5), (3, 2, 7), (19, 1, 1), (20, 0, 5), (2, 6, 3), (5, 3, 0)])
def test_a_row_as_a_table(first, rows, columns, dtype):
    row = np.arange(20).astype(dtype)
    for view in (compiled("as_table", 4), view_kernels.as_table.python):
        table = view(row, first, rows, columns)
        np.testing.assert_array_equal(table, row[first : first + rows * columns].reshape(rows, columns))
        assert table.dtype == dtype and table.flags.c_contiguous and (table.size == 0 or np.shares_memory(table, row))
        table[...] = 1
    assert (row[first : first + rows * columns] == 1).all() and (row == 1).sum() <= rows * columns + 1


@pytest.mark.skipif(jit.python_only(), reason="nothing is compiled")
def test_a_view_outlives_what_it_was_made_of():
    view = compiled("as_table", 4)
    tables = [view(np.full(1000, float(i)), 10, 20, 30) for i in range(50)]
    assert all((table == i).all() for i, table in enumerate(tables))


@pytest.mark.skipif(jit.python_only(), reason="nothing is compiled")
def test_numbers_that_do_not_follow_one_another_have_no_view():
    import numba

    with pytest.raises(numba.TypingError):
        compiled("as_row", 1)(np.zeros((4, 6))[:, ::2])


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 160, 161])
def test_whole_lines_hold_as_many_numbers(count):
    whole = view_kernels.whole_lines.python(count)
    assert count <= whole < count + 16 and whole % 16 == 0
