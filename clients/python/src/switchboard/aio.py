"""The client for asyncio: the same names as in `switchboard`, to be awaited."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any, cast

import grpc
import grpc.aio

from switchboard import v1
from switchboard._calls import Attempts, Messages, Single
from switchboard._connection import OWN_CONNECTION, Target
from switchboard._errors import SwitchboardError
from switchboard._progress import Progress, silence

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Generator, Sequence
    from types import AsyncGeneratorType, TracebackType

    from typing_extensions import Self

    from switchboard.v1.account_service_pb2_grpc import AccountServiceAsyncStub
    from switchboard.v1.contact_service_pb2_grpc import ContactServiceAsyncStub
    from switchboard.v1.event_service_pb2_grpc import EventServiceAsyncStub
    from switchboard.v1.flow_service_pb2_grpc import FlowServiceAsyncStub
    from switchboard.v1.message_service_pb2_grpc import MessageServiceAsyncStub
    from switchboard.v1.template_service_pb2_grpc import TemplateServiceAsyncStub
    from switchboard.v1.webhook_service_pb2_grpc import WebhookServiceAsyncStub

__all__ = ["Client", "Subscription"]


class Client:
    """A connection to Switchboard, for one event loop.

    Each service is an attribute that holds the generated stub, as in `await client.messages.SendMessage(request)`.
    Calls through them carry the token, fail with `SwitchboardError`, and are tried again where that is safe: only after
    UNAVAILABLE, only reads and writes that have a `request_id`, and within `timeout`. Where a request can have a
    `request_id` and has none, it is given one.

    Two things are sent as they are, once: `UpdateContact` and what else changes something without a `request_id`; and
    streams, `SendMessages` included.
    """

    accounts: AccountServiceAsyncStub
    contacts: ContactServiceAsyncStub
    events: EventServiceAsyncStub
    flows: FlowServiceAsyncStub
    messages: MessageServiceAsyncStub
    templates: TemplateServiceAsyncStub
    webhooks: WebhookServiceAsyncStub

    def __init__(
        self,
        address: str,
        credentials: grpc.ChannelCredentials | None = None,
        *,
        plaintext: bool | None = None,
        token: str | None = None,
        max_attempts: int = 4,
        options: Sequence[tuple[str, Any]] = (),
    ) -> None:
        """Makes a client, inside the event loop that uses it. It connects with the first call.

        Args:
            address: `host:port`, or any other target that gRPC knows.
            credentials: For TLS, from `grpc.ssl_channel_credentials`. By default TLS with gRPC's own root
                certificates; to a loopback address, plaintext.
            plaintext: True for plaintext beyond loopback, False for TLS to a loopback address.
            token: Goes along with every call. Beyond loopback it needs TLS.
            max_attempts: How often a call is made at most. 1 means that nothing is tried again.
            options: More options for gRPC's channels, such as `("grpc.max_receive_message_length", 16 << 20)`.

        Raises:
            ValueError: When these do not go together.
        """
        self._target = Target(address, credentials, plaintext=plaintext, token=token, options=options)
        self._channel = self._target.aio_channel(
            interceptors=[
                _UnaryUnary(self._target, max_attempts),
                _StreamUnary(self._target, max_attempts),
                _UnaryStream(self._target, max_attempts),
                _StreamStream(self._target, max_attempts),
            ]
        )
        self.accounts = v1.AccountServiceStub(self._channel)
        self.contacts = v1.ContactServiceStub(self._channel)
        self.events = v1.EventServiceStub(self._channel)
        self.flows = v1.FlowServiceStub(self._channel)
        self.messages = v1.MessageServiceStub(self._channel)
        self.templates = v1.TemplateServiceStub(self._channel)
        self.webhooks = v1.WebhookServiceStub(self._channel)

    @property
    def channel(self) -> grpc.aio.Channel:
        """The channel, for other stubs: health, reflection, the sandbox."""
        return self._channel

    def subscribe(
        self,
        request: v1.SubscribeRequest | None = None,
        *,
        on_gap: Callable[[v1.SubscribeGap], Awaitable[None] | None] | None = None,
    ) -> Subscription:
        """Follows the events, over broken connections and restarts of the server. See `Subscription`.

        Args:
            request: Which events, and from where on: by default all, from now on.
            on_gap: Called, and awaited if it can be, where events are missing that are no longer kept, instead of
                failing with CURSOR_EXPIRED.
        """
        return Subscription(self._target, Progress(request, surfaces_gaps=on_gap is not None), on_gap)

    async def close(self) -> None:
        """Ends the connection and what is under way on it. Subscriptions have their own."""
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<switchboard.aio.Client to {self._target.address}>"


class Subscription:
    """The events from a place on, in their order: an iterator that ends only when it was told to, or with an error.

    It has a connection of its own, and opens it anew when it breaks, when the server goes away, and when nothing was
    heard for two heartbeats: no event is lost, and none comes twice. Use it in an `async with` statement. One task may
    iterate; any may `close`.

    Raises:
        SwitchboardError: What no new connection mends: a request that is wrong, a cursor whose events are no longer
            kept. After that, the iterator is at its end.
    """

    def __init__(
        self,
        target: Target,
        progress: Progress,
        on_gap: Callable[[v1.SubscribeGap], Awaitable[None] | None] | None,
    ) -> None:
        self._target = target
        self._progress = progress
        self._on_gap = on_gap
        self._closed = asyncio.Event()
        self._call: Any = None
        # mypy knows a generator function as one of the wider type, without `ag_running`.
        self._events = cast("AsyncGeneratorType[v1.Event, None]", self._run())

    @property
    def cursor(self) -> str | None:
        """The place behind the last event that is finished. None before the first stream has started.

        An event is finished when the loop moves on to the next. Keep the cursor, and start at it by
        `SubscribeRequest.after_cursor` the next time.
        """
        return self._progress.cursor

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> v1.Event:
        return await anext(self._events)

    async def _run(self) -> AsyncGenerator[v1.Event, None]:
        while not self._closed.is_set():
            # A new channel each time: on the old one, a new stream would take the connection that is dead.
            async with self._target.aio_channel(OWN_CONNECTION) as channel:
                self._call = v1.EventServiceStub(channel).Subscribe(
                    self._progress.open(), metadata=self._target.metadata
                )
                try:
                    while isinstance(response := await self._read(), v1.SubscribeResponse):
                        if (taken := self._progress.take(response)) is None:
                            continue
                        if isinstance(taken, v1.Event):
                            yield taken
                        elif self._on_gap is not None and inspect.isawaitable(awaited := self._on_gap(taken)):
                            await awaited
                        self._progress.finish(taken)
                finally:
                    # gRPC keeps the connection of a closed asyncio channel for as long as somebody has a call of it.
                    self._call.cancel()
                    self._call = None
            if self._closed.is_set():
                return
            delay = self._progress.delay(response)
            if delay is None:
                return
            response = None
            await _within(delay, self._closed.wait())

    async def _read(self) -> v1.SubscribeResponse | SwitchboardError | None:
        reading = await _within(self._progress.patience(), self._call.read())
        if reading is None:
            return silence()
        if reading.cancelled():
            # By `close`, or by whoever reset the stream: gRPC does not tell these apart from a task's own end.
            return SwitchboardError(grpc.StatusCode.CANCELLED, details="the stream was reset")
        if isinstance(failed := reading.exception(), grpc.RpcError):
            return SwitchboardError.from_rpc_error(failed)
        response: object = reading.result()
        return response if isinstance(response, v1.SubscribeResponse) else None

    async def close(self) -> None:
        """Ends the subscription. A loop in another task comes to its end."""
        self._closed.set()
        if self._events.ag_running:
            if self._call is not None:
                self._call.cancel()
        else:
            await self._events.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<switchboard.aio.Subscription to {self._target.address}>"


async def _within(seconds: float, awaitable: Coroutine[Any, Any, Any]) -> asyncio.Task[Any] | None:
    """Waits, but not for longer. `asyncio.wait_for` can lose a cancel, and makes one of its own."""
    task = asyncio.ensure_future(awaitable)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
    finally:
        task.cancel()
    return task if done else None


class _Interceptor:
    def __init__(self, target: Target, max_attempts: int) -> None:
        self._metadata = target.metadata
        self._max_attempts = max_attempts

    def _details(self, details: grpc.aio.ClientCallDetails, timeout: float | None) -> grpc.aio.ClientCallDetails:
        metadata = grpc.aio.Metadata(*(details.metadata or ()), *self._metadata)
        return grpc.aio.ClientCallDetails(
            details.method, timeout, metadata, details.credentials, details.wait_for_ready
        )

    async def _repeat(self, continuation: Any, details: grpc.aio.ClientCallDetails, payload: Single | Messages) -> Any:
        attempts = Attempts(payload, most=self._max_attempts, timeout=details.timeout)
        while True:
            call = await continuation(self._details(details, attempts.remaining()), payload.each())
            try:
                await call
            except grpc.RpcError as failed:
                delay = attempts.delay(failed)
            else:
                return call
            await asyncio.sleep(delay)

    async def _once(self, continuation: Any, details: grpc.aio.ClientCallDetails, request: Any) -> _Call:
        return _Call(await continuation(self._details(details, details.timeout), request))


class _UnaryUnary(_Interceptor, grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        method = client_call_details.method
        payload = Single(method.decode() if isinstance(method, bytes) else method, request)
        return await self._repeat(continuation, client_call_details, payload)


class _StreamUnary(_Interceptor, grpc.aio.StreamUnaryClientInterceptor):
    async def intercept_stream_unary(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        payload = Messages(request_iterator)
        if payload.repeatable:
            return await self._repeat(continuation, client_call_details, payload)
        # Not awaited here: who writes the messages one by one waits for the call before the first.
        call = await self._once(continuation, client_call_details, payload.each())
        call.payload = payload
        return call


class _UnaryStream(_Interceptor, grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await self._once(continuation, client_call_details, request)


class _StreamStream(_Interceptor, grpc.aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        return await self._once(continuation, client_call_details, request_iterator)


class _Call:
    """A call of gRPC, but for the error that it ends with."""

    payload: Messages | None = None

    def __init__(self, call: Any) -> None:
        self._call = call

    def __await__(self) -> Generator[Any, None, Any]:
        try:
            return (yield from self._call.__await__())
        except grpc.RpcError as failed:
            error = SwitchboardError.from_rpc_error(failed)
            error.request_id = self.payload.request_id if self.payload is not None else ""
            raise error from failed

    async def __aiter__(self) -> AsyncIterator[Any]:
        try:
            async for response in self._call:
                yield response
        except grpc.RpcError as failed:
            raise SwitchboardError.from_rpc_error(failed) from failed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)


# What is none of these, gRPC would wrap once more, and some versions of it then stumble over their own wrapper.
grpc.aio.UnaryStreamCall.register(_Call)
grpc.aio.StreamStreamCall.register(_Call)
