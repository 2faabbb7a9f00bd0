"""The numbers of an array, which follow one another there, in another shape: views, not copies.

NumPy's `reshape`, which numba calls, takes longer than the arithmetic on small arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dualib.jit import intrinsic, leaf, machine

_LINE = 16  # numbers of single precision in a line of the cache


def _view(names: str, ndim: int, place: Callable[..., tuple[Any, list[Any]]]) -> Any:
    """Machine code for a view of the first of the arguments named: `place` tells where that begins, and its shape.

    It takes the array and integers.
    """
    from numba import types
    from numba.core.imputils import impl_ret_borrowed
    from numba.np.arrayobj import populate_array

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        first, shape = place(array, *arguments[1:])
        strides = [array.itemsize]
        for length in shape[:0:-1]:
            strides.insert(0, builder.mul(strides[0], length))
        data = array.data if first is None else builder.gep(array.data, [first])
        view = context.make_array(signature.return_type)(context, builder)
        populate_array(view, data, shape, strides, array.itemsize, array.meminfo, array.parent)
        return impl_ret_borrowed(context, builder, signature.return_type, view._getvalue())

    def typed(array: Any, *integers: Any) -> Any:
        if not isinstance(array, types.Array) or array.layout != "C":
            return None  # numbers that do not follow one another
        return array.copy(ndim=ndim)(array, *(types.intp for _ in integers)), build

    return intrinsic(names.split(), typed)


@machine(lambda: _view("table", 1, lambda table: (None, [table.nitems])))
def as_row(table):  # type: ignore[no-untyped-def]
    """All numbers of a table as one row."""
    return table.reshape(table.size)


@machine(lambda: _view("row first rows columns", 2, lambda row, first, rows, columns: (first, [rows, columns])))
def as_table(row, first, rows, columns):  # type: ignore[no-untyped-def]
    """A table (rows, columns) of the numbers of a row from `first` on."""
    return row[first : first + rows * columns].reshape((rows, columns))


@leaf
def whole_lines(count):  # type: ignore[no-untyped-def]
    """So many numbers and what fills up their last line of the cache: vectors across two lines take longer."""
    return (count + _LINE - 1) // _LINE * _LINE
