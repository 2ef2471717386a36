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
    from collections.abc import Callable, Generator, Iterator, Sequence
    from types import TracebackType

    from typing_extensions import Self


class Client:
    """A connection to Switchboard, for any number of threads.

    Each service is an attribute that holds the generated stub: `client.messages.SendMessage(request, timeout=40)`.
    Calls through them carry the token, fail with `SwitchboardError`, and are tried again where that is safe: only after
    UNAVAILABLE, only reads and writes that have a `request_id`, and within `timeout`. Where a request can have a
    `request_id` and has none, it is given one.

    Three things are sent once: `UpdateContact` and what else changes something without a `request_id`; streams,
    `SendMessages` included; and a call by `future`.
    """

    accounts: v1.AccountServiceStub
    contacts: v1.ContactServiceStub
    events: v1.EventServiceStub
    flows: v1.FlowServiceStub
    messages: v1.MessageServiceStub
    templates: v1.TemplateServiceStub
    webhooks: v1.WebhookServiceStub

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
        """Makes a client. It connects with the first call.

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
        self._channel = _Channel(self._target, max_attempts)
        self.accounts = v1.AccountServiceStub(self._channel)
        self.contacts = v1.ContactServiceStub(self._channel)
        self.events = v1.EventServiceStub(self._channel)
        self.flows = v1.FlowServiceStub(self._channel)
        self.messages = v1.MessageServiceStub(self._channel)
        self.templates = v1.TemplateServiceStub(self._channel)
        self.webhooks = v1.WebhookServiceStub(self._channel)

    @property
    def channel(self) -> grpc.Channel:
        """The channel, for other stubs: health, reflection, the sandbox."""
        return self._channel

    def subscribe(
        self, request: v1.SubscribeRequest | None = None, *, on_gap: Callable[[v1.SubscribeGap], None] | None = None
    ) -> EventStream:
        """Follows the events, over broken connections and restarts of the server. See `EventStream`.

        Args:
            request: Which events, and from where on: by default all, from now on.
            on_gap: Called where events are missing that are no longer kept, instead of failing with CURSOR_EXPIRED.
        """
        return EventStream(self._target, Progress(request, reports_gaps=on_gap is not None), on_gap)

    def close(self) -> None:
        """Ends the connection and what is under way on it. Subscriptions have their own."""
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
    """The events from a place on, in their order: an iterator that ends only when it was told to, or with an error.

    It has a connection of its own, and opens it anew when it breaks, when the server goes away, and when nothing was
    heard for two heartbeats: no event is lost, and none comes twice. Use it in a `with` statement. One thread may
    iterate; any may `close`.

    Of a named subscription (`SubscribeRequest.subscription`) the server keeps the place: what the loop has finished
    with is acknowledged within about a second, with every heartbeat, before a stream is opened again, and in the end,
    which may take two seconds then. So the event that was at hand when a loop failed comes again to the next one. When
    somebody moves the subscription or gives it another filter, the loop goes on with that. When somebody deletes it,
    the loop ends with NOT_FOUND.

    Raises:
        SwitchboardError: What no new connection mends: a request that is wrong, a cursor whose events are no longer
            kept. After that, the iterator is at its end.
    """

    def __init__(self, target: Target, progress: Progress, on_gap: Callable[[v1.SubscribeGap], None] | None) -> None:
        self._target = target
        self._progress = progress
        self._on_gap = on_gap
        self._closed = threading.Event()
        self._watchdog = _Watchdog()
        self._channel: grpc.Channel | None = None
        self._events = self._run()
        self._advancing = threading.Lock()
        _streams.add(self)

    @property
    def cursor(self) -> str | None:
        """The place behind the last event that is finished. None before the first stream has started.

        An event is finished when the loop moves on to the next. Keep the cursor, unless the subscription is a named
        one, and start at it by `SubscribeRequest.after_cursor` the next time.
        """
        return self._progress.cursor

    def acknowledge(self, event: v1.Event | None = None, *, timeout: float | None = 10) -> None:
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
        with contextlib.ExitStack() as own:
            channel = self._channel
            if channel is None:
                channel = own.enter_context(self._target.channel(OWN_CONNECTION))
            stub = v1.EventServiceStub(channel)
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
                self._closed.wait(delay)
        finally:
            self._watchdog.stop()
            self._close_channel()

    def _read_stream(self) -> Generator[v1.Event, None, SwitchboardError | None]:
        """Follows one stream to its end."""
        # A new channel each time: on the old one, a new stream would take the connection that is dead.
        if self._channel is not None:
            self._channel.close()
        self._channel = self._target.channel(OWN_CONNECTION)
        stub, metadata = v1.EventServiceStub(self._channel), self._target.metadata
        request = self._progress.open()
        if (ack := self._progress.unacknowledged()) is not None:
            # What the server does not know to be finished would come again.
            sent = stub.Acknowledge.future(ack, self._progress.max_silence(), metadata)
            self._watchdog.watch(sent)
            if (error := self._progress.record_acknowledgement(ack, _outcome(sent))) is not None:
                return error
        call = stub.Subscribe(request, metadata=metadata)
        self._watchdog.watch(call)
        acknowledger = _Acknowledger(self._progress, partial(stub.Acknowledge.future, metadata=metadata), call)
        try:
            while isinstance(response := self._read(call), v1.SubscribeResponse):
                if (item := self._progress.handle(response)) is not None:
                    if isinstance(item, v1.Event):
                        yield item
                    elif self._on_gap is not None:
                        self._on_gap(item)
                    self._progress.finish(item)
                acknowledger.wake()
        finally:
            acknowledger.stop()
        return acknowledger.failure or response

    def _close_channel(self) -> None:
        channel, self._channel = self._channel, None
        if channel is None:
            return
        with channel:
            if (ack := self._progress.unacknowledged()) is not None:
                with contextlib.suppress(grpc.RpcError):
                    v1.EventServiceStub(channel).Acknowledge(ack, FINAL_ACKNOWLEDGE_SECONDS, self._target.metadata)
                    self._progress.record_acknowledgement(ack, None)

    def _read(self, call: Iterator[v1.SubscribeResponse]) -> v1.SubscribeResponse | SwitchboardError | None:
        self._watchdog.arm(self._progress.max_silence())
        try:
            return next(call, None)
        except grpc.RpcError as failed:
            return silence_error() if self._watchdog.timed_out else SwitchboardError.from_rpc_error(failed)
        finally:
            self._watchdog.disarm()

    def close(self) -> None:
        """Ends the subscription. A loop in another thread comes to its end."""
        self._closed.set()
        self._watchdog.stop()
        # A loop that waits in another thread cannot be ended from here: its call was, and it ends by itself.
        if self._advancing.acquire(blocking=False):
            try:
                self._events.close()
            finally:
                self._advancing.release()

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
    # While there are threads: later on, gRPC waits for them for ever to close a channel that has a call.
    for stream in list(_streams):
        stream.close()


def _outcome(call: Any) -> SwitchboardError | None:
    try:
        call.result()
    except grpc.RpcError as failed:
        return SwitchboardError.from_rpc_error(failed)
    except grpc.FutureCancelledError:
        return SwitchboardError(grpc.StatusCode.CANCELLED, details="the call was cancelled")
    return None


class _Acknowledger:
    """Acknowledges what is finished while a stream is open."""

    def __init__(
        self, progress: Progress, acknowledge: Callable[[v1.AcknowledgeRequest, float], Any], call: Any
    ) -> None:
        self.failure: SwitchboardError | None = None
        """Why the stream was broken off: no acknowledgement will do."""
        self._progress = progress
        self._acknowledge = acknowledge
        self._call = call
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
                    self._call.cancel()
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
            self._sent = self._acknowledge(ack, START_SECONDS)
        return self._progress.record_acknowledgement(ack, _outcome(self._sent))


class _Watchdog:
    """Cancels a call that was waited on for too long."""

    def __init__(self) -> None:
        self.timed_out = False
        self._changed = threading.Condition()
        self._call: Any = None
        self._deadline: float | None = None
        self._next_check: float | None = None
        self._stopped = False
        self._thread: threading.Thread | None = None

    def watch(self, call: Any) -> None:
        with self._changed:
            self._call, self.timed_out = call, False
            if self._stopped:
                call.cancel()
            elif self._thread is None:
                self._thread = threading.Thread(target=self._run, name="switchboard-watchdog", daemon=True)
                self._thread.start()

    def arm(self, seconds: float) -> None:
        with self._changed:
            self._deadline = time.monotonic() + seconds
            # Most events come long before their time: the thread sleeps on, and looks when it wakes.
            if self._next_check is None or self._deadline < self._next_check:
                self._changed.notify()

    def disarm(self) -> None:
        with self._changed:
            self._deadline = None

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            if self._call is not None:
                self._call.cancel()
            self._changed.notify()

    def _run(self) -> None:
        with self._changed:
            while not self._stopped:
                now = time.monotonic()
                if self._deadline is not None and self._deadline <= now:
                    self._deadline, self.timed_out = None, True
                    self._call.cancel()
                self._next_check = self._deadline
                self._changed.wait(None if self._next_check is None else self._next_check - now)


class _Channel(grpc.Channel):
    """A channel whose calls carry the token, tell their errors, and are tried again where that is safe."""

    def __init__(self, target: Target, max_attempts: int) -> None:
        self._inner = target.channel()
        self._metadata = target.metadata
        self._max_attempts = max_attempts

    def unary_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        call = self._inner.unary_unary(method, *args, **kwargs)
        return _UnaryUnary(call, partial(SingleRequest, method), self._metadata, self._max_attempts)

    def stream_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        call = self._inner.stream_unary(method, *args, **kwargs)
        return _StreamUnary(call, RequestStream, self._metadata, self._max_attempts)

    def unary_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return _UnaryStream(self._inner.unary_stream(method, *args, **kwargs), self._metadata)

    def stream_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return _StreamStream(self._inner.stream_stream(method, *args, **kwargs), self._metadata)

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


class _RetryingMethod:
    """A method with one answer."""

    def __init__(
        self,
        inner: Any,
        prepare: Callable[[Any], SingleRequest | RequestStream],
        metadata: tuple[tuple[str, str], ...],
        max_attempts: int,
    ) -> None:
        self._inner = inner
        self._prepare = prepare
        self._metadata = metadata
        self._max_attempts = max_attempts

    def _call_with_retries(self, request: Any, timeout: float | None, metadata: Any, *args: Any, **kw: Any) -> Any:
        payload = self._prepare(request)
        attempts = Attempts(payload, limit=self._max_attempts, timeout=timeout)
        metadata = (*(metadata or ()), *self._metadata)
        while True:
            try:
                return self._inner.with_call(payload.for_attempt(), attempts.remaining(), metadata, *args, **kw)
            except grpc.RpcError as failed:
                delay = attempts.delay(failed)
            time.sleep(delay)

    def _future(self, request: Any, timeout: float | None, metadata: Any, *args: Any, **kw: Any) -> Any:
        payload = self._prepare(request)
        metadata = (*(metadata or ()), *self._metadata)
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
    """A future of gRPC, but for the error that it ends with."""

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
    """A method with any number of answers."""

    def __init__(self, inner: Any, metadata: tuple[tuple[str, str], ...]) -> None:
        self._inner = inner
        self._metadata = metadata

    def _start(self, request: Any, timeout: float | None, metadata: Any, *args: Any, **kw: Any) -> Any:
        return self._inner(request, timeout, (*(metadata or ()), *self._metadata), *args, **kw)


class _UnaryStream(_StreamingMethod, grpc.UnaryStreamMultiCallable):  # type: ignore[type-arg]
    def __call__(self, request: Any, timeout: float | None = None, metadata: Any = None, *args: Any, **kw: Any) -> Any:
        return _Stream(self._start(request, timeout, metadata, *args, **kw))


class _StreamStream(_StreamingMethod, grpc.StreamStreamMultiCallable):  # type: ignore[type-arg]
    def __call__(
        self, request_iterator: Any, timeout: float | None = None, metadata: Any = None, *args: Any, **kw: Any
    ) -> Any:
        payload = RequestStream(request_iterator)
        return _Stream(self._start(payload.for_attempt(), timeout, metadata, *args, **kw), payload)


class _Stream:
    """A call of gRPC, but for the error that it ends with."""

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
