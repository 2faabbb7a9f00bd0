"""The compiled functions, read from numba's cache or compiled at their first use, and what happens where the cache is broken."""

from __future__ import annotations

import contextlib
import functools
import importlib
import sys
import threading
import warnings
from collections.abc import Iterator
from types import ModuleType

from dualib.warnings import CacheWarning

MODULES = ("dualib.engine.compiled", "dualib.engine.compiled_cells", "dualib.clusters.compiled")
PATIENCE = 1.5  # seconds of work on compiled functions after which whoever waits is told
NOTICE = "dualib: compiling, once on this machine; some 15 seconds\n"

_lock = threading.RLock()
use_cache = True  # read by these modules when they are imported
speaks = False  # whether to tell of the compiling wherever stderr goes: the command line does


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
    return loaded("dualib.engine.compiled")


def compiled_cells() -> ModuleType:
    """The module `dualib.engine.compiled_cells`."""
    return loaded("dualib.engine.compiled_cells")


def compile_kernels() -> None:
    """Make all compiled functions ready now: read from the cache, or compiled, which takes some 15 seconds, once on a machine.

    They are otherwise compiled when they are first needed. This is for images of containers, and before measurements.

    Warns
    -----
    CacheWarning
        The cache cannot be used, so that every process compiles them anew.
    """
    for name in MODULES:
        loaded(name)


@functools.cache
def _loaded(name: str) -> ModuleType:
    with _announced():
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


@contextlib.contextmanager
def _announced() -> Iterator[None]:
    """Tell on stderr what is going on, where it takes longer than reading a cache does and a person is there to read it."""
    if not (speaks or "ipykernel" in sys.modules or (sys.stderr is not None and sys.stderr.isatty())):
        yield
        return
    timer = threading.Timer(PATIENCE, _tell)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@functools.cache
def _tell() -> None:
    """Once in a process."""
    if sys.stderr is not None:
        sys.stderr.write(NOTICE)
        sys.stderr.flush()
