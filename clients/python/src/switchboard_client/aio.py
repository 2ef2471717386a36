"""The asyncio client. It has the same names as `switchboard_client`, with awaitable methods."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import grpc
import grpc.aio

from switchboard_client import v1
from switchboard_client._calls import (
    DEFAULT_BUDGET_SECONDS,
    MAX_DELAY_SECONDS,
    Attempts,
    RequestStream,
    SingleRequest,
    repeatable_attempts,
    waits_for_ready,
)
from switchboard_client._connection import OWN_CONNECTION, Target
from switchboard_client._errors import SwitchboardError
from switchboard_client._progress import (
    ACKNOWLEDGE_SECONDS,
    FINAL_ACKNOWLEDGE_SECONDS,
    START_SECONDS,
    Progress,
    silence_error,
)
from switchboard_client._subscriptions import steps

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterator, Sequence
    from types import AsyncGeneratorType, TracebackType

    from typing_extensions import Self

    from switchboard_client.v1.account_service_pb2_grpc import AccountServiceAsyncStub
    from switchboard_client.v1.contact_service_pb2_grpc import ContactServiceAsyncStub
    from switchboard_client.v1.conversation_service_pb2_grpc import ConversationServiceAsyncStub
    from switchboard_client.v1.event_service_pb2_grpc import EventServiceAsyncStub
    from switchboard_client.v1.flow_service_pb2_grpc import FlowServiceAsyncStub
    from switchboard_client.v1.message_service_pb2_grpc import MessageServiceAsyncStub
    from switchboard_client.v1.subscription_service_pb2_grpc import SubscriptionServiceAsyncStub
    from switchboard_client.v1.template_service_pb2_grpc import TemplateServiceAsyncStub
    from switchboard_client.v1.webhook_registration_service_pb2_grpc import WebhookRegistrationServiceAsyncStub

__all__ = ["Client", "EventStream"]


class Client:
    """A connection to Switchboard for one event loop.

    Each service is an attribute that holds the generated stub, as in `await client.messages.SendMessage(request)`.
    These calls send the token and raise `SwitchboardError`. The budget of a call is its `timeout`: until then, the call
    waits for a connection, and is retried if that is safe. Only reads and writes that have a `request_id` are retried,
    and only after UNAVAILABLE. A call without a `timeout` is retried for 60 seconds. If a request can have a
    `request_id` and has none, the client generates one.

    The logger `switchboard_client` reports reconnects as warnings and retries as information.

    Two kinds of call have one attempt: writes without a `request_id`, such as `UpdateContact`; and streams, including
    `SendMessages`.
    """

    accounts: AccountServiceAsyncStub
    contacts: ContactServiceAsyncStub
    conversations: ConversationServiceAsyncStub
    events: EventServiceAsyncStub
    flows: FlowServiceAsyncStub
    messages: MessageServiceAsyncStub
    subscriptions: SubscriptionServiceAsyncStub
    templates: TemplateServiceAsyncStub
    webhook_registrations: WebhookRegistrationServiceAsyncStub

    def __init__(
        self,
        address: str,
        credentials: grpc.ChannelCredentials | None = None,
        *,
        plaintext: bool | None = None,
        token: str | None = None,
        max_attempts: int | None = None,
        options: Sequence[tuple[str, Any]] = (),
    ) -> None:
        """Creates a client. Call it inside the event loop that uses the client. It connects at the first call.

        Args:
            address: `host:port`, or any other gRPC target.
            credentials: TLS credentials from `grpc.ssl_channel_credentials`. Default: TLS with gRPC's own root
                certificates, or plaintext to a loopback address.
            plaintext: True for plaintext beyond loopback, False for TLS to a loopback address.
            token: Sent with every call. Beyond loopback it requires TLS.
            max_attempts: The maximum number of attempts of a call. By default only the timeout limits them. 1 disables
                retries and the wait for a connection.
            options: Additional gRPC channel options, such as `("grpc.max_receive_message_length", 16 << 20)`.

        Raises:
            ValueError: If the address is empty or a URL, or the arguments contradict each other.
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
        self.conversations = v1.ConversationServiceStub(self._channel)
        self.events = v1.EventServiceStub(self._channel)
        self.flows = v1.FlowServiceStub(self._channel)
        self.messages = v1.MessageServiceStub(self._channel)
        self.subscriptions = v1.SubscriptionServiceStub(self._channel)
        self.templates = v1.TemplateServiceStub(self._channel)
        self.webhook_registrations = v1.WebhookRegistrationServiceStub(self._channel)

    @property
    def channel(self) -> grpc.aio.Channel:
        """The channel for other stubs, such as health, reflection and the sandbox."""
        return self._channel

    def subscribe(
        self,
        request: v1.SubscribeRequest | None = None,
        *,
        on_gap: Callable[[v1.SubscribeGap], Awaitable[None] | None] | None = None,
        on_reconnect: Callable[[SwitchboardError], Awaitable[None] | None] | None = None,
    ) -> EventStream:
        """Streams events across broken connections and server restarts. See `EventStream`.

        Both callbacks are awaited if they return an awaitable.

        Args:
            request: The filter and the start position. By default all events from now on.
            on_gap: Called in place of expired events. Without it, the stream fails with CURSOR_EXPIRED.
            on_reconnect: Called with the cause when a stream broke or could not be opened, before the wait for the
                next one. For metrics and alerts.
        """
        return EventStream(self._target, Progress(request, reports_gaps=on_gap is not None), on_gap, on_reconnect)

    async def ensure_subscription(
        self, request: v1.CreateSubscriptionRequest, *, timeout: float = DEFAULT_BUDGET_SECONDS
    ) -> v1.Subscription:
        """Makes the server store a named subscription, and returns it. Call it when the program starts.

        If no subscription of this id exists, it is created at the start position of the request. If one exists with
        another filter or other labels, these are changed, and the position stays. Every step is retried after
        UNAVAILABLE.

        Args:
            request: The whole subscription: no filter means all events, and no labels mean none.
            timeout: Seconds for all steps.
        """
        plan = steps(request, timeout)
        step = next(plan)
        while True:
            try:
                response = await getattr(self.subscriptions, step.method)(step.request, timeout=step.remaining())
            except SwitchboardError as failed:
                try:
                    await asyncio.sleep(step.attempts.delay(failed))
                    continue
                except SwitchboardError as error:
                    advance = partial(plan.throw, error)
            else:
                advance = partial(plan.send, response)
            try:
                step = advance()
            except StopIteration as done:
                subscription: v1.Subscription = done.value
                return subscription

    async def close(self) -> None:
        """Closes the connection and cancels its calls. Event streams have their own connections and stay open."""
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
    """An iterator of events in order. It ends only at a limit of the request, at `close`, or with an error.

    The stream has its own connection. It reconnects if the connection breaks, if the server shuts down, or if nothing
    arrives for two heartbeat intervals. No event is lost or delivered twice by a reconnect. Use it in an `async with`
    statement. One task may iterate; any task may call `close`. An abandoned wait loses no event: after a timeout of
    `asyncio.wait_for(anext(stream), 1)`, the next `anext` continues the same wait.

    For a named subscription (`SubscribeRequest.subscription_id`) the server stores the cursor. The stream acknowledges
    finished events within about a second, after every heartbeat, before it reopens, and at its end; the end then takes
    up to two seconds. If a loop fails, or is closed while its body runs, the next stream of the subscription redelivers
    the event that the loop was processing. If the subscription is moved or gets another filter, the stream continues
    from its new state. If the subscription is deleted, the stream ends with NOT_FOUND.

    Raises:
        SwitchboardError: For an error that a new connection cannot solve, such as an invalid request or an expired
            cursor. The iterator is exhausted after it.
    """

    def __init__(
        self,
        target: Target,
        progress: Progress,
        on_gap: Callable[[v1.SubscribeGap], Awaitable[None] | None] | None,
        on_reconnect: Callable[[SwitchboardError], Awaitable[None] | None] | None,
    ) -> None:
        self._target = target
        self._progress = progress
        self._on_gap = on_gap
        self._on_reconnect = on_reconnect
        self._closed = asyncio.Event()
        self._channel: grpc.aio.Channel | None = None
        self._call: Any = None
        self._ended: SwitchboardError | None = None
        # This task continues when a wait is cancelled, so the next `anext` gets the event.
        self._advancing: asyncio.Task[v1.Event | None] | None = None
        self._awaited = self._in_callback = False
        # mypy infers a wider type without `ag_running`.
        self._events = cast("AsyncGeneratorType[v1.Event, None]", self._run())

    @property
    def cursor(self) -> str | None:
        """The cursor after the last finished event. None before the first stream has started.

        An event is finished when the loop asks for the next one. Without a named subscription, save the cursor and pass
        it as `SubscribeRequest.after_cursor` to resume.
        """
        return self._progress.cursor

    async def acknowledge(self, event: v1.Event | None = None, *, timeout: float | None = 10) -> None:
        """Acknowledges events of a named subscription and waits until the server has persisted that.

        The stream acknowledges finished events by itself, a little later. Call this in the loop body if an event must
        be acknowledged before the next step. After UNAVAILABLE the call retries until `timeout`; after that the stream
        retries.

        Args:
            event: The current event of the loop body, which this finishes. By default only events that the loop has
                finished are acknowledged.
            timeout: Seconds for the whole call.

        Raises:
            SwitchboardError: If the server rejects the acknowledgement. The reason SUBSCRIPTION_GENERATION_STALE means
                that the subscription was moved or got another filter, so the event may be redelivered. The stream
                continues.
            ValueError: If the request names no subscription.
        """
        if (ack := self._progress.acknowledge(event)) is None:
            return
        attempts = repeatable_attempts("Acknowledge", ack, timeout=timeout)
        async with contextlib.AsyncExitStack() as own:
            channel = self._channel
            if channel is None:
                channel = await own.enter_async_context(self._target.aio_channel(OWN_CONNECTION))
            stub = v1.SubscriptionServiceStub(channel)
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
            raise RuntimeError("another task is iterating over this event stream")
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
                await self._report(self._on_reconnect, self._progress.take_cause())
                await _within(delay, self._closed.wait())
        finally:
            await self._close_channel()

    async def _read_stream(self) -> AsyncGenerator[v1.Event, None]:
        """Reads one stream to its end and sets `_ended`."""
        # A new channel each time. A new stream on the old channel would use the dead connection.
        if self._channel is not None:
            await self._channel.close()
        self._channel = self._target.aio_channel(OWN_CONNECTION)
        stub, metadata = v1.SubscriptionServiceStub(self._channel), self._target.metadata
        request = self._progress.open()
        self._ended = await self._acknowledge_first(stub)
        if self._ended is not None or self._closed.is_set():
            return
        self._call = v1.EventServiceStub(self._channel).Subscribe(request, metadata=metadata)
        acknowledger = _Acknowledger(self._progress, partial(stub.Acknowledge, metadata=metadata), self._call)
        try:
            while isinstance(response := await self._read(), v1.SubscribeResponse):
                if (item := self._progress.handle(response)) is not None:
                    if isinstance(item, v1.Event):
                        yield item
                    else:
                        await self._report(self._on_gap, item)
                    if self._closed.is_set():
                        # `close` may have ended the body's own work too, so the item is not finished.
                        self._ended = None
                        return
                    self._progress.finish(item)
                acknowledger.wake()
            self._ended = acknowledger.failure or response
        finally:
            # gRPC keeps the connection of a closed asyncio channel open while one of its calls is referenced.
            self._call.cancel()
            self._call = None
            await acknowledger.stop()

    async def _report(self, callback: Callable[[Any], Awaitable[None] | None] | None, item: Any) -> None:
        self._in_callback = True
        try:
            if callback is not None and inspect.isawaitable(awaited := callback(item)):
                await awaited
        finally:
            self._in_callback = False

    async def _acknowledge_first(self, stub: SubscriptionServiceAsyncStub) -> SwitchboardError | None:
        """Acknowledges before a stream opens. Otherwise the server would redeliver finished events."""
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
                call = v1.SubscriptionServiceStub(channel).Acknowledge(ack, metadata=self._target.metadata)
                self._progress.record_acknowledgement(ack, _error(await _outcome(FINAL_ACKNOWLEDGE_SECONDS, call)))

    async def close(self) -> None:
        """Closes the stream. A loop in another task ends. The event in the loop's body is not finished."""
        self._closed.set()
        if self._call is not None:
            self._call.cancel()
        advancing = self._advancing
        if self._awaited or advancing is asyncio.current_task():
            # The waiting task sees the end of the stream.
            return
        self._advancing = None
        if advancing is not None:
            if self._in_callback:
                advancing.cancel()
            await asyncio.wait({advancing})
            if not advancing.cancelled():
                # Retrieve the exception, so asyncio does not log it as unhandled.
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
    """Acknowledges finished events while a stream is open."""

    def __init__(self, progress: Progress, acknowledge: Callable[[v1.AcknowledgeRequest], Any], call: Any) -> None:
        self.failure: SwitchboardError | None = None
        """The error that ended the stream because the server rejects the acknowledgement."""
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
    """The result of a call, or the error that it ends with."""
    task = await _within(seconds, awaitable)
    if task is None:
        return silence_error()
    if task.cancelled():
        # `close` or a reset of the stream cancelled it. gRPC reports both as a cancelled task.
        return SwitchboardError(grpc.StatusCode.CANCELLED, details="the stream was reset")
    if isinstance(failed := task.exception(), grpc.RpcError):
        return SwitchboardError.from_rpc_error(failed)
    return task.result()


