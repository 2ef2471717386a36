"""The client for asyncio: the same names as in `switchboard_client`, to be awaited."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import grpc
import grpc.aio

from switchboard_client import v1
from switchboard_client._calls import MAX_DELAY_SECONDS, Attempts, RequestStream, SingleRequest, acknowledge_attempts
from switchboard_client._connection import OWN_CONNECTION, Target
from switchboard_client._errors import SwitchboardError
from switchboard_client._progress import (
    ACKNOWLEDGE_SECONDS,
    FINAL_ACKNOWLEDGE_SECONDS,
    START_SECONDS,
    Progress,
    silence_error,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterator, Sequence
    from types import AsyncGeneratorType, TracebackType

    from typing_extensions import Self

    from switchboard_client.v1.account_service_pb2_grpc import AccountServiceAsyncStub
    from switchboard_client.v1.contact_service_pb2_grpc import ContactServiceAsyncStub
    from switchboard_client.v1.event_service_pb2_grpc import EventServiceAsyncStub
    from switchboard_client.v1.flow_service_pb2_grpc import FlowServiceAsyncStub
    from switchboard_client.v1.message_service_pb2_grpc import MessageServiceAsyncStub
    from switchboard_client.v1.template_service_pb2_grpc import TemplateServiceAsyncStub
    from switchboard_client.v1.webhook_service_pb2_grpc import WebhookServiceAsyncStub

__all__ = ["Client", "EventStream"]


class Client:
    """A connection to Switchboard, for one event loop.

    Each service is an attribute that holds the generated stub, as in `await client.messages.SendMessage(request)`.
    Calls through them carry the token, fail with `SwitchboardError`, and are tried again where that is safe: only after
    UNAVAILABLE, only reads and writes that have a `request_id`, and within `timeout`. Where a request can have a
    `request_id` and has none, it is given one.

    Two things are sent once: `UpdateContact` and what else changes something without a `request_id`; and streams,
    `SendMessages` included.
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
    ) -> EventStream:
        """Follows the events, over broken connections and restarts of the server. See `EventStream`.

        Args:
            request: Which events, and from where on: by default all, from now on.
            on_gap: Called, and awaited if it can be, where events are missing that are no longer kept, instead of
                failing with CURSOR_EXPIRED.
        """
        return EventStream(self._target, Progress(request, reports_gaps=on_gap is not None), on_gap)

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
        return f"<switchboard_client.aio.Client to {self._target.address}>"


