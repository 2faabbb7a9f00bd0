"""One decorator for all compiled kernels: eager, cached on disk, and never the reason for a crash.

A kernel is compiled (or read from numba's on-disk cache) when its module is imported, for the single signature
that it declares. Every hazard of the cache - a read-only installation, a full disk, a truncated index - thus shows up
here, in one place, and costs one `CacheWarning` and a slower start.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numba

from dualib.warnings import CacheWarning

_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
_warned = False


def kernel(signature: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile a function for one signature, through the on-disk cache where that works.

    Parameters
    ----------
    signature : str
        The numba signature, e.g. ``"float64(float64[::1])"``.

    Returns
    -------
    callable
        The decorator. Under ``NUMBA_DISABLE_JIT=1`` the function stays as it is.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", numba.NumbaWarning)
                return numba.njit(signature, cache=True, **_OPTIONS)(function)
        except numba.core.errors.NumbaError:
            raise  # the kernel itself is at fault
        except Exception as error:  # a broken cache raises OSError, EOFError, pickle's errors, RuntimeError, ...
            _warn_once(error)
        return numba.njit(signature, **_OPTIONS)(function)

    return decorate


def _warn_once(error: Exception) -> None:
    global _warned
    if _warned:
        return
    _warned = True
    warnings.warn(
        f"the cache of compiled kernels cannot be used ({type(error).__name__}: {error}); they are compiled anew in this"
        " process. Set NUMBA_CACHE_DIR to a writable folder, or delete dualib's __pycache__ folder, to mend this.",
        CacheWarning,
        stacklevel=3,
    )
