"""The IB of a table too large for one machine: its rows in shards, each loaded and swept where a worker is.

`ShardedJoint` is p(x, y) in shards, from files of `write_shards`, Parquet files of counts, or functions; `solve` lowers the
objective of K clusters on it by sweeps, in this process or on a dask cluster (``pip install "dualib[dask]"``), with the same bits.
Nothing is certified. Nothing else of the package imports this room.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dualib.sharded.joint import ShardedJoint
    from dualib.sharded.shards import write_shards
    from dualib.sharded.solution import ShardedSolution
    from dualib.sharded.solver import solve

_HOME = {"ShardedJoint": "joint", "ShardedSolution": "solution", "solve": "solver", "write_shards": "shards"}

__all__ = ["ShardedJoint", "ShardedSolution", "solve", "write_shards"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'dualib.sharded' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"dualib.sharded.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