class EventStream:
    """The events from a place on, in their order: an iterator that ends only when it was told to, or with an error.

    It has a connection of its own, and opens it anew when it breaks, when the server goes away, and when nothing was
    heard for two heartbeats: no event is lost, and none comes twice. Use it in an `async with` statement. One task may
    iterate; any may `close`. To give up waiting loses nothing: after `asyncio.wait_for(anext(subscription), 1)` has run
    out of time, the next `anext` goes on with the same wait.

    Of a named subscription (`SubscribeRequest.subscription`) the server keeps the place: what the loop has finished
    with is acknowledged within about a second, with every heartbeat, before a stream is opened again, and in the end,
    which may take two seconds then. So the event that was at hand when a loop failed comes again to the next one. When
    somebody moves the subscription or gives it another filter, the loop goes on with that. When somebody deletes it,
    the loop ends with NOT_FOUND.

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
        self._channel: grpc.aio.Channel | None = None
        self._call: Any = None
        self._ended: SwitchboardError | None = None
        # Goes on while nobody awaits it: who gives up waiting for an event has not given up the event.
        self._advancing: asyncio.Task[v1.Event | None] | None = None
        self._awaited = self._in_on_gap = False
        # mypy knows a generator function as one of the wider type, without `ag_running`.
        self._events = cast("AsyncGeneratorType[v1.Event, None]", self._run())

    @property
    def cursor(self) -> str | None:
        """The place behind the last event that is finished. None before the first stream has started.

        An event is finished when the loop moves on to the next. Keep the cursor, unless the subscription is a named
        one, and start at it by `SubscribeRequest.after_cursor` the next time.
        """
        return self._progress.cursor

    async def acknowledge(self, event: v1.Event | None = None, *, timeout: float | None = 10) -> None:
        """Finishes with an event of a named subscription, and waits until the server has that on disk.

        The loop does it by itself, a little later: this is for its body, where that is too late. After UNAVAILABLE it
        is tried again for as long as there is time, and the loop does so after that.

        Args:
            event: What the body was given last. By default only what the loop has finished with is acknowledged.
            timeout: Seconds that it may take.

        Raises:
            SwitchboardError: With the reason SUBSCRIPTION_GENERATION_STALE, somebody has moved the subscription or
                given it another filter: the event may come again. That is no failure of the loop.
            ValueError: When the subscription has no name.
        """
        if (ack := self._progress.acknowledge(event)) is None:
            return
        attempts = acknowledge_attempts(ack, timeout)
        async with contextlib.AsyncExitStack() as own:
            channel = self._channel
            if channel is None:
                channel = await own.enter_async_context(self._target.aio_channel(OWN_CONNECTION))
            stub = v1.EventServiceStub(channel)
            while True:
                try:
                    await stub.Acknowledge(ack, timeout=attempts.remaining(), metadata=self._target.metadata)
                except grpc.RpcError as failed:
                    self._progress.record_acknowledgement(ack, SwitchboardError.from_rpc_error(failed))
                    delay = attempts.delay(failed)
                else:
                    self._progress.record_acknowledgement(ack, None)
                    return
                await asyncio.sleep(delay)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> v1.Event:
        if self._awaited:
            raise RuntimeError("another task iterates over this subscription")
        if self._advancing is None:
            self._advancing = asyncio.create_task(self._advance())
        advancing = self._advancing
        self._awaited = True
        try:
            await asyncio.wait({advancing})
        finally:
            self._awaited = False
        self._advancing = None
        if (event := advancing.result()) is None:
            raise StopAsyncIteration
        return event

    async def _advance(self) -> v1.Event | None:
        try:
            return await anext(self._events)
        except StopAsyncIteration:
            return None

    async def _run(self) -> AsyncGenerator[v1.Event, None]:
        try:
            while not self._closed.is_set():
                async with contextlib.aclosing(self._read_stream()) as events:
                    async for event in events:
                        yield event
                if self._closed.is_set():
                    return
                delay = self._progress.delay(self._ended)
                if delay is None:
                    return
                await _within(delay, self._closed.wait())
        finally:
            await self._close_channel()

    async def _read_stream(self) -> AsyncGenerator[v1.Event, None]:
        """Follows one stream until it has `_ended`."""
        # A new channel each time: on the old one, a new stream would take the connection that is dead.
        if self._channel is not None:
            await self._channel.close()
        self._channel = self._target.aio_channel(OWN_CONNECTION)
        stub, metadata = v1.EventServiceStub(self._channel), self._target.metadata
        request = self._progress.open()
        self._ended = await self._acknowledge_first(stub)
        if self._ended is not None or self._closed.is_set():
            return
        self._call = stub.Subscribe(request, metadata=metadata)
        acknowledger = _Acknowledger(self._progress, partial(stub.Acknowledge, metadata=metadata), self._call)
        try:
            while isinstance(response := await self._read(), v1.SubscribeResponse):
                if (item := self._progress.handle(response)) is not None:
                    if isinstance(item, v1.Event):
                        yield item
                    else:
                        await self._report_gap(item)
                    self._progress.finish(item)
                acknowledger.wake()
            self._ended = acknowledger.failure or response
        finally:
            # gRPC keeps the connection of a closed asyncio channel for as long as somebody has a call of it.
            self._call.cancel()
            self._call = None
            await acknowledger.stop()

    async def _report_gap(self, gap: v1.SubscribeGap) -> None:
        self._in_on_gap = True
        try:
            if self._on_gap is not None and inspect.isawaitable(awaited := self._on_gap(gap)):
                await awaited
        finally:
            self._in_on_gap = False

    async def _acknowledge_first(self, stub: EventServiceAsyncStub) -> SwitchboardError | None:
        """Acknowledges before a stream is opened: what the server does not know to be finished would come again."""
        if (ack := self._progress.unacknowledged()) is None:
            return None
        self._call = stub.Acknowledge(ack, metadata=self._target.metadata)
        try:
            return self._progress.record_acknowledgement(
                ack, _error(await _outcome(self._progress.max_silence(), self._call))
            )
        finally:
            self._call = None

    async def _read(self) -> v1.SubscribeResponse | SwitchboardError | None:
        read = await _outcome(self._progress.max_silence(), self._call.read())
        return read if isinstance(read, v1.SubscribeResponse | SwitchboardError) else None

    async def _close_channel(self) -> None:
        channel, self._channel = self._channel, None
        if channel is None:
            return
        async with channel:
            if (ack := self._progress.unacknowledged()) is not None:
                call = v1.EventServiceStub(channel).Acknowledge(ack, metadata=self._target.metadata)
                self._progress.record_acknowledgement(ack, _error(await _outcome(FINAL_ACKNOWLEDGE_SECONDS, call)))

    async def close(self) -> None:
        """Ends the subscription. A loop in another task comes to its end."""
        self._closed.set()
        if self._call is not None:
            self._call.cancel()
        advancing = self._advancing
        if self._awaited or advancing is asyncio.current_task():
            # Whoever waits for it comes to the end of the loop.
            return
        self._advancing = None
        if advancing is not None:
            if self._in_on_gap:
                advancing.cancel()
            await asyncio.wait({advancing})
            if not advancing.cancelled():
                # Nobody wants to know any more.
                advancing.exception()
        if not self._events.ag_running:
            await self._events.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<switchboard_client.aio.EventStream to {self._target.address}>"


class _Acknowledger:
    """Acknowledges what is finished while a stream is open."""

    def __init__(self, progress: Progress, acknowledge: Callable[[v1.AcknowledgeRequest], Any], call: Any) -> None:
        self.failure: SwitchboardError | None = None
        """Why the stream was broken off: no acknowledgement will do."""
        self._progress = progress
        self._acknowledge = acknowledge
        self._call = call
        self._finished = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def wake(self) -> None:
        if not self._progress.acknowledge_due():
            return
        self._finished.set()
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        while True:
            await self._finished.wait()
            self._finished.clear()
            pause = ACKNOWLEDGE_SECONDS
            if (error := await self._send()) is not None:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    self.failure = error
                    self._call.cancel()
                    return
                if error.retry_delay is not None:
                    pause = max(pause, min(error.retry_delay.total_seconds(), MAX_DELAY_SECONDS))
                self._finished.set()
            await asyncio.sleep(pause)

    async def _send(self) -> SwitchboardError | None:
        if (ack := self._progress.unacknowledged()) is None:
            return None
        return self._progress.record_acknowledgement(ack, _error(await _outcome(START_SECONDS, self._acknowledge(ack))))


async def _outcome(seconds: float, awaitable: Awaitable[Any]) -> Any:
    """What a call gives, or the error that it ends with."""
    task = await _within(seconds, awaitable)
    if task is None:
        return silence_error()
    if task.cancelled():
        # By `close`, or by whoever reset the stream: gRPC does not tell these apart from a task's own end.
        return SwitchboardError(grpc.StatusCode.CANCELLED, details="the stream was reset")
    if isinstance(failed := task.exception(), grpc.RpcError):
        return SwitchboardError.from_rpc_error(failed)
    return task.result()


def _error(outcome: Any) -> SwitchboardError | None:
    return outcome if isinstance(outcome, SwitchboardError) else None


async def _within(seconds: float, awaitable: Awaitable[Any]) -> asyncio.Task[Any] | None:
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

    async def _call_with_retries(
        self, continuation: Any, details: grpc.aio.ClientCallDetails, payload: SingleRequest | RequestStream
    ) -> Any:
        attempts = Attempts(payload, limit=self._max_attempts, timeout=details.timeout)
        while True:
            argument = payload.for_attempt_async() if isinstance(payload, RequestStream) else payload.for_attempt()
            call = await continuation(self._details(details, attempts.remaining()), argument)
            try:
                await call
            except (grpc.RpcError, asyncio.CancelledError) as failed:
                if isinstance(payload, RequestStream) and payload.source_error is not None:
                    # The call tells it: older versions of gRPC stumble over what an interceptor raises of its own.
                    return _Call(call, payload)
                if not isinstance(failed, grpc.RpcError):
                    raise
                delay = attempts.delay(failed)
            else:
                return call
            await asyncio.sleep(delay)

    async def _call_once(self, continuation: Any, details: grpc.aio.ClientCallDetails, request: Any) -> _Call:
        payload = request if isinstance(request, RequestStream) else None
        argument = request if payload is None else payload.for_attempt_async()
        return _Call(await continuation(self._details(details, details.timeout), argument), payload)


class _UnaryUnary(_Interceptor, grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        method = client_call_details.method
        payload = SingleRequest(method.decode() if isinstance(method, bytes) else method, request)
        return await self._call_with_retries(continuation, client_call_details, payload)


class _StreamUnary(_Interceptor, grpc.aio.StreamUnaryClientInterceptor):
    async def intercept_stream_unary(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        payload = RequestStream(request_iterator)
        if payload.repeatable:
            return await self._call_with_retries(continuation, client_call_details, payload)
        # Not awaited here: who writes the messages one by one waits for the call before the first.
        return await self._call_once(continuation, client_call_details, payload)


class _UnaryStream(_Interceptor, grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await self._call_once(continuation, client_call_details, request)


class _StreamStream(_Interceptor, grpc.aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        return await self._call_once(continuation, client_call_details, RequestStream(request_iterator))


class _Call:
    """A call of gRPC, but for the error that it ends with."""

    def __init__(self, call: Any, payload: RequestStream | None) -> None:
        self._call = call
        self._payload = payload

    def __await__(self) -> Generator[Any, None, Any]:
        with self._decode_errors():
            return (yield from self._call.__await__())

    async def __aiter__(self) -> AsyncIterator[Any]:
        with self._decode_errors():
            async for response in self._call:
                yield response

    @contextlib.contextmanager
    def _decode_errors(self) -> Iterator[None]:
        payload = self._payload
        try:
            yield
        except (grpc.RpcError, asyncio.CancelledError) as failed:
            if payload is not None and payload.source_error is not None:
                raise payload.source_error from None
            if not isinstance(failed, grpc.RpcError):
                raise
            error = SwitchboardError.from_rpc_error(failed)
            error.request_id = payload.request_id if payload is not None else ""
            raise error from failed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)


# What is none of these, gRPC would wrap once more, and some versions of it then stumble over their own wrapper.
grpc.aio.UnaryStreamCall.register(_Call)
grpc.aio.StreamStreamCall.register(_Call)
