"""Products of matrices by BLAS inside kernels, without what `np.dot` does around the call, which small products feel.

The routines are those of SciPy's `cython_blas`, which numba's `np.dot` calls too.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from dualib.jit import machine

_ROUTINES = {"dgemm": 6, "sgemm": 6, "dgemv": 5, "sgemv": 5}  # and how many of their arguments are integers


def known_routines() -> bool:
    """Whether the integers of `cython_blas` are C's int, as the names of its functions say."""
    from scipy.linalg import cython_blas

    name_of = ctypes.pythonapi.PyCapsule_GetName
    name_of.restype, name_of.argtypes = ctypes.c_char_p, [ctypes.py_object]
    return all(name_of(cython_blas.__pyx_capi__[name]).count(b"int *") == count for name, count in _ROUTINES.items())


def _into() -> Any:
    """Machine code for `by_blas`: one call, of gemm or of gemv."""
    import numba
    from llvmlite import binding, ir
    from numba.core import cgutils
    from numba.extending import get_cython_function_address, intrinsic

    if not known_routines():
        options: dict[str, Any] = {"nogil": True, "_nrt": True}  # called from leaves, too
        return numba.njit(**options)(_by_numba)
    for name in _ROUTINES:  # also for code that comes from the cache
        binding.add_symbol(f"dualib_{name}", get_cython_function_address("scipy.linalg.cython_blas", name))
    whole, letter = ir.IntType(32), ir.IntType(8)

    def routine(builder: Any, name: str, arguments: list[Any]) -> None:
        """Call it, every argument but an array's address by reference."""
        given = [a if isinstance(a.type, ir.PointerType) else cgutils.alloca_once_value(builder, a) for a in arguments]
        kind = ir.FunctionType(ir.VoidType(), [pointer.type for pointer in given])
        builder.call(cgutils.get_or_insert_function(builder.module, kind, f"dualib_{name}"), given)

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        arrays = [context.make_array(t)(context, builder, value) for t, value in zip(signature.args, arguments, strict=True)]
        a, b, out = (array.data for array in arrays)
        shapes = [[builder.trunc(x, whole) for x in cgutils.unpack_tuple(builder, array.shape)] for array in arrays]
        number, one = context.get_value_type(signature.args[2].dtype), ir.Constant(whole, 1)
        scale, nothing = ir.Constant(number, 1.0), ir.Constant(number, 0.0)
        prefix = "d" if isinstance(number, ir.DoubleType) else "s"

        def stored(which: int, *, plain: bytes, turned: bytes) -> tuple[Any, Any]:
            """How a matrix is stored, as a letter, and from one of its rows or columns to the next."""
            rows, columns = shapes[which]
            by_rows = signature.args[which].layout == "C"
            stride = columns if by_rows else rows
            stride = builder.select(builder.icmp_signed(">", stride, one), stride, one)
            return ir.Constant(letter, (plain if by_rows else turned)[0]), stride

        if signature.args[2].ndim == 2:  # what is stored by rows is to BLAS its transpose
            left, right = stored(0, plain=b"N", turned=b"T"), stored(1, plain=b"N", turned=b"T")
            (m, n), k = shapes[2], shapes[0][1]
            into = builder.select(builder.icmp_signed(">", n, one), n, one)
            routine(builder, prefix + "gemm", [right[0], left[0], n, m, k, scale, b, right[1], a, left[1], nothing, out, into])
        else:
            which = 0 if signature.args[0].ndim == 2 else 1
            matrix, vector = (a, b) if which == 0 else (b, a)
            plain, turned = (b"T", b"N") if which == 0 else (b"N", b"T")
            how, stride = stored(which, plain=plain, turned=turned)
            size = context.get_constant(numba.types.intp, context.get_abi_sizeof(number))
            length = builder.mul(cgutils.unpack_tuple(builder, arrays[2].shape)[0], size)
            cgutils.memset(builder, out, length, 0)  # BLAS leaves it as it is where the matrix has no entries
            first, second = shapes[which] if signature.args[which].layout == "F" else shapes[which][::-1]
            routine(builder, prefix + "gemv", [how, first, second, scale, matrix, stride, vector, one, nothing, out, one])
        return context.get_dummy_value()

    @intrinsic
    def by_blas(context, a, b, out):  # type: ignore[no-untyped-def]
        if {a.layout, b.layout, out.layout} <= {"C", "F"} and out.layout == "C" and a.dtype == b.dtype == out.dtype:
            return numba.types.void(a, b, out), build
        return None

    return by_blas


def _by_numba(a, b, out):  # type: ignore[no-untyped-def]
    np.dot(a, b, out)


@machine(_into)
def by_blas(a, b, out):  # type: ignore[no-untyped-def]
    """The product of two matrices, or of one and a vector on either side, into `out`, each stored by rows or by columns."""
    np.dot(a, b, out)
