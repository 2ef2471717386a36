"""The synchronous client."""

from __future__ import annotations

import atexit
import contextlib
import threading
import time
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc

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
    from collections.abc import Callable, Generator, Iterator, Sequence
    from types import TracebackType

    from typing_extensions import Self


class Client:
    """A connection to Switchboard. Any number of threads may share it.

    Each service is an attribute that holds the generated stub: `client.messages.SendMessage(request, timeout=40)`.
    These calls send the token and raise `SwitchboardError`. The budget of a call is its `timeout`: until then, the call
    waits for a connection, and is retried if that is safe. Only reads and writes that have a `request_id` are retried,
    and only after UNAVAILABLE. A call without a `timeout` is retried for 60 seconds. If a request can have a
    `request_id` and has none, the client generates one.

    The logger `switchboard_client` reports reconnects as warnings and retries as information.

    Three kinds of call have one attempt: writes without a `request_id`, such as `UpdateContact`; streams, including
    `SendMessages`; and calls through `future`.
    """

    accounts: v1.AccountServiceStub
    contacts: v1.ContactServiceStub
    conversations: v1.ConversationServiceStub
    events: v1.EventServiceStub
    flows: v1.FlowServiceStub
    messages: v1.MessageServiceStub
    subscriptions: v1.SubscriptionServiceStub
    templates: v1.TemplateServiceStub
    webhook_registrations: v1.WebhookRegistrationServiceStub

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
        """Creates a client. It connects at the first call.

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
        self._channel = _Channel(self._target, max_attempts)
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
    def channel(self) -> grpc.Channel:
        """The channel for other stubs, such as health, reflection and the sandbox."""
        return self._channel

    def subscribe(
        self,
        request: v1.SubscribeRequest | None = None,
        *,
        on_gap: Callable[[v1.SubscribeGap], None] | None = None,
        on_reconnect: Callable[[SwitchboardError], None] | None = None,
    ) -> EventStream:
        """Streams events across broken connections and server restarts. See `EventStream`.

        Args:
            request: The filter and the start position. By default all events from now on.
            on_gap: Called in place of expired events. Without it, the stream fails with CURSOR_EXPIRED.
            on_reconnect: Called with the cause when a stream broke or could not be opened, before the wait for the
                next one. For metrics and alerts.
        """
        return EventStream(self._target, Progress(request, reports_gaps=on_gap is not None), on_gap, on_reconnect)

    def ensure_subscription(
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
                response = getattr(self.subscriptions, step.method)(step.request, timeout=step.remaining())
            except SwitchboardError as failed:
                try:
                    time.sleep(step.attempts.delay(failed))
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

    def close(self) -> None:
        """Closes the connection and cancels its calls. Event streams have their own connections and stay open."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<switchboard_client.Client to {self._target.address}>"


