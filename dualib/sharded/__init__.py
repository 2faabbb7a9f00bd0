"""The IB of a table too large for one machine: its rows in shards, each loaded and swept where a worker is.

`ShardedJoint` is p(x, y) in shards, from files of `write_shards`, Parquet files of counts, or functions; `solve` lowers the
objective of K clusters on it by sweeps, in this process or on a dask cluster (``pip install "dualib[dask]"``), with the same bits.
Nothing is certified. Nothing else of the package imports this room.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dualib._lazy import lazy

if TYPE_CHECKING:
    from dualib.sharded.joint import ShardedJoint
    from dualib.sharded.shards import write_shards
    from dualib.sharded.solution import ShardedSolution
    from dualib.sharded.solver import solve

__all__ = ["ShardedJoint", "ShardedSolution", "solve", "write_shards"]

__getattr__, __dir__ = lazy(
    __name__, {"joint": "ShardedJoint", "shards": "write_shards", "solution": "ShardedSolution", "solver": "solve"}
)
