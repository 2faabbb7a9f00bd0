"""The warnings of dualib, in one small hierarchy so that they can be filtered together; and where those of many tasks go."""

from __future__ import annotations

import contextlib
import contextvars
import warnings
from collections.abc import Iterator


class DualibWarning(UserWarning):
    """Base class of every warning that dualib raises.

    Examples
    --------
    >>> import dualib
    >>> issubclass(dualib.ConvergenceWarning, dualib.DualibWarning)
    True
    """


class ConvergenceWarning(DualibWarning):
    """A tolerance was not reached; the message gives beta, the certified gap and the remedy.

    Examples
    --------
    >>> import dualib
    >>> import warnings
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     solution = dualib.solve(dualib.datasets.load_letters(0.5), 8.0, max_iter=2)
    ...
    >>> [warning.category.__name__ for warning in caught], solution.converged
    (['ConvergenceWarning'], False)
    """


class CacheWarning(DualibWarning):
    """The on-disk cache of compiled functions cannot be used: they are compiled in every process.

    Examples
    --------
    >>> import dualib
    >>> import warnings
    >>> warnings.simplefilter("ignore", dualib.CacheWarning)  # where compiling in every process is meant
    """


_collected: contextvars.ContextVar[list[str] | None] = contextvars.ContextVar("collected", default=None)


def warn_of_convergence(message: str, stacklevel: int = 2) -> None:
    """A `ConvergenceWarning`; inside `convergence_collected`, an entry in its list instead.

    Parameters
    ----------
    message : str
    stacklevel : int
        As of `warnings.warn`, counted from the caller.
    """
    collected = _collected.get()
    if collected is not None:
        collected.append(message)
        return
    warnings.warn(message, ConvergenceWarning, stacklevel=stacklevel + 1)


@contextlib.contextmanager
def convergence_collected() -> Iterator[list[str]]:
    """Collect the messages of convergence warnings of this thread; `warnings.catch_warnings` is of the whole process."""
    messages: list[str] = []
    token = _collected.set(messages)
    try:
        yield messages
    finally:
        _collected.reset(token)
