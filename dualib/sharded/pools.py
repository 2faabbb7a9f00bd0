"""Where steps run on the shards: one after the other in this process, or where dask's workers hold them.

Sums over the shards are taken two by two along one tree, whoever takes them, so that no bit depends on the number of workers. On a
cluster every result is a future of a pure function: dask loads and computes again what a worker that died held.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dualib._validation import shown
from dualib.sharded.parquet import Format
from dualib.sharded.shards import Shard, Source, load
from dualib.sharded.steps import Sums, added

Step = Callable[..., Any]


def pool_of(sources: Sequence[Source], form: Format, client: Any, *, keep: bool) -> Here | OnDask:
    """Of the client of a cluster, or of this process where it is None.

    Raises
    ------
    TypeError
        Not a distributed.Client.
    ImportError
        distributed is not installed.
    """
    if client is None:
        return Here(sources, form, keep=keep)
    try:
        from distributed import Client
    except ImportError as error:
        raise ImportError('a client needs dask: pip install "dualib[dask]"') from error
    if not isinstance(client, Client):
        raise TypeError(f"client must be a distributed.Client, or None for this process, got {shown(client)}")
    return OnDask(sources, form, client, keep=keep)


class Here:
    """Steps in this process; `keep`: shards stay in memory, else each is loaded for every step."""

    def __init__(self, sources: Sequence[Source], form: Format, *, keep: bool) -> None:
        self._sources, self._form = sources, form
        self._kept: dict[int, Shard] | None = {} if keep else None

    def one(self, number: int, step: Step, *arguments: Any) -> Any:
        """``step(shard, *arguments)`` of one shard."""
        return step(self._shard(number), *arguments)

    def each(self, step: Step, *arguments: Any) -> list[Any]:
        """The same of every shard, in their order."""
        return [self.one(number, step, *arguments) for number in range(len(self._sources))]

    def total(self, step: Step, *arguments: Any) -> Sums:
        """The sum of all, along the tree."""
        return tree(lambda number: self.one(number, step, *arguments), added, 0, len(self._sources))

    def _shard(self, number: int) -> Shard:
        if self._kept is None:
            return load(self._sources[number], self._form)
        if number not in self._kept:
            self._kept[number] = load(self._sources[number], self._form)
        return self._kept[number]


class OnDask:
    """Steps on the workers of a cluster, on shards that they hold (`keep`) or load for every step."""

    def __init__(self, sources: Sequence[Source], form: Format, client: Any, *, keep: bool) -> None:
        self._client, self._count = client, len(sources)
        self._step = _applied if keep else _loaded_and_applied
        self._shards: list[Any] = [(source, form) for source in sources]
        if keep:  # not pure, here and below: else dask would hash all arguments for a key
            self._shards = [client.submit(load, source, form, pure=False) for source in sources]

    def one(self, number: int, step: Step, *arguments: Any) -> Any:
        """As of `Here`."""
        return self._submitted(number, step, arguments).result()

    def each(self, step: Step, *arguments: Any) -> list[Any]:
        """As of `Here`."""
        given = self._given(arguments)
        return list(self._client.gather([self._submitted(number, step, given) for number in range(self._count)]))

    def total(self, step: Step, *arguments: Any) -> Sums:
        """As of `Here`, summed by the workers: one result is sent here."""
        given = self._given(arguments)

        def leaf(number: int) -> Any:
            return self._submitted(number, step, given)

        def add(one: Any, other: Any) -> Any:
            return self._client.submit(added, one, other, pure=False)

        return tuple(tree(leaf, add, 0, self._count).result())

    def _submitted(self, number: int, step: Step, given: Any) -> Any:
        return self._client.submit(self._step, self._shards[number], step, given, pure=False)

    def _given(self, arguments: tuple[Any, ...]) -> Any:
        """A future of the arguments: sent once, and again where a worker died with them, which dask's scattered data cannot be."""
        import dask

        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1TB"}):
            return self._client.submit(_same, arguments, pure=False)


def tree(leaf: Callable[[int], Any], add: Callable[[Any, Any], Any], begin: int, end: int) -> Any:
    """The sum of ``leaf(begin)`` to ``leaf(end - 1)``, by halves."""
    if end - begin == 1:
        return leaf(begin)
    middle = (begin + end) // 2
    return add(tree(leaf, add, begin, middle), tree(leaf, add, middle, end))


def _same(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    return arguments


def _applied(shard: Shard, step: Step, arguments: tuple[Any, ...]) -> Any:
    return step(shard, *arguments)


def _loaded_and_applied(source: tuple[Source, Format], step: Step, arguments: tuple[Any, ...]) -> Any:
    return step(load(*source), *arguments)