class EventStream:
    """An iterator of events in order. It ends only at a limit of the request, at `close`, or with an error.

    The stream has its own connection. It reconnects if the connection breaks, if the server shuts down, or if nothing
    arrives for two heartbeat intervals. No event is lost or delivered twice by a reconnect. Use it in a `with`
    statement. One thread may iterate; any thread may call `close`.

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
        on_gap: Callable[[v1.SubscribeGap], None] | None,
        on_reconnect: Callable[[SwitchboardError], None] | None,
    ) -> None:
        self._target = target
        self._progress = progress
        self._on_gap = on_gap
        self._on_reconnect = on_reconnect
        self._closed = threading.Event()
        self._watchdog = _Watchdog()
        self._channel: grpc.Channel | None = None
        self._events = self._run()
        self._advancing = threading.Lock()
        _streams.add(self)

    @property
    def cursor(self) -> str | None:
        """The cursor after the last finished event. None before the first stream has started.

        An event is finished when the loop asks for the next one. Without a named subscription, save the cursor and pass
        it as `SubscribeRequest.after_cursor` to resume.
        """
        return self._progress.cursor

    def acknowledge(self, event: v1.Event | None = None, *, timeout: float | None = 10) -> None:
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
        with contextlib.ExitStack() as own:
            channel = self._channel
            if channel is None:
                channel = own.enter_context(self._target.channel(OWN_CONNECTION))
            stub = v1.SubscriptionServiceStub(channel)
            while True:
                try:
                    stub.Acknowledge(ack, attempts.remaining(), self._target.metadata)
                except grpc.RpcError as failed:
                    self._progress.record_acknowledgement(ack, SwitchboardError.from_rpc_error(failed))
                    delay = attempts.delay(failed)
                else:
                    self._progress.record_acknowledgement(ack, None)
                    return
                time.sleep(delay)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> v1.Event:
        with self._advancing:
            return next(self._events)

    def _run(self) -> Generator[v1.Event, None, None]:
        try:
            while not self._closed.is_set():
                ended = yield from self._read_stream()
                if self._closed.is_set():
                    return
                delay = self._progress.delay(ended)
                if delay is None:
                    return
                self._report_reconnect()
                self._closed.wait(delay)
        finally:
            self._close_channel()
            self._watchdog.stop()

    def _read_stream(self) -> Generator[v1.Event, None, SwitchboardError | None]:
        """Reads one stream to its end."""
        # A new channel each time. A new stream on the old channel would use the dead connection.
        if self._channel is not None:
            self._channel.close()
        self._channel = channel = self._target.channel(OWN_CONNECTION)
        self._watchdog.watch(channel)
        stub, metadata = v1.SubscriptionServiceStub(channel), self._target.metadata
        request = self._progress.open()
        if (ack := self._progress.unacknowledged()) is not None:
            # Otherwise the server would redeliver finished events.
            sent = _start(stub.Acknowledge.future, ack, self._progress.max_silence(), metadata)
            if (error := self._progress.record_acknowledgement(ack, _outcome(sent))) is not None:
                return error
        call = _start(v1.EventServiceStub(channel).Subscribe, request, metadata=metadata)
        acknowledger = _Acknowledger(self._progress, partial(stub.Acknowledge.future, metadata=metadata), channel)
        try:
            while isinstance(response := self._read(call), v1.SubscribeResponse):
                if (item := self._progress.handle(response)) is not None:
                    if isinstance(item, v1.Event):
                        yield item
                    elif self._on_gap is not None:
                        self._on_gap(item)
                    if self._closed.is_set():
                        # `close` may have ended the body's own work too, so the item is not finished.
                        return None
                    self._progress.finish(item)
                acknowledger.wake()
        finally:
            acknowledger.stop()
        return acknowledger.failure or response

    def _report_reconnect(self) -> None:
        cause = self._progress.take_cause()
        if self._on_reconnect is not None and cause is not None:
            self._on_reconnect(cause)

    def _close_channel(self) -> None:
        channel, self._channel = self._channel, None
        if channel is None:
            return
        with contextlib.ExitStack() as channels:
            channels.enter_context(channel)
            if (ack := self._progress.unacknowledged()) is None:
                return
            if self._watchdog.closed_channel:
                channel = channels.enter_context(self._target.channel(OWN_CONNECTION))
            stub = v1.SubscriptionServiceStub(channel)
            # A closed channel raises ValueError. The acknowledger closes it if the server rejects the acknowledgement.
            with contextlib.suppress(grpc.RpcError, ValueError):
                stub.Acknowledge(ack, FINAL_ACKNOWLEDGE_SECONDS, self._target.metadata)
                self._progress.record_acknowledgement(ack, None)

    def _read(self, call: Iterator[v1.SubscribeResponse] | None) -> v1.SubscribeResponse | SwitchboardError | None:
        if call is None:
            return _channel_closed()
        self._watchdog.arm(self._progress.max_silence())
        try:
            return next(call, None)
        except grpc.RpcError as failed:
            return silence_error() if self._watchdog.timed_out else SwitchboardError.from_rpc_error(failed)
        except ValueError:
            # An instrumented call starts here, and its channel may have been closed meanwhile.
            return _channel_closed()
        finally:
            self._watchdog.disarm()

    def close(self) -> None:
        """Closes the stream. A loop in another thread ends. The event in the loop's body is not finished."""
        self._closed.set()
        if self._advancing.acquire(blocking=False):
            try:
                self._events.close()
            finally:
                self._advancing.release()
        else:
            # A loop waits in another thread. It ends because its channel is closed.
            self._watchdog.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<switchboard_client.EventStream to {self._target.address}>"


