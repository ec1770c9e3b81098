"""``becket.Client``: the cluster as a caller sees it.

Owns the calls and their translation. Attempts, stamps and outcomes are the dispatcher's; a call
ends in one of three ways: it returns; it raises ``OutcomeUnknownError``; it raises another error,
and then nothing was applied. Must be used in one event loop.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Self, get_args

from becket.adapters.dispatch.connection import Connection, Routing
from becket.adapters.dispatch.settings import DispatchSettings
from becket.api.v1 import key_value_pb2 as kv
from becket.client.values import (
    Answer,
    Consistency,
    Delete,
    Entry,
    Get,
    Increment,
    Key,
    Location,
    MemberPlace,
    Operation,
    Put,
    Span,
    answer_from_proto,
    bound_bytes,
    checked_batch,
    entry_from_proto,
    key_bytes,
    timeout_seconds,
    to_proto,
)
from becket.core.errors import BecketError, InvalidInputError, NotAppliedError
from becket.core.limits import Limits
from becket.core.ring.ring import Ring

DEFAULT_TIMEOUT_S = 5.0
PAGE = 500


class Client:
    """A connection to a cluster.

    ``addresses``: one or several of its processes as host:port; a router or any member tells the
    rest. Operations go straight to the members; where these cannot be reached from here, through
    the router. Use it as ``async with Client("127.0.0.1:7400") as client``, or call ``connect`` and
    ``close``. Operations that are issued in the same turn of the event loop travel together.

    ``timeout``: of calls that name none, and of connecting, in seconds. ``routing``: ``direct``
    never uses a router, ``router`` nothing else, and ``auto`` uses it where no member can be
    reached within 0.2 s at the beginning, as through a port-forward. ``zone``: where the caller
    runs; reads that may be older stay in it while it is not overloaded. ``limits``: those of the
    cluster, where they are not the defaults.
    """

    def __init__(
        self,
        *addresses: str,
        timeout: Span = DEFAULT_TIMEOUT_S,
        routing: Routing = "auto",
        zone: str = "",
        limits: Limits | None = None,
        dispatch: DispatchSettings | None = None,
    ) -> None:
        if not addresses:
            raise InvalidInputError("addresses", "must name one process of the cluster at least")
        for address in addresses:
            host, _, port = address.rpartition(":")
            if not host or not port.isdigit():
                raise InvalidInputError("addresses", f"{address!r} is not host:port")
        if routing not in get_args(Routing):
            problem = f"must be one of {', '.join(get_args(Routing))}, not {routing!r}"
            raise InvalidInputError("routing", problem)
        self._addresses = addresses
        self._routing: Routing = routing
        self._zone = zone
        self._timeout_s = timeout_seconds(timeout)
        self._limits = limits or Limits()
        self._settings = dispatch or DispatchSettings()
        self._connection: Connection | None = None

    # Life

    async def connect(self) -> None:
        """Learn the ring; does nothing where that has been done.

        :raises NotAppliedError: no ring was learnt in time; the message says why.
        """
        if self._connection is not None:
            return
        connection = Connection(self._settings, self._limits)
        self._connection = connection
        connection.dispatcher.routes.zone = self._zone
        connection.start(self._addresses, routing=self._routing)
        if self._routing != "router":
            connection.follow_weights(lambda: self._addresses)
        try:
            await connection.wait_ready(self._timeout_s)
            if self._routing == "auto":
                await connection.choose_routes()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """End the connection; calls that are under way end with what is known of them."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    # Keys

    async def get(
        self,
        key: Key,
        *,
        consistency: Consistency = Consistency.LINEARIZABLE,
        max_staleness: Span | None = None,
        timeout: Span | None = None,  # noqa: ASYNC109 - the deadline travels with the call
    ) -> Entry | None:
        """The entry of a key, None where it is absent.

        ``max_staleness`` is for ``Consistency.BOUNDED``; 5 s where it is not given.

        :raises NotAppliedError: nobody answered in time.
        :raises InvalidInputError: an argument is out of its limits; ``field`` names it.
        """
        limits = self._limits
        if consistency is Consistency.LINEARIZABLE and max_staleness is None:
            key = key_bytes(key, limits)
            made = kv.Operation(get=kv.GetRequest(key=key))
            dispatcher = self._connected().dispatcher
            result = await dispatcher.read(key, made, self._timeout_us(timeout))
            _raise_refusal(result)
        else:
            made = to_proto(Get(key, consistency, max_staleness), limits)
            result = await self._one(made, timeout)
        found = result.get
        return entry_from_proto(found.entry) if found.HasField("entry") else None

    async def put(
        self,
        key: Key,
        value: bytes,
        *,
        ttl: Span | None = None,
        if_absent: bool = False,
        if_version: bytes | None = None,
        timeout: Span | None = None,  # noqa: ASYNC109
    ) -> bytes:
        """Write a key; returns the entry's new version.

        ``ttl``: when the entry expires, from now; without it the entry never does. ``if_absent``
        and ``if_version`` (a version that was returned before) are conditions.

        :raises ConditionFailedError: the condition did not hold; ``version`` is the present one.
        :raises OutcomeUnknownError: it may or may not have taken effect, now or later.
        :raises NotAppliedError: nothing was applied.
        :raises OverloadedError: too much is under way; nothing was applied.
        :raises DiskFullError: nothing was applied.
        :raises InvalidInputError: an argument is out of its limits; ``field`` names it.
        """
        operation = Put(key, value, ttl, if_absent, if_version)
        result = await self._one(to_proto(operation, self._limits), timeout)
        return result.put.version

    async def delete(
        self,
        key: Key,
        *,
        if_version: bytes | None = None,
        timeout: Span | None = None,  # noqa: ASYNC109
    ) -> bool:
        """Delete a key; returns whether it was there. Raises like ``put``."""
        made = to_proto(Delete(key, if_version), self._limits)
        result = await self._one(made, timeout)
        return result.delete.deleted

    async def increment(
        self,
        key: Key,
        delta: int = 1,
        *,
        timeout: Span | None = None,  # noqa: ASYNC109
    ) -> int:
        """Add to a counter and return it; an absent key counts as 0.

        Raises like ``put``, and:

        :raises NotACounterError: the value is not the digits of a number.
        :raises CounterOverflowError: the sum would leave 64 signed bits.
        """
        made = to_proto(Increment(key, delta), self._limits)
        result = await self._one(made, timeout)
        return result.increment.value

    async def batch(
        self,
        operations: Sequence[Operation],
        *,
        timeout: Span | None = None,  # noqa: ASYNC109
    ) -> list[Answer | BecketError]:
        """Many operations at once; returns what each gave, or its error, in their order.

        Operations on one key run in the order of the list; nothing else is promised of them
        together. Raises only where nothing was sent.

        :raises InvalidInputError: ``field`` says which operation is refused.
        :raises OverloadedError: too much is under way.
        """
        lists = checked_batch(operations, self._limits)
        timeout_us = self._timeout_us(timeout)
        dispatcher = self._connected().dispatcher
        answers: list[Answer | BecketError] = []
        for each in lists:
            # One after the other: a key may be in two of them.
            answers += map(answer_from_proto, await dispatcher.run(each, timeout_us))
        return answers

    async def scan(
        self,
        prefix: Key = b"",
        *,
        start: Key = b"",
        end: Key = b"",
        keys_only: bool = False,
        timeout: Span | None = None,  # noqa: ASYNC109
    ) -> AsyncIterator[Entry]:
        """Every entry whose key begins with ``prefix``, from ``start`` on and before ``end``.

        In the order of keys. A key that exists throughout comes exactly once; pages are of
        different moments. ``timeout`` is that of one page. With ``keys_only`` values are empty.

        :raises NotAppliedError: a page could not be read in time.
        :raises InvalidInputError: an argument is out of its limits; ``field`` names it.
        """
        request = kv.ScanRequest(
            prefix=bound_bytes(prefix, "prefix"),
            start=bound_bytes(start, "start"),
            end=bound_bytes(end, "end"),
            keys_only=keys_only,
            page_size=min(PAGE, self._limits.page_entries),
        )
        timeout_s = self._timeout_us(timeout) / 1e6
        while True:
            page = await self._connected().scanner.page(request, timeout_s)
            for entry in page.entries:
                yield entry_from_proto(entry)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    # The ring

    async def ring(self) -> Ring:
        """The newest ring that is known here."""
        found = self._connected().view.ring
        if found is None:
            raise NotAppliedError("no ring is known here yet")
        return found

    async def locate(self, key: Key) -> Location:
        """Where a key lives, as far as is known here.

        :raises InvalidInputError: the key is out of its limits.
        """
        view = self._connected().view
        ring = await self.ring()
        partition = ring.partition_of(key_bytes(key, self._limits))

        def place(disk: str) -> MemberPlace:
            return MemberPlace(ring.name_of(disk), disk, view.addresses.get(disk, ""))

        coordinator = view.table.coordinator(partition)
        return Location(
            partition,
            place(coordinator) if coordinator is not None else None,
            tuple(place(disk) for disk in ring.configs[partition].members),
        )

    # Inside

    def _connected(self) -> Connection:
        if self._connection is None:
            raise NotAppliedError("this client is not connected")
        return self._connection

    def _timeout_us(self, timeout: Span | None) -> int:
        seconds = self._timeout_s if timeout is None else timeout_seconds(timeout)
        return int(seconds * 1e6)

    async def _one(self, made: kv.Operation, timeout: Span | None) -> kv.Result:  # noqa: ASYNC109
        results = await self._connected().dispatcher.run((made,), self._timeout_us(timeout))
        _raise_refusal(results[0])
        return results[0]


def _raise_refusal(result: kv.Result) -> None:
    if result.HasField("status"):
        error = answer_from_proto(result)
        assert isinstance(error, BecketError)
        raise error
