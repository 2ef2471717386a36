"""Both clients behind one synchronous interface."""

from __future__ import annotations

import asyncio
import queue
import threading
from typing import TYPE_CHECKING, Any

import pytest

from switchboard_client import Client, aio

if TYPE_CHECKING:
    from collections.abc import Callable

    from switchboard_client import v1

SECONDS = 20


class AnyClient:
    """Makes calls with either client and records them."""

    def __init__(self, flavour: str, address: str, **options: Any) -> None:
        self.flavour = flavour
        self.called: set[str] = set()
        self._loop = asyncio.new_event_loop() if flavour == "aio" else None
        try:
            self.client: Any = self._make(address, options)
        except ValueError:
            if self._loop is not None:
                self._loop.close()
            raise

    def _make(self, address: str, options: dict[str, Any]) -> Client | aio.Client:
        if self._loop is None:
            return Client(address, **options)

        async def make() -> aio.Client:
            return aio.Client(address, **options)

        return self._loop.run_until_complete(make())

    def _method(self, name: str) -> Any:
        service, method = name.split(".")
        stub = getattr(self.client, service)
        self.called.add(f"{type(stub).__name__.removesuffix('Stub')}.{method}")
        return getattr(stub, method)

    def call(self, name: str, request: Any, **options: Any) -> Any:
        """Makes a call with one response, such as `messages.SendMessage`."""
        method = self._method(name)
        options.setdefault("timeout", SECONDS)
        if self._loop is None:
            return method(request, **options)

        async def call() -> Any:
            return await method(request, **options)

        return self._loop.run_until_complete(call())

    def drain(self, name: str, request: Any, **options: Any) -> list[Any]:
        """Makes a call with a stream of responses."""
        method = self._method(name)
        options.setdefault("timeout", SECONDS)
        if self._loop is None:
            return list(method(request, **options))

        async def drain() -> list[Any]:
            return [answer async for answer in method(request, **options)]

        return self._loop.run_until_complete(drain())

    def ensure_subscription(self, request: v1.CreateSubscriptionRequest) -> v1.Subscription:
        subscription: v1.Subscription
        if self._loop is None:
            subscription = self.client.ensure_subscription(request, timeout=SECONDS)
        else:
            subscription = self._loop.run_until_complete(self.client.ensure_subscription(request, timeout=SECONDS))
        return subscription

    def close(self) -> None:
        if self._loop is None:
            self.client.close()
        else:
            self._loop.run_until_complete(self.client.close())
            self._loop.close()


class BodyError(Exception):
    """The error of a failing loop body."""


class Consumer:
    """An event stream of either client in a thread, with its events in a queue.

    With `manual`, the loop body keeps each event until `finish_event`, `leave`, `fail` or `acknowledge` is called.
    """

    def __init__(
        self,
        flavour: str,
        address: str,
        request: v1.SubscribeRequest,
        *,
        on_gap: Callable[[v1.SubscribeGap], None] | None = None,
        manual: bool = False,
        **options: Any,
    ) -> None:
        self._manual = manual
        self._timeout: float | None = None
        self._orders: queue.Queue[str] = queue.Queue()
        self._done: queue.Queue[BaseException | None] = queue.Queue()
        self._events: queue.Queue[v1.Event | BaseException | None] = queue.Queue()
        self._made = threading.Event()
        self._running = True
        self._loop: asyncio.AbstractEventLoop | None = None
        self._subscription: Any = None
        consume = self._consume if flavour == "sync" else self._consume_aio
        self._thread = threading.Thread(target=consume, args=(address, request, on_gap, options), daemon=True)
        self._thread.start()
        assert self._made.wait(SECONDS)

    def _consume(self, address: str, request: v1.SubscribeRequest, on_gap: Any, options: dict[str, Any]) -> None:
        with Client(address, **options) as client, client.subscribe(request, on_gap=on_gap) as subscription:
            self._subscription = subscription
            self._made.set()
            try:
                for event in subscription:
                    self._events.put(event)
                    while self._manual and (order := self._orders.get()) != "finish":
                        if order == "acknowledge":
                            try:
                                subscription.acknowledge(event, timeout=self._timeout)
                            except Exception as error:
                                self._done.put(error)
                            else:
                                self._done.put(None)
                        elif order == "fail":
                            raise BodyError
                        else:
                            self._end(None)
                            return
            except Exception as error:
                self._end(error)
            else:
                self._end(None)

    def _consume_aio(self, address: str, request: v1.SubscribeRequest, on_gap: Any, options: dict[str, Any]) -> None:
        async def consume() -> None:
            self._loop = asyncio.get_running_loop()
            async with (
                aio.Client(address, **options) as client,
                client.subscribe(request, on_gap=on_gap) as subscription,
            ):
                self._subscription = subscription
                self._made.set()
                try:
                    async for event in subscription:
                        self._events.put(event)
                        while self._manual and (order := await asyncio.to_thread(self._orders.get)) != "finish":
                            if order == "acknowledge":
                                try:
                                    await subscription.acknowledge(event, timeout=self._timeout)
                                except Exception as error:
                                    self._done.put(error)
                                else:
                                    self._done.put(None)
                            elif order == "fail":
                                raise BodyError
                            else:
                                self._end(None)
                                return
                except Exception as error:
                    self._end(error)
                else:
                    self._end(None)

        asyncio.run(consume())

    def _end(self, end: BaseException | None) -> None:
        self._running = False
        self._events.put(end)

    @property
    def cursor(self) -> str | None:
        cursor: str | None = self._subscription.cursor
        return cursor

    def next(self, seconds: float = SECONDS) -> v1.Event:
        """Returns the next event. Raises the error of the stream."""
        event = self._events.get(timeout=seconds)
        assert event is not None, "the stream has ended"
        if isinstance(event, BaseException):
            raise event
        return event

    def text(self, seconds: float = SECONDS) -> str:
        """Returns the text of the next event."""
        return self.next(seconds).message_received.text.body

    def finish_event(self) -> None:
        """Makes the body finish its event."""
        self._orders.put("finish")

    def leave(self) -> None:
        """Makes the body leave the loop, and waits for the thread."""
        self._orders.put("leave")
        self._thread.join(SECONDS)
        assert not self._thread.is_alive()

    def fail(self) -> None:
        """Makes the body fail, and waits for the thread."""
        self._orders.put("fail")
        with pytest.raises(BodyError):
            self.next()
        self._thread.join(SECONDS)
        assert not self._thread.is_alive()

    def acknowledge(self, timeout: float | None = SECONDS) -> None:
        """Makes the body acknowledge its event. Raises the error of the call."""
        self._timeout = timeout
        self._orders.put("acknowledge")
        if (error := self._done.get(timeout=SECONDS)) is not None:
            raise error

    def expect_end(self) -> None:
        """Waits for the end of the loop. No event may precede it."""
        assert self._events.get(timeout=SECONDS) is None
        self._thread.join(SECONDS)
        assert not self._thread.is_alive()

    def close(self) -> None:
        """Closes the stream from another thread."""
        if self._loop is None:
            self._subscription.close()
        else:
            asyncio.run_coroutine_threadsafe(self._subscription.close(), self._loop).result(SECONDS)

    def __enter__(self) -> Consumer:
        return self

    def __exit__(self, *_: object) -> None:
        if self._running:
            self.close()
        self._orders.put("leave")
        self._thread.join(SECONDS)
        assert not self._thread.is_alive()