def _error(outcome: Any) -> SwitchboardError | None:
    return outcome if isinstance(outcome, SwitchboardError) else None


async def _within(seconds: float, awaitable: Awaitable[Any]) -> asyncio.Task[Any] | None:
    """Waits for at most `seconds`. `asyncio.wait_for` can lose a cancellation and raises its own."""
    task = asyncio.ensure_future(awaitable)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
    finally:
        task.cancel()
    return task if done else None


class _Interceptor:
    def __init__(self, target: Target, max_attempts: int | None) -> None:
        self._metadata = target.metadata
        self._max_attempts = max_attempts

    def _details(self, details: grpc.aio.ClientCallDetails, timeout: float | None) -> grpc.aio.ClientCallDetails:
        metadata = grpc.aio.Metadata(*(details.metadata or ()), *self._metadata)
        waits = details.wait_for_ready
        if waits is None:
            waits = waits_for_ready(timeout, self._max_attempts)
        return grpc.aio.ClientCallDetails(details.method, timeout, metadata, details.credentials, waits)

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
                    # `_Call` raises it. Older gRPC versions fail if an interceptor raises another exception.
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


def _method(details: Any) -> str:
    method: str | bytes = details.method
    return method.decode() if isinstance(method, bytes) else method


class _UnaryUnary(_Interceptor, grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        payload = SingleRequest(_method(client_call_details), request)
        return await self._call_with_retries(continuation, client_call_details, payload)


class _StreamUnary(_Interceptor, grpc.aio.StreamUnaryClientInterceptor):
    async def intercept_stream_unary(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        payload = RequestStream(_method(client_call_details), request_iterator)
        if payload.repeatable:
            return await self._call_with_retries(continuation, client_call_details, payload)
        # Not awaited here, because a program that writes messages one by one needs the call before the first message.
        return await self._call_once(continuation, client_call_details, payload)


class _UnaryStream(_Interceptor, grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await self._call_once(continuation, client_call_details, request)


class _StreamStream(_Interceptor, grpc.aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        payload = RequestStream(_method(client_call_details), request_iterator)
        return await self._call_once(continuation, client_call_details, payload)


class _Call:
    """A gRPC call that raises `SwitchboardError`."""

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


# gRPC wraps objects of other classes again, and some gRPC versions fail on their own wrapper.
grpc.aio.UnaryStreamCall.register(_Call)
grpc.aio.StreamStreamCall.register(_Call)