_streams: weakref.WeakSet[EventStream] = weakref.WeakSet()


@atexit.register
def _close_streams() -> None:
    # At this point threads still run. Later, gRPC waits forever for them when it closes a channel with an open call.
    for stream in list(_streams):
        stream.close()


def _start(method: Callable[..., Any], *args: Any, **kw: Any) -> Any:
    """Starts a call. Returns None if its channel was closed meanwhile."""
    try:
        return method(*args, **kw)
    except ValueError:
        return None


def _channel_closed() -> SwitchboardError:
    return SwitchboardError(grpc.StatusCode.CANCELLED, details="the channel was closed")


def _outcome(call: Any) -> SwitchboardError | None:
    if call is None:
        return _channel_closed()
    try:
        call.result()
    except grpc.RpcError as failed:
        return SwitchboardError.from_rpc_error(failed)
    except grpc.FutureCancelledError:
        return SwitchboardError(grpc.StatusCode.CANCELLED, details="the call was cancelled")
    return None


class _Acknowledger:
    """Acknowledges finished events while a stream is open."""

    def __init__(
        self, progress: Progress, acknowledge: Callable[[v1.AcknowledgeRequest, float], Any], channel: grpc.Channel
    ) -> None:
        self.failure: SwitchboardError | None = None
        """The error that ended the stream because the server rejects the acknowledgement."""
        self._progress = progress
        self._acknowledge = acknowledge
        self._channel = channel
        self._finished = threading.Event()
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._sent: Any = None
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        if not self._progress.acknowledge_due():
            return
        self._finished.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="switchboard-acknowledger", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        with self._lock:
            self._stopped.set()
            self._finished.set()
            if self._sent is not None:
                self._sent.cancel()

    def _run(self) -> None:
        while True:
            self._finished.wait()
            self._finished.clear()
            pause = ACKNOWLEDGE_SECONDS
            if (error := self._send()) is not None and not self._stopped.is_set():
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    self.failure = error
                    self._channel.close()
                    return
                if error.retry_delay is not None:
                    pause = max(pause, min(error.retry_delay.total_seconds(), MAX_DELAY_SECONDS))
                self._finished.set()
            if self._stopped.wait(pause):
                return

    def _send(self) -> SwitchboardError | None:
        with self._lock:
            ack = self._progress.unacknowledged()
            if ack is None or self._stopped.is_set():
                return None
            self._sent = _start(self._acknowledge, ack, START_SECONDS)
        return self._progress.record_acknowledgement(ack, _outcome(self._sent))


class _Watchdog:
    """Closes the channel of a stream that stays silent for too long.

    It does not cancel the call, because an instrumented call may be a plain generator without `cancel`.
    """

    def __init__(self) -> None:
        self.timed_out = self.closed_channel = False
        self._changed = threading.Condition()
        self._channel: grpc.Channel | None = None
        self._deadline: float | None = None
        self._next_check: float | None = None
        self._stopped = False
        self._thread: threading.Thread | None = None

    def watch(self, channel: grpc.Channel) -> None:
        with self._changed:
            self._channel, self.timed_out, self.closed_channel = channel, False, False
            if self._stopped:
                self._close()
            elif self._thread is None:
                self._thread = threading.Thread(target=self._run, name="switchboard-watchdog", daemon=True)
                self._thread.start()

    def arm(self, seconds: float) -> None:
        with self._changed:
            self._deadline = time.monotonic() + seconds
            # Most events arrive early, so the thread checks the new deadline only when the old one passes.
            if self._next_check is None or self._deadline < self._next_check:
                self._changed.notify()

    def disarm(self) -> None:
        with self._changed:
            self._deadline = None

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._close()
            self._changed.notify()

    def _close(self) -> None:
        if self._channel is not None:
            self.closed_channel = True
            self._channel.close()

    def _run(self) -> None:
        with self._changed:
            while not self._stopped:
                now = time.monotonic()
                if self._deadline is not None and self._deadline <= now:
                    self._deadline, self.timed_out = None, True
                    self._close()
                self._next_check = self._deadline
                self._changed.wait(None if self._next_check is None else self._next_check - now)


