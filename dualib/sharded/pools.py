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
_BUNDLES = 2  # of neighbouring shards, for each thread of the cluster, at least


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
        return tuple(tree(lambda number: self.one(number, step, *arguments), 0, len(self._sources)))

    def _shard(self, number: int) -> Shard:
        if self._kept is None:
            return load(self._sources[number], self._form)
        if number not in self._kept:
            self._kept[number] = load(self._sources[number], self._form)
        return self._kept[number]


class OnDask:
    """Steps on the workers of a cluster, on shards that they hold (`keep`) or load for every step.

    Neighbours in the tree are together in a bundle, so that most sums are of parts in one worker. (To ask dask for a worker by its
    name would do the same, but what was asked of one that died may wait for it for ever.)
    """

    def __init__(self, sources: Sequence[Source], form: Format, client: Any, *, keep: bool) -> None:
        self._client, self._count = client, len(sources)
        threads = sum(client.ncores().values()) or self._count
        self._bundles: dict[tuple[int, int], Any] = {}
        for begin, end in nodes(self._count, _BUNDLES * threads):
            own = [(source, form) for source in sources[begin:end]]
            self._bundles[begin, end] = self._submit(_loaded, own) if keep else own

    def one(self, number: int, step: Step, *arguments: Any) -> Any:
        """As of `Here`."""
        begin, end = next(ends for ends in self._bundles if ends[0] <= number < ends[1])
        return self._submit(_of_one, self._bundles[begin, end], number - begin, step, arguments).result()

    def each(self, step: Step, *arguments: Any) -> list[Any]:
        """As of `Here`."""
        given = self._given(arguments)
        lists = self._client.gather([self._submit(_of_each, bundle, step, given) for bundle in self._bundles.values()])
        return [result for results in lists for result in results]

    def total(self, step: Step, *arguments: Any) -> Sums:
        """As of `Here`, summed by the workers: one result is sent here."""
        given = self._given(arguments)
        parts = {ends: self._submit(_total, bundle, step, given) for ends, bundle in self._bundles.items()}
        return tuple(self._sum(parts, 0, self._count).result())

    def _sum(self, parts: dict[tuple[int, int], Any], begin: int, end: int) -> Any:
        """The future of the sum from there to there, of those of the bundles."""
        if (begin, end) in parts:
            return parts[begin, end]
        middle = (begin + end) // 2
        return self._submit(added, self._sum(parts, begin, middle), self._sum(parts, middle, end))

    def _given(self, arguments: tuple[Any, ...]) -> Any:
        """A future of the arguments: sent once, and again where a worker died with them, which dask's scattered data cannot be."""
        import dask

        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1TB"}):
            return self._submit(_same, arguments)

    def _submit(self, call: Step, *arguments: Any) -> Any:
        """A future of a call; not pure, for else dask would hash all arguments for its key."""
        return self._client.submit(call, *arguments, pure=False)


def tree(leaf: Callable[[int], Any], begin: int, end: int) -> Any:
    """The sum of ``leaf(begin)`` to ``leaf(end - 1)``, by halves."""
    if end - begin == 1:
        return leaf(begin)
    middle = (begin + end) // 2
    return added(tree(leaf, begin, middle), tree(leaf, middle, end))


def nodes(count: int, wanted: int) -> list[tuple[int, int]]:
    """The begins and ends of the parts into which the tree of so many leaves falls at the first level with `wanted` of them."""
    found = [(0, count)]
    while len(found) < min(wanted, count):
        halves = [((begin, (begin + end) // 2), ((begin + end) // 2, end)) for begin, end in found]
        found = [part for pair in halves for part in pair if part[0] < part[1]]
    return found


def _same(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    return arguments


def _loaded(bundle: list[tuple[Source, Format]]) -> list[Shard]:
    return [load(*known) for known in bundle]


def _shard(known: Any) -> Shard:
    """A shard that is held, or is now loaded."""
    return known if isinstance(known, Shard) else load(*known)


def _of_one(bundle: list[Any], number: int, step: Step, arguments: tuple[Any, ...]) -> Any:
    return step(_shard(bundle[number]), *arguments)


def _of_each(bundle: list[Any], step: Step, arguments: tuple[Any, ...]) -> list[Any]:
    return [step(_shard(known), *arguments) for known in bundle]


def _total(bundle: list[Any], step: Step, arguments: tuple[Any, ...]) -> Sums:
    return tuple(tree(lambda number: step(_shard(bundle[number]), *arguments), 0, len(bundle)))
