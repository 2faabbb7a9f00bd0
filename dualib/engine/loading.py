"""The compiled functions, read from numba's cache or compiled at their first use, and what happens where the cache is broken."""

from __future__ import annotations

import contextlib
import functools
import importlib
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any, NamedTuple

from dualib.doors import is_watched, logger
from dualib.warnings import CacheWarning

MODULES = ("dualib.engine.compiled", "dualib.engine.compiled_cells", "dualib.clusters.compiled")
PATIENCE = 1.5  # seconds of work on compiled functions after which whoever waits is told
NOTICE = "dualib: preparing its compiled functions; the first time on a machine this takes some ten seconds\n"

_lock = threading.RLock()
use_cache = True  # read by these modules when they are imported


class KernelRecord(NamedTuple):
    """What has become of one compiled function in this process.

    Attributes
    ----------
    name : str
        ``module.function``.
    signature : str
        The one numba signature that it is compiled for.
    state : {"loaded", "compiled", "python"}
        Read from the on-disk cache; compiled in this process; left as Python under ``NUMBA_DISABLE_JIT=1``.
    seconds : float
        Its part of what was spent now on loading or compiling all of its module, numba's own import included.
    """

    name: str
    signature: str
    state: str
    seconds: float


def compile_kernels() -> list[KernelRecord]:
    """Read all compiled functions from the on-disk cache, or compile them: some seconds the first time, a part of one later.

    Nothing needs this. It moves the cost to where it suits: before a measurement of time, into the build of a container.

    Returns
    -------
    list of KernelRecord
        With the fields name, signature, state ("loaded", "compiled" or "python") and seconds.

    Warns
    -----
    CacheWarning
        If the cache cannot be used.

    Examples
    --------
    >>> import dualib
    >>> records = dualib.compile_kernels()
    >>> {record.state for record in records} <= {"loaded", "compiled", "python"}
    True
    """
    records = []
    for name in MODULES:
        start = time.perf_counter()
        own = _functions_of(loaded(name), name)
        seconds = time.perf_counter() - start
        for key, value in own.items():
            signature = ", ".join(map(str, getattr(value, "signatures", ())))
            records.append(KernelRecord(f"{name}.{key}", signature, _state_of(value), seconds / len(own)))
    return records


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


@functools.cache
def _loaded(name: str) -> ModuleType:
    start = time.perf_counter()
    module = _imported(name)
    states = sorted({_state_of(function) for function in _functions_of(module, name).values()})
    logger.info("%s: %s in %.2f s", name, " and ".join(states), time.perf_counter() - start)
    return module


def _functions_of(module: ModuleType, name: str) -> dict[str, Any]:
    """The functions of its own that a module has."""
    members = vars(module).items()
    return {key: value for key, value in members if getattr(value, "__module__", None) == name and callable(value)}


def _state_of(function: Any) -> str:
    hits = getattr(getattr(function, "stats", None), "cache_hits", None)
    return "python" if hits is None else "loaded" if sum(hits.values()) else "compiled"


def _imported(name: str) -> ModuleType:
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
            stacklevel=5,
        )
        use_cache = False
        sys.modules.pop(name, None)
        return importlib.import_module(name)


@contextlib.contextmanager
def _announced() -> Iterator[None]:
    """Tell on stderr what is going on, where it takes longer than reading a cache does and a person is there to read it."""
    if not is_watched():
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