class _Channel(grpc.Channel):
    """A channel whose calls send the token, raise `SwitchboardError`, and are retried if that is safe."""

    def __init__(self, target: Target, max_attempts: int | None) -> None:
        self._inner = target.channel()
        self._metadata = target.metadata
        self._max_attempts = max_attempts

    def unary_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        call = self._inner.unary_unary(method, *args, **kwargs)
        return _UnaryUnary(call, partial(SingleRequest, method), self._metadata, self._max_attempts)

    def stream_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        call = self._inner.stream_unary(method, *args, **kwargs)
        return _StreamUnary(call, partial(RequestStream, method), self._metadata, self._max_attempts)

    def unary_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return _UnaryStream(
            self._inner.unary_stream(method, *args, **kwargs), method, self._metadata, self._max_attempts
        )

    def stream_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        call = self._inner.stream_stream(method, *args, **kwargs)
        return _StreamStream(call, method, self._metadata, self._max_attempts)

    def subscribe(self, callback: Callable[[grpc.ChannelConnectivity], None], try_to_connect: bool = False) -> None:
        self._inner.subscribe(callback, try_to_connect)

    def unsubscribe(self, callback: Callable[[grpc.ChannelConnectivity], None]) -> None:
        self._inner.unsubscribe(callback)

    def close(self) -> None:
        self._inner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _wait_for_ready(args: tuple[Any, ...], kw: dict[str, Any], timeout: float | None, limit: int | None) -> None:
    """Sets the keyword `wait_for_ready`, unless the program has set it. `args` start with the credentials."""
    if len(args) < 2 and kw.get("wait_for_ready") is None:
        kw["wait_for_ready"] = waits_for_ready(timeout, limit)


class _RetryingMethod:
    """A method with one response."""

    def __init__(
        self,
        inner: Any,
        prepare: Callable[[Any], SingleRequest | RequestStream],
        metadata: tuple[tuple[str, str], ...],
        max_attempts: int | None,
    ) -> None:
        self._inner = inner
        self._prepare = prepare
        self._metadata = metadata
        self._max_attempts = max_attempts

    def _call_with_retries(self, request: Any, timeout: float | None, metadata: Any, *args: Any, **kw: Any) -> Any:
        payload = self._prepare(request)
        attempts = Attempts(payload, limit=self._max_attempts, timeout=timeout)
        metadata = (*(metadata or ()), *self._metadata)
        _wait_for_ready(args, kw, timeout, self._max_attempts)
        while True:
            try:
                return self._inner.with_call(payload.for_attempt(), attempts.remaining(), metadata, *args, **kw)
            except grpc.RpcError as failed:
                delay = attempts.delay(failed)
            time.sleep(delay)

    def _future(self, request: Any, timeout: float | None, metadata: Any, *args: Any, **kw: Any) -> Any:
        payload = self._prepare(request)
        metadata = (*(metadata or ()), *self._metadata)
        _wait_for_ready(args, kw, timeout, self._max_attempts)
        return _Future(self._inner.future(payload.for_attempt(), timeout, metadata, *args, **kw), payload)


