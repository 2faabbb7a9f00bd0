"""One BLAS thread for small problems, where threads that wait for each other cost far more than they do.

The linear algebra here is thousands of products and factorisations of small matrices. A threaded BLAS splits even these, and on a
busy machine its threads spin: the letters of the demo then take several times as long. With threadpoolctl installed (scikit-learn
brings it, and so does the extra "threads") the solvers ask for one thread while they run, which also makes results independent of
the number of threads. Without it, set OPENBLAS_NUM_THREADS=1 before numpy is imported, as the command line does.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

_SMALL = 200_000  # cells of p(x,y) up to which one thread is asked for

Call = TypeVar("Call", bound=Callable[..., Any])


@functools.cache
def _controller() -> Any:
    """What sets the threads of the loaded BLAS libraries; None without threadpoolctl."""
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return None
    import scipy.linalg  # noqa: F401  its own BLAS must be loaded to be found

    return ThreadpoolController()


class _Limit:
    """The limit in force: how many ask for it now, and what restores the number of threads from before the first of them.

    That number belongs to the whole process. Were each call to restore what it found, the first of two overlapping ones to end would
    give the other one more threads in the middle of its work, and the last would leave one thread for good.
    """

    def __init__(self) -> None:
        self._lock, self._users, self._first = threading.Lock(), 0, None

    def enter(self, controller: Any) -> None:
        with self._lock:
            limiter = controller.limit(limits=1, user_api="blas")  # by each, as OpenMP keeps a number for each thread
            if not self._users:
                self._first = limiter
            self._users += 1

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            if not self._users and self._first is not None:
                self._first.restore_original_limits()
                self._first = None


_limit = _Limit()
if hasattr(os, "register_at_fork"):  # a child has none of the threads that asked for the limit, or that hold its lock
    os.register_at_fork(after_in_child=lambda: _limit.__init__())  # type: ignore[misc]


@contextlib.contextmanager
def single_blas_thread() -> Iterator[None]:
    """One BLAS thread in this process until the last of all such contexts, nested or in other threads, has ended."""
    controller = _controller()
    if controller is None:
        yield
        return
    _limit.enter(controller)
    try:
        yield
    finally:
        _limit.leave()


def blas_threads_for(args: tuple[Any, ...], options: dict[str, Any]) -> contextlib.AbstractContextManager[None]:
    """One BLAS thread where the problem of a call, of a joint distribution or what has one, is small or sparse."""
    first = args[0] if args else options.get("joint", options.get("solution"))
    first = getattr(first, "problem", first)
    joint = getattr(first, "joint", first)
    size = getattr(joint, "n_x", 0) * getattr(joint, "n_y", 0)
    alone = 0 < size <= _SMALL or getattr(joint, "is_sparse", False)  # sparse products are on one thread
    return single_blas_thread() if alone else contextlib.nullcontext()


def one_blas_thread(call: Call) -> Call:
    """Run a function of a joint distribution, or of what has one, with one BLAS thread where the problem is small or sparse."""

    @functools.wraps(call)
    def limited(*args: Any, **options: Any) -> Any:
        with blas_threads_for(args, options):
            return call(*args, **options)

    return limited  # type: ignore[return-value]
