"""What a Solution and a Curve have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import os

    from matplotlib.axes import Axes
EventKind = Literal["appearance", "split", "jump"]
Assignment = Literal["soft", "map"]
DecoderKind = Literal["problem", "bayes"]


class Deferring:
    """An object some of whose fields are dear and seldom asked for: given as functions, and computed at their first use."""

    _deferred: dict[str, Callable[[], Any]]

    def _settled(self, name: str, value: Any) -> Any:
        """The value of a field, as it is kept."""
        return value

    if not TYPE_CHECKING:  # with it, mypy would take any attribute

        def __getattr__(self, name: str) -> Any:
            deferred = self.__dict__.get("_deferred", {})
            compute = deferred.get(name)
            if compute is None:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            value = self.__dict__.setdefault(name, self._settled(name, compute()))
            deferred.pop(name, None)  # and with it what it was computed from
            return value


class Result(Deferring):
    """What a Solution and a Curve have in common."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write to `path` as one .npz file without pickle; `dualib.load` reads it back."""
        from dualib.results.storage import save

        save(self, path)

    def plot_clusters(self, ax: Axes | None = None, **options: Any) -> Axes:
        """The encoder as a labelled map; see `dualib.plotting.plot_clusters`."""
        from dualib.plotting.cluster_map import plot_clusters

        return plot_clusters(cast(Any, self), ax=ax, **options)


def frozen(values: npt.ArrayLike, dtype: type[np.generic] = np.float64) -> Any:
    """A read-only copy in C order: a caller's own array stays its own."""
    array = np.array(values, dtype=dtype, order="C")
    array.flags.writeable = False
    return array


def split_fact(line: str) -> tuple[str, str]:
    """A line of a `repr`, a name and its value with two spaces or more between them, in parts; of a remark the name is empty."""
    name, _, value = line.strip().partition("  ")
    return (name, value.strip()) if value else ("", name)


def counted(number: int, noun: str) -> str:
    """A number of things in words."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