class _UnaryUnary(_RetryingMethod, grpc.UnaryUnaryMultiCallable):  # type: ignore[type-arg]
    def __call__(self, request: Any, timeout: float | None = None, metadata: Any = None, *args: Any, **kw: Any) -> Any:
        return self._call_with_retries(request, timeout, metadata, *args, **kw)[0]

    def with_call(self, request: Any, timeout: float | None = None, metadata: Any = None, *args: Any, **kw: Any) -> Any:
        return self._call_with_retries(request, timeout, metadata, *args, **kw)

    def future(self, request: Any, timeout: float | None = None, metadata: Any = None, *args: Any, **kw: Any) -> Any:
        return self._future(request, timeout, metadata, *args, **kw)


class _StreamUnary(_RetryingMethod, grpc.StreamUnaryMultiCallable):  # type: ignore[type-arg]
    def __call__(
        self, request_iterator: Any, timeout: float | None = None, metadata: Any = None, *args: Any, **kw: Any
    ) -> Any:
        return self._call_with_retries(request_iterator, timeout, metadata, *args, **kw)[0]

    def with_call(
        self, request_iterator: Any, timeout: float | None = None, metadata: Any = None, *args: Any, **kw: Any
    ) -> Any:
        return self._call_with_retries(request_iterator, timeout, metadata, *args, **kw)

    def future(
        self, request_iterator: Any, timeout: float | None = None, metadata: Any = None, *args: Any, **kw: Any
    ) -> Any:
        return self._future(request_iterator, timeout, metadata, *args, **kw)


class _Future:
    """A gRPC future that raises `SwitchboardError`."""

    def __init__(self, call: Any, payload: SingleRequest | RequestStream) -> None:
        self._call = call
        self._payload = payload

    def result(self, timeout: float | None = None) -> Any:
        if (error := self.exception(timeout)) is not None:
            raise error
        return self._call.result()

    def exception(self, timeout: float | None = None) -> Exception | None:
        failed: Exception | None = self._call.exception(timeout)
        if not isinstance(failed, grpc.RpcError):
            return failed
        if self._payload.source_error is not None:
            return self._payload.source_error
        error = SwitchboardError.from_rpc_error(failed)
        error.request_id = self._payload.request_id
        return error

    def add_done_callback(self, callback: Callable[[Any], Any]) -> None:
        self._call.add_done_callback(lambda _: callback(self))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)


grpc.Future.register(_Future)


class _StreamingMethod:
    """A method with a stream of responses."""

    def __init__(
        self, inner: Any, method: str, metadata: tuple[tuple[str, str], ...], max_attempts: int | None
    ) -> None:
        self._inner = inner
        self._method = method
        self._metadata = metadata
        self._max_attempts = max_attempts

    def _start(self, request: Any, timeout: float | None, metadata: Any, *args: Any, **kw: Any) -> Any:
        _wait_for_ready(args, kw, timeout, self._max_attempts)
        return self._inner(request, timeout, (*(metadata or ()), *self._metadata), *args, **kw)


class _UnaryStream(_StreamingMethod, grpc.UnaryStreamMultiCallable):  # type: ignore[type-arg]
    def __call__(self, request: Any, timeout: float | None = None, metadata: Any = None, *args: Any, **kw: Any) -> Any:
        return _Stream(self._start(request, timeout, metadata, *args, **kw))


class _StreamStream(_StreamingMethod, grpc.StreamStreamMultiCallable):  # type: ignore[type-arg]
    def __call__(
        self, request_iterator: Any, timeout: float | None = None, metadata: Any = None, *args: Any, **kw: Any
    ) -> Any:
        payload = RequestStream(self._method, request_iterator)
        return _Stream(self._start(payload.for_attempt(), timeout, metadata, *args, **kw), payload)


class _Stream:
    """A gRPC call that raises `SwitchboardError`."""

    def __init__(self, call: Any, payload: RequestStream | None = None) -> None:
        self._call = call
        self._payload = payload

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        try:
            return next(self._call)
        except grpc.RpcError as failed:
            if self._payload is not None and self._payload.source_error is not None:
                raise self._payload.source_error from None
            raise SwitchboardError.from_rpc_error(failed) from failed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)
