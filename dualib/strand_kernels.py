"""Sums and maxima over rows in eight strands, as vectors: a single strand would wait for itself at every number.

Number i goes to strand ``i % 8``, and the strands are joined in a written order, so that Python and compiled code, on any processor,
give the same bits. LLVM makes no vectors of such loops by itself: it would have to reorder sums.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from dualib.jit import intrinsic, machine

_STRANDS = 8


def _reduction(names: str, term: Callable[..., Any], join: Callable[..., Any], idle: float) -> Any:
    """Machine code that joins `term` of all numbers of rows, named by `names`; `idle` stands for numbers past the end.

    `term` and `join` take a builder and vectors. An argument that is no array is a number that all strands start from.
    """
    from llvmlite import ir
    from numba import types
    from numba.core import cgutils

    word, short = ir.IntType(64), ir.IntType(32)

    def of(kind: Any, values: Any = ir.Undefined) -> Any:
        """A constant vector."""
        return ir.Constant(ir.VectorType(kind, _STRANDS), values)

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        arrays = [
            context.make_array(kind)(context, builder, value)
            for kind, value in zip(signature.args, arguments, strict=True)
            if isinstance(kind, types.Array)
        ]
        number, (length,) = context.get_value_type(signature.return_type), cgutils.unpack_tuple(builder, arrays[0].shape)
        size = context.get_abi_sizeof(number)
        vector, name = ir.VectorType(number, _STRANDS), f"v{_STRANDS}f{8 * size}"

        def spread(value: Any) -> Any:
            first = builder.insert_element(of(value.type), value, short(0))
            return builder.shuffle_vector(first, first, of(short, [0] * _STRANDS))

        def after(strands: Any, at: Any, load: Callable[[Any], Any]) -> Any:
            """The strands after the numbers from `at` on."""
            places = (builder.gep(array.data, [at]) for array in arrays)
            rows = [load(builder.bitcast(place, vector.as_pointer())) for place in places]
            return join(builder, strands, term(builder, *rows))

        def part(place: Any) -> Any:
            """The numbers up to the end of the row."""
            kinds = [place.type, short, mask.type, vector]
            pointer = f"p0{name}" if str(place.type).endswith("*") else "p0"
            load = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(vector, kinds), f"llvm.masked.load.{name}.{pointer}"
            )
            return builder.call(load, [place, short(size), mask, of(number, [idle] * _STRANDS)])

        start = spread(arguments[-1] if len(arrays) < len(arguments) else number(0.0))
        strands = cgutils.alloca_once_value(builder, start)
        blocks = builder.lshr(length, word(3))
        with cgutils.for_range(builder, blocks) as loop:
            at = builder.shl(loop.index, word(3))
            builder.store(after(builder.load(strands), at, lambda place: builder.load(place, align=size)), strands)
        mask = builder.icmp_unsigned("<", of(word, list(range(_STRANDS))), spread(builder.and_(length, word(_STRANDS - 1))))
        found = after(builder.load(strands), builder.shl(blocks, word(3)), part)
        for half in (4, 2, 1):
            kind = ir.VectorType(short, half)
            halves = (ir.Constant(kind, list(range(first, first + half))) for first in (0, half))
            found = join(builder, *(builder.shuffle_vector(found, found, places) for places in halves))
        return builder.extract_element(found, short(0))

    def typed(*kinds: Any) -> Any:
        arrays = [kind for kind in kinds if isinstance(kind, types.Array)]
        number = arrays[0].dtype
        if any(kind.layout != "C" or kind.ndim != 1 or kind.dtype != number for kind in arrays):
            return None  # numbers that do not follow one another
        return number(*(kind if isinstance(kind, types.Array) else number for kind in kinds)), build

    return intrinsic(names.split(), typed)


def _plus(builder: Any, first: Any, second: Any) -> Any:
    return builder.fadd(first, second)


def _higher(builder: Any, first: Any, second: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", second, first), second, first)


def _product_of_moves(builder: Any, *rows: Any) -> Any:
    a, b, c, d = rows
    return builder.fmul(builder.fsub(b, a), builder.fsub(d, c))


def _joined(terms: Iterable[float], join: Callable[[float, float], float], start: float) -> Any:
    """The same in Python."""
    strands = [start] * _STRANDS
    for i, term in enumerate(terms):
        strands[i % _STRANDS] = join(strands[i % _STRANDS], term)
    while len(strands) > 1:
        half = len(strands) // 2
        strands = [join(a, b) for a, b in zip(strands[:half], strands[half:], strict=True)]
    return np.float64(strands[0])


def _sum(a: float, b: float) -> float:
    return a + b


@machine(lambda: _reduction("row", lambda builder, row: row, _plus, 0.0))
def total(row):  # type: ignore[no-untyped-def]
    """The sum of a row."""
    return _joined(row.tolist(), _sum, 0.0)


@machine(lambda: _reduction("row least", lambda builder, row: row, _higher, -np.inf))
def highest(row, least):  # type: ignore[no-untyped-def]
    """The largest of a row and `least`."""
    return _joined(row.tolist(), max, float(least))


@machine(lambda: _reduction("a b", lambda builder, a, b: builder.fmul(a, b), _plus, 0.0))
def inner(a, b):  # type: ignore[no-untyped-def]
    """The inner product of two rows."""
    return _joined((x * y for x, y in zip(a.tolist(), b.tolist(), strict=False)), _sum, 0.0)


@machine(lambda: _reduction("a b c d", _product_of_moves, _plus, 0.0))
def inner_of_moves(a, b, c, d):  # type: ignore[no-untyped-def]
    """``<b - a, d - c>`` of four rows."""
    rows = (row.tolist() for row in (a, b, c, d))
    return _joined(((x - w) * (z - y) for w, x, y, z in zip(*rows, strict=True)), _sum, 0.0)
