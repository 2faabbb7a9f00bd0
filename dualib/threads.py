"""One BLAS thread for small problems, where threads that wait for each other cost far more than they do.

The linear algebra here is thousands of products and factorisations of small matrices. A threaded BLAS splits even these, and on a
busy machine its threads spin: the letters of the demo then take several times as long. With threadpoolctl installed (scikit-learn
brings it, and so does the extra "threads") the solvers ask for one thread while they run, which also makes results independent of
the number of threads. Without it, set OPENBLAS_NUM_THREADS=1 before numpy is imported, as the command line does.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
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


def one_blas_thread(call: Call) -> Call:
    """Run a function of a joint distribution, or of a solution, with one BLAS thread where the problem is small."""

    @functools.wraps(call)
    def limited(*args: Any, **options: Any) -> Any:
        first = args[0] if args else options.get("joint", options.get("solution"))
        joint = getattr(first, "joint", first)
        size = getattr(joint, "n_x", 0) * getattr(joint, "n_y", 0)
        controller = _controller() if 0 < size <= _SMALL else None
        if controller is None:
            return call(*args, **options)
        with controller.limit(limits=1, user_api="blas"):
            return call(*args, **options)

    return limited  # type: ignore[return-value]
