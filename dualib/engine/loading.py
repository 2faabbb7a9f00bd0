"""The compiled functions, read from numba's cache or compiled at their first use, and what happens where the cache is broken."""

from __future__ import annotations

import functools
import importlib
import sys
import threading
import warnings
from types import ModuleType

from dualib.warnings import CacheWarning

_lock = threading.RLock()
use_cache = True  # read by these modules when they are imported


def loaded(name: str) -> ModuleType:
    """A module of compiled functions by its name, ready; importing it imports numba, which takes a quarter of a second.

    Warns
    -----
    CacheWarning
        Once, if the cache cannot be used (read-only, full, truncated): then all is compiled anew in this process.
    """
    with _lock:
        return _loaded(name)


def compiled() -> ModuleType:
    """The module `dualib.engine.compiled`."""
    with _lock:
        return _loaded("dualib.engine.compiled")


def compiled_cells() -> ModuleType:
    """The module `dualib.engine.compiled_cells`."""
    with _lock:
        return _loaded("dualib.engine.compiled_cells")


@functools.cache
def _loaded(name: str) -> ModuleType:
    import numba

    global use_cache
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", numba.NumbaWarning)
            return importlib.import_module(name)
    except numba.core.errors.NumbaError as error:
        if not isinstance(error, Warning):
            raise  # a function itself is at fault
        reason: Exception = error
    except Exception as error:  # a broken cache raises OSError, EOFError, pickle's errors, RuntimeError, ...
        reason = error
    warnings.warn(
        f"the cache of compiled functions cannot be used ({type(reason).__name__}: {reason}); they are compiled anew in this"
        " process. Set NUMBA_CACHE_DIR to a writable folder, or delete the __pycache__ folders of dualib, to mend this.",
        CacheWarning,
        stacklevel=4,
    )
    use_cache = False
    sys.modules.pop(name, None)
    return importlib.import_module(name)
