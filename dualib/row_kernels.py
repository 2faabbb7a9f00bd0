"""Exponentials and logarithms of rows of numbers, written out.

A call of the C library's, one number at a time, costs eight times as much; and these give the same bits as Python and compiled,
but for those with products and sums `fused` and those in single precision, which are for problems too large to be interpreted.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from dualib.jit import fused, helper, leaf, machine

_LOG2E = 1.4426950408889634
_LN2_HI = 6.93147180369123816490e-01  # ln 2 split in two (Cody and Waite), so that k * _LN2_HI is exact
_LN2_LO = 1.90821492927058770002e-10
_ROUND = 6755399441055744.0  # 1.5 * 2**52: adding it rounds to an integer, left in the low bits
_ROOT2 = 1.4142135623730951
_BIAS = 4503599627371519.0  # 2**52 + 1023
_LOWEST = -708.0  # exp below this is taken as exactly 0
TINY = 1e-300  # stands for smaller numbers in logarithms and quotients
_1 = np.float32  # the same in single precision, in which every constant has to be of it
_LOG2E_1, _ROUND_1, _ROOT2_1 = _1(1.4426950408889634), _1(12582912.0), _1(1.4142135623730951)
_LN2_HI_1, _LN2_LO_1 = _1(0.693359375), _1(-2.12194440e-4)
_BIAS_1, _LOWEST_1 = _1(8388735.0), _1(-87.0)
_0_1, _HALF_1, _1_1, _2_1 = _1(0.0), _1(0.5), _1(1.0), _1(2.0)
_EXP_1 = (_1(0.5), _1(0.16666577), _1(0.04166655), _1(0.00836317), _1(0.00139262))
_LOG_1 = (_1(2.0 / 3.0), _1(0.4), _1(2.0 / 7.0))


def _on_bits(change: Callable[[Any, Any, Any], Any], *, single: bool = False) -> Any:
    """Machine code for a function of a number by its bits: `change` takes a builder, the bits, and what makes constants."""
    from llvmlite import ir
    from numba import types
    from numba.extending import intrinsic

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        whole = ir.IntType(32 if single else 64)
        bits = change(builder, builder.bitcast(arguments[0], whole), functools.partial(ir.Constant, whole))
        return builder.bitcast(bits, ir.FloatType() if single else ir.DoubleType())

    number = types.float32 if single else types.float64
    return intrinsic(lambda context, value: (number(number), build))


@machine(lambda: _on_bits(lambda builder, bits, number: builder.shl(builder.add(bits, number(1023)), number(52))))
def power_of_two(shifted):  # type: ignore[no-untyped-def]
    """``2**k``, k being an integer, given as ``k + _ROUND``; its low bits hold k."""
    return math.ldexp(1.0, int(shifted - _ROUND)) if shifted == shifted else math.nan


@machine(
    lambda: _on_bits(lambda builder, bits, number: builder.or_(builder.and_(bits, number(2**52 - 1)), number(1023 << 52)))
)
def mantissa(value):  # type: ignore[no-untyped-def]
    """The mantissa of a normal number > 0, from 1 up to 2."""
    return 2.0 * math.frexp(value)[0]


@machine(lambda: _on_bits(lambda builder, bits, number: builder.or_(builder.lshr(bits, number(52)), number(1075 << 52))))
def biased_exponent(value):  # type: ignore[no-untyped-def]
    """``2**52 + 1023`` and the exponent of a normal number > 0."""
    return _BIAS + (math.frexp(value)[1] - 1)


def _vectors() -> Any:
    """Machine code for `wide_vectors`: an attribute of the function that calls it, which would lose it where it is inlined."""
    from numba import types
    from numba.extending import intrinsic

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        attributes = builder.function.attributes
        if isinstance(attributes, set):  # which llvmlite may come to keep otherwise: it knows no attributes with values
            attributes.add("noinline")
            set.add(attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return intrinsic(lambda context: (types.void(), build))


@machine(_vectors)
def wide_vectors():  # type: ignore[no-untyped-def]
    """Have the caller's loops work on vectors of 512 bits where there are any: by itself LLVM takes 256."""


@leaf
def put(source, target):  # type: ignore[no-untyped-def]
    """Copy a row into another, as much as both hold: assigning arrays takes a copy in between, and long to compile."""
    for i in range(min(source.shape[0], target.shape[0])):
        target[i] = source[i]


@leaf
def logarithm(value):  # type: ignore[no-untyped-def]
    """The logarithm of a normal number > 0, to about 1 ulp: the method of fdlibm, Sun Microsystems 1993."""
    m, k = mantissa(value), biased_exponent(value) - _BIAS
    large = m > _ROOT2
    m = 0.5 * m if large else m
    k = k + (1.0 if large else 0.0)
    f = m - 1.0
    s = f / (2.0 + f)
    z = s * s
    w = z * z
    even = w * (0.3999999999940941908 + w * (0.2222219843214978396 + w * 0.1531383769920937332))
    odd = z * (0.6666666666666735130 + w * (0.2857142874366239149 + w * (0.1818357216161805012 + w * 0.1479819860511658591)))
    half = 0.5 * f * f
    return k * _LN2_HI - ((half - (s * (half + (even + odd)) + k * _LN2_LO)) - f)


@leaf
def log_row(values):  # type: ignore[no-untyped-def]
    """Replace `values` (normal numbers > 0) by their logarithms."""
    wide_vectors()
    for i in range(values.shape[0]):
        values[i] = logarithm(values[i])


