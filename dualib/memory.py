"""How much memory a problem takes, asked before the work starts.

In numbers of 8 bytes, for n distinct sources with k features and n_y outcomes and n_t <= n clusters, a certified solve takes at
least and at most about

    least = n^2 + 8 n k + 4 n n_y                the distances of all sources from each other, where near ones are merged
    most  = 8 n^2 + 4 n n_t + 40 n k + 16 n n_y  the search from every source, and Newton's method on n_t clusters
                  + 4096 n                       and the cells of a proof, where there is one

where p(y|x) has no zeros: with them the search on other faces takes several times more. A curve without events solves as many betas
at once as make up n^2 = 6 million, or one where n is larger, and keeps n_t (n_x + 2 k + n_y) of each point. Above, k = n_y for the
IB and the dual IB. A problem whose least does not fit is refused; between the two it depends on what the search finds.

A problem that is kept sparse, with `nonzeros`, takes at most about

    2 nonzeros + 10 n_x + 4 n_x n_t   posteriors
          + n_y (90 n_t + 6000)       points of the search
          + 4 million                 what is looked at together

beside p(x, y).
"""

from __future__ import annotations

import os
import sys

_CELLS = 4096  # numbers for each source that a proof holds: those of 1024 cells, several times
_ALWAYS_FITS = 2**26  # bytes; below it the system is not asked


def least_memory(n: int, k: int, n_y: int) -> int:
    """Bytes that a certified solve of n distinct sources with k features and n_y outcomes takes at least."""
    return 8 * n * (n + 8 * k + 4 * n_y)


def most_memory(n: int, k: int, n_y: int, n_t: int) -> int:
    """Bytes that it takes at most, about, where the solution has up to n_t clusters and p(y|x) no zeros."""
    return 8 * n * (8 * n + 4 * n_t + 40 * k + 16 * n_y + _CELLS)


def check_fits(n_x: int, n_y: int, what: str) -> None:
    """Refuse a joint distribution whose dense conditionals, and the features made of them, cannot fit into memory.

    Raises
    ------
    MemoryError
        With the size that it would need.
    """
    refuse_above(8 * 4 * n_x * n_y, f"{what} of {n_x} x by {n_y} y")


def sparse_memory(n_x: int, n_y: int, nonzeros: int, n_t: int) -> int:
    """Bytes that a solve on a sparse p(x, y) takes at most, about, with n_t clusters, beside those of p(x, y) itself."""
    return 8 * (2 * nonzeros + 10 * n_x + 4 * n_x * n_t + n_y * (90 * n_t + 6000) + 4_000_000)


def refuse_above(needed: int, what: str) -> None:
    """MemoryError where so many bytes are not free, saying what needs them."""
    if needed < _ALWAYS_FITS:
        return
    available = available_memory()
    if needed > available:
        raise MemoryError(f"{what} needs at least {in_words(needed)} of memory, and {in_words(available)} are available")


def in_words(size: int) -> str:
    """A number of bytes, to be read."""
    return f"{size / 2**30:.3g} GiB" if size >= 2**30 else f"{size / 2**20:.3g} MiB"


def available_memory() -> int:
    """Bytes that this process may still allocate, as far as the system tells: free memory, cgroup and address-space limits."""
    return min(_free(), _cgroup(), _address_space())


def _free() -> int:
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return 1024 * int(line.split()[1])
    except (OSError, ValueError):
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return sys.maxsize


def _cgroup() -> int:
    """The limit of the container, not what it leaves: much of what is in use is caches that are given back."""
    for limit in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            with open(f"/sys/fs/cgroup/{limit}", encoding="ascii") as file:
                return int(file.read())
        except (OSError, ValueError):  # no such file, or "max"
            continue
    return sys.maxsize


def _address_space() -> int:
    try:
        import resource
    except ImportError:  # Windows
        return sys.maxsize
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return sys.maxsize if limit == resource.RLIM_INFINITY else limit