def _exponential(value):  # type: ignore[no-untyped-def]
    """The exponential of a number <= 0, or -inf, to about 1 ulp; below exp(-708) exactly 0."""
    x = max(value, _LOWEST)
    shifted = x * _LOG2E + _ROUND
    k = shifted - _ROUND
    r = (x - k * _LN2_HI) - k * _LN2_LO
    # a polynomial of degree 11 that differs from exp by 3.4e-17, relative, at most where |r| <= ln(2)/2; its first
    # coefficients are Taylor's, the others interpolate (exp(r) - 1 - r - r^2/2) / r^3 in the nodes of Chebyshev
    second = r * r
    fourth = second * second
    a = 1.0 + r
    b = 0.5 + r * 0.16666666666666666
    c = 0.04166666666665136 + r * 0.008333333333332155
    d = 0.0013888888905881542 + r * 0.0001984126985433861
    e = 2.4801536388690766e-05 + r * 2.755728006701698e-06
    f = 2.761380686153829e-07 + r * 2.5095554677111112e-08
    s = (a + second * b) + fourth * ((c + second * d) + fourth * (e + second * f))
    return s * power_of_two(shifted) if value >= _LOWEST else 0.0


exponential = leaf(_exponential)
exponential_fused = fused(_exponential)


@leaf
def exp_row(values):  # type: ignore[no-untyped-def]
    """Replace `values` (all <= 0, -inf allowed) by their exponentials, to about 1 ulp; below exp(-708) exactly 0."""
    wide_vectors()
    for i in range(values.shape[0]):
        values[i] = exponential(values[i])


@leaf
def exp_in(values, large):  # type: ignore[no-untyped-def]
    """`exp_row`, or faster, with sums and products fused, where the problem is so `large` that no kernel is interpreted."""
    wide_vectors()
    if large:
        for i in range(values.shape[0]):
            values[i] = exponential_fused(values[i])
    else:
        exp_row(values)


@leaf
def exp_less(values, more, top, sums, large):  # type: ignore[no-untyped-def]
    """Replace `values` by the exponentials of what they and `more` are less than `top`, and add these to `sums`.

    `large` as of `exp_in`.
    """
    wide_vectors()
    if large:
        for i in range(values.shape[0]):
            values[i] = exponential_fused((values[i] + more) - top[i])
            sums[i] += values[i]
    else:
        for i in range(values.shape[0]):
            values[i] = exponential((values[i] + more) - top[i])
            sums[i] += values[i]


@helper
def single(array):  # type: ignore[no-untyped-def]
    """An array in single precision."""
    return array.astype(np.float32)


@machine(lambda: _on_bits(lambda builder, bits, number: builder.shl(builder.add(bits, number(127)), number(23)), single=True))
def _power_of_two_1(shifted):  # type: ignore[no-untyped-def]
    """`power_of_two` in single precision, given as ``k + _ROUND_1``."""
    return _1(math.ldexp(1.0, int(shifted - _ROUND_1))) if shifted == shifted else _1(math.nan)


@machine(
    lambda: _on_bits(
        lambda builder, bits, number: builder.or_(builder.and_(bits, number(2**23 - 1)), number(127 << 23)), single=True
    )
)
def _mantissa_1(value):  # type: ignore[no-untyped-def]
    """`mantissa` in single precision."""
    return _1(2.0 * math.frexp(value)[0])


@machine(
    lambda: _on_bits(lambda builder, bits, number: builder.or_(builder.lshr(bits, number(23)), number(150 << 23)), single=True)
)
def _biased_exponent_1(value):  # type: ignore[no-untyped-def]
    """``2**23 + 127`` and the exponent of a normal number > 0 in single precision."""
    return _1(_BIAS_1 + (math.frexp(value)[1] - 1))


@fused
def _exponential_1(value):  # type: ignore[no-untyped-def]
    """The exponential of a number <= 0, or -inf, in single precision, to 1e-7; below exp(-87) exactly 0."""
    c2, c3, c4, c5, c6 = _EXP_1
    x = max(value, _LOWEST_1)
    shifted = x * _LOG2E_1 + _ROUND_1
    k = shifted - _ROUND_1
    r = (x - k * _LN2_HI_1) - k * _LN2_LO_1
    second = r * r  # as of `_exponential`: (exp(r) - 1 - r) / r^2 interpolated in the nodes of Chebyshev
    s = (_1_1 + r) + second * ((c2 + r * c3) + second * ((c4 + r * c5) + second * c6))
    return s * _power_of_two_1(shifted) if value >= _LOWEST_1 else _0_1


@leaf
def exp_single(values):  # type: ignore[no-untyped-def]
    """`exp_row` in single precision, to 1e-7; below exp(-87) exactly 0."""
    for i in range(values.shape[0]):
        values[i] = _exponential_1(values[i])


@leaf
def exp_less_single(values, top, sums):  # type: ignore[no-untyped-def]
    """`exp_less` in single precision."""
    for i in range(values.shape[0]):
        values[i] = _exponential_1(values[i] - top[i])
        sums[i] += values[i]


@fused
def log_single(values):  # type: ignore[no-untyped-def]
    """Replace `values` (normal numbers > 0), in single precision, by their logarithms, to 1e-7: by the series of artanh."""
    c1, c2, c3 = _LOG_1
    for i in range(values.shape[0]):
        m, k = _mantissa_1(values[i]), _biased_exponent_1(values[i]) - _BIAS_1
        large = m > _ROOT2_1
        m = _HALF_1 * m if large else m
        k = k + (_1_1 if large else _0_1)
        f = m - _1_1
        s = f / (_2_1 + f)
        z = s * s
        values[i] = k * _LN2_HI_1 + ((_2_1 * s + s * (z * (c1 + z * (c2 + z * c3)))) + k * _LN2_LO_1)
