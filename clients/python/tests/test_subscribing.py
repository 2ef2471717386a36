"""Event streams: reconnects, gaps, limits and shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from kit.clients import Consumer
from kit.fake import Fake, Proxy, ResettingServer, event, heartbeat, script, silent, started, status, then_silent
from switchboard_client import Client, SwitchboardError, _progress, aio, v1

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kit.server import Server

SECONDS = 20
UNAVAILABLE = status(grpc.StatusCode.UNAVAILABLE)
RECEIVED = v1.EventFilter(types=["message.received"])
MAX_EVENTS = v1.SubscribeResponse(closing=v1.SubscribeClosing(reason=v1.CLOSING_REASON_MAX_EVENTS, cursor="end"))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_restart_loses_no_event_and_delivers_none_twice(flavour: str, how: signal.Signals, own_server: Server) -> None:
    accepted, enough = [], threading.Event()

    def write() -> None:
        for number in range(100_000):
            if enough.is_set():
                return
            try:
                own_server.inject(str(number))
            except (grpc.RpcError, AssertionError):
                # The server may have accepted it before the reply was lost.
                continue
            accepted.append(number)

    request = v1.SubscribeRequest(position=v1.START_POSITION_EARLIEST, filter=RECEIVED)
    writer = threading.Thread(target=write)
    with Consumer(flavour, own_server.address, request) as consumer:
        writer.start()
        try:
            received = [int(consumer.text()) for _ in range(30)]
            for _ in range(2):
                own_server.stop(how)
                own_server.start()
                received += [int(consumer.text()) for _ in range(30)]
        finally:
            enough.set()
            writer.join(SECONDS)
        own_server.inject("end")
        while (text := consumer.text()) != "end":
            received.append(int(text))
    assert received == sorted(set(received))
    assert set(accepted) <= set(received)


def test_silent_stream_is_reopened(flavour: str, server: Server) -> None:
    request = v1.SubscribeRequest(position=v1.START_POSITION_LATEST, filter=RECEIVED)
    request.heartbeat_interval.FromSeconds(1)
    with Proxy(server.address) as proxy, Consumer(flavour, proxy.address, request) as consumer:
        wait_until_it_consumes(consumer, server)
        proxy.block()
        begun = time.monotonic()
        server.inject("across the silence")
        assert consumer.text() == "across the silence"
        assert 1.9 < time.monotonic() - begun < 10
        assert proxy.connections == 2


def wait_until_it_consumes(consumer: Consumer, server: Server) -> None:
    """Injects messages until one arrives, which proves that a stream from the latest position has started."""
    heard = threading.Event()

    def write() -> None:
        while not heard.is_set():
            server.inject("now?")
            heard.wait(0.05)
        server.inject("now!")

    writer = threading.Thread(target=write)
    writer.start()
    assert consumer.text() == "now?"
    heard.set()
    while consumer.text() != "now!":
        pass
    writer.join(SECONDS)


def test_reset_connection_is_replaced(flavour: str, server: Server) -> None:
    request = v1.SubscribeRequest(filter=RECEIVED)
    with Proxy(server.address) as proxy, Consumer(flavour, proxy.address, request) as consumer:
        wait_until_it_consumes(consumer, server)
        for number in range(3):
            proxy.cut()
            server.inject(str(number))
            assert consumer.text() == str(number)
        assert proxy.connections == 4


def test_event_stream_has_its_own_connection(server: Server) -> None:
    with Proxy(server.address) as proxy, Client(proxy.address) as client:
        client.accounts.ListAccounts(v1.ListAccountsRequest(), timeout=SECONDS)
        server.inject("Hello!")
        for connections in (2, 3):
            with client.subscribe(v1.SubscribeRequest(position=v1.START_POSITION_EARLIEST)) as events:
                next(events)
                assert proxy.connections == connections


def test_stream_that_does_not_start_is_reopened(
    flavour: str, failures: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _progress.START_SECONDS == 10
    monkeypatch.setattr(_progress, "START_SECONDS", 0.3)
    with Fake() as fake:
        fake.streams = [silent, silent, then_silent(started("a"), event("b"))]
        with Consumer(flavour, fake.address, v1.SubscribeRequest(after_cursor="0")) as consumer:
            assert consumer.next().cursor == "b"
    assert failures == [1, 2]
    assert [request.after_cursor for request in fake.requests] == ["0"] * 3


def test_silence_limit_is_two_heartbeats(flavour: str, failures: list[int]) -> None:
    with Fake() as fake:
        begun = time.monotonic()
        fake.streams = [then_silent(started("a", heartbeat=0.4)), then_silent(started("a"), event("b"))]
        with Consumer(flavour, fake.address, v1.SubscribeRequest()) as consumer:
            assert consumer.next().cursor == "b"
        assert 0.8 <= time.monotonic() - begun < 5
    assert [request.after_cursor for request in fake.requests] == ["", "a"]


def test_stream_with_heartbeats_stays_open(flavour: str, failures: list[int]) -> None:
    def with_heartbeats(context: Any) -> Iterator[v1.SubscribeResponse]:
        yield started("a", heartbeat=0.3)
        for number in range(8):
            threading.Event().wait(0.2)
            yield heartbeat(f"h{number}")
        yield event("b")
        yield MAX_EVENTS

    with Fake() as fake:
        fake.streams = [with_heartbeats]
        with Consumer(flavour, fake.address, v1.SubscribeRequest(max_events=1)) as consumer:
            assert consumer.next().cursor == "b"
            consumer.expect_end()
    assert failures == []


def test_slow_body_does_not_break_the_stream(flavour: str, failures: list[int]) -> None:
    streams = [then_silent(started("a", heartbeat=0.2), event("b"), event("c"))]

    with Fake() as fake:
        fake.streams = streams
        if flavour == "sync":
            with Client(fake.address) as client, client.subscribe() as events:
                assert next(events).cursor == "b"
                threading.Event().wait(1)
                assert next(events).cursor == "c"
        else:

            async def consume() -> None:
                async with aio.Client(fake.address) as client, client.subscribe() as events:
                    assert (await anext(events)).cursor == "b"
                    await asyncio.sleep(1)
                    assert (await anext(events)).cursor == "c"

            asyncio.run(asyncio.wait_for(consume(), SECONDS))
    assert len(fake.requests) == 1


# HTTP/2 codes of a stream reset: NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, REFUSED_STREAM, CANCEL.
@pytest.mark.parametrize("code", [0, 1, 2, 7, 8])
def test_reset_stream_is_reopened(flavour: str, code: int, failures: list[int]) -> None:
    with ResettingServer(code) as peer, Consumer(flavour, peer.address, v1.SubscribeRequest()) as consumer:
        assert consumer.next().cursor == "e0"
        peer.reset()
        assert consumer.next().cursor == "e2"
        peer.reset()
        assert consumer.next().cursor == "e4"
        assert failures == [1, 2, 1, 2]


@pytest.mark.parametrize(
    ("request_", "code", "reason"),
    [
        (v1.SubscribeRequest(after_cursor="made-up"), grpc.StatusCode.INVALID_ARGUMENT, "CURSOR_MALFORMED"),
        (v1.SubscribeRequest(filter=v1.EventFilter(accounts=["x"])), grpc.StatusCode.NOT_FOUND, "ACCOUNT_NOT_FOUND"),
    ],
)
def test_permanent_error_ends_the_stream(
    flavour: str, server: Server, request_: v1.SubscribeRequest, code: grpc.StatusCode, reason: str
) -> None:
    with Consumer(flavour, server.address, request_) as consumer, pytest.raises(SwitchboardError) as caught:
        consumer.next()
    assert (caught.value.code(), caught.value.reason) == (code, reason)


@pytest.mark.parametrize(
    "stream",
    [
        # A reply of the server, not a broken connection: it has another code, or a reason.
        script(end=status(grpc.StatusCode.UNAUTHENTICATED)),
        script(end=status(grpc.StatusCode.INTERNAL, "SOME_REASON")),
        script(started("a"), event("b"), end=status(grpc.StatusCode.INTERNAL, "SOME_REASON")),
        script(started("a"), event("b"), end=status(grpc.StatusCode.OUT_OF_RANGE, "CURSOR_EXPIRED")),
        script(started("a"), event("b"), end=status(grpc.StatusCode.RESOURCE_EXHAUSTED)),
    ],
)
def test_error_with_a_reason_ends_the_stream(flavour: str, failures: list[int], stream: Any) -> None:
    with Fake() as fake:
        fake.streams = [stream]
        with Consumer(flavour, fake.address, v1.SubscribeRequest()) as consumer, pytest.raises(SwitchboardError):
            assert consumer.next().cursor == "b"
            consumer.next()
    assert failures == []


def test_sixth_reset_in_a_row_ends_the_stream(flavour: str, failures: list[int]) -> None:
    reset = status(grpc.StatusCode.INTERNAL)
    with Fake() as fake:
        fake.streams = [
            *[script(started("a"), end=reset)] * 4,
            script(started("a"), event("b"), end=reset),
            *[script(started("b"), end=reset)] * 4,
            script(started("b"), heartbeat("c"), end=reset),
            # From here on, five consecutive streams deliver nothing, and the next reset is the sixth.
            *[script(started("c"), end=reset)] * 6,
        ]
        with Consumer(flavour, fake.address, v1.SubscribeRequest()) as consumer:
            assert consumer.next().cursor == "b"
            with pytest.raises(SwitchboardError) as caught:
                consumer.next()
        assert caught.value.code() is grpc.StatusCode.INTERNAL
        assert len(fake.requests) == 15
        assert len(failures) == 14


@pytest.mark.parametrize("code", [grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.CANCELLED])
def test_stream_that_never_starts_is_reopened_five_times(
    flavour: str, code: grpc.StatusCode, failures: list[int]
) -> None:
    with Fake() as fake:
        fake.streams = [script(end=status(code))] * 6
        with (
            Consumer(flavour, fake.address, v1.SubscribeRequest()) as consumer,
            pytest.raises(SwitchboardError) as caught,
        ):
            consumer.next()
        assert caught.value.code() is code
        assert len(fake.requests) == 6


def test_unreachable_server_is_retried_forever(flavour: str, failures: list[int]) -> None:
    with Fake() as fake:
        fake.streams = [*[script(end=UNAVAILABLE)] * 20, then_silent(started("a"), event("b"))]
        with Consumer(flavour, fake.address, v1.SubscribeRequest()) as consumer:
            assert consumer.next().cursor == "b"
    assert len(failures) == 20


@pytest.mark.parametrize("reason", [v1.CLOSING_REASON_UNSPECIFIED, 4711])
def test_unknown_closing_reason_ends_the_stream(flavour: str, reason: Any, failures: list[int]) -> None:
    closing = v1.SubscribeResponse(closing=v1.SubscribeClosing(reason=reason, cursor="end"))
    with Fake() as fake:
        fake.streams = [script(started("a"), event("b"), closing)]
        with Consumer(flavour, fake.address, v1.SubscribeRequest()) as consumer:
            assert consumer.next().cursor == "b"
            consumer.expect_end()
            assert consumer.cursor == "end"
    assert len(fake.requests) == 1


@pytest.mark.parametrize(("named", "waits"), [(20, 20), (1000, 30)])
def test_server_delay_is_waited_for_up_to_a_limit(named: int, waits: int, failures: list[int]) -> None:
    closing = v1.SubscribeClosing(reason=v1.CLOSING_REASON_SHUTDOWN)
    closing.retry_delay.FromSeconds(named)
    progress = _progress.Progress(None, reports_gaps=False)
    progress.open()
    progress.handle(v1.SubscribeResponse(closing=closing))
    assert progress.delay(SwitchboardError(grpc.StatusCode.UNAVAILABLE)) == waits
    progress.open()
    error = SwitchboardError(grpc.StatusCode.UNAVAILABLE)
    assert progress.delay(error) == 0
    error.retry_delay = timedelta(seconds=named)
    assert progress.delay(error) == waits


def test_reopened_stream_resumes_at_its_cursor(flavour: str, failures: list[int]) -> None:
    with Fake() as fake:
        fake.streams = [
            script(end=UNAVAILABLE),
            # The request starts at the latest position, which is fixed from now on.
            script(started("a"), end=UNAVAILABLE),
            script(started("a"), event("b"), event("c"), end=UNAVAILABLE),
            script(end=UNAVAILABLE),
            script(end=UNAVAILABLE),
            script(started("c"), heartbeat("d"), end=UNAVAILABLE),
            # An intermediary ended this stream: it has status OK but no closing response.
            script(started("d"), event("e")),
            then_silent(started("e"), event("f")),
        ]
        request = v1.SubscribeRequest(position=v1.START_POSITION_LATEST, include_raw=True, filter=RECEIVED)
        with Consumer(flavour, fake.address, request) as consumer:
            assert [consumer.next().cursor for _ in range(4)] == ["b", "c", "e", "f"]
    assert [request.after_cursor for request in fake.requests] == ["", "", "a", "c", "c", "c", "d", "e"]
    assert fake.requests[0].position == v1.START_POSITION_LATEST
    assert all(request.include_raw and request.filter == RECEIVED for request in fake.requests)
    assert failures == [1, 1, 1, 2, 3, 1, 1]
    assert request.WhichOneof("start") == "position", "the request of the program is not modified"


def test_stream_waits_for_the_delay_of_the_server(flavour: str, failures: list[int]) -> None:
    closing = v1.SubscribeClosing(reason=v1.CLOSING_REASON_SHUTDOWN, cursor="c")
    closing.retry_delay.FromMilliseconds(700)
    times = []

    def ending(context: Any) -> Iterator[v1.SubscribeResponse]:
        yield from (started("a"), event("b"), v1.SubscribeResponse(closing=closing))
        times.append(time.monotonic())
        context.abort_with_status(UNAVAILABLE)

    def refusing(context: Any) -> Iterator[v1.SubscribeResponse]:
        times.append(time.monotonic())
        context.abort_with_status(status(grpc.StatusCode.UNAVAILABLE, "SERVER_STOPPING", retry_delay=0.5))
        yield from ()

    def back(context: Any) -> Iterator[v1.SubscribeResponse]:
        times.append(time.monotonic())
        yield from then_silent(started("c"), event("d"))(context)

    with Fake() as fake:
        fake.streams = [ending, refusing, back]
        with Consumer(flavour, fake.address, v1.SubscribeRequest()) as consumer:
            assert [consumer.next().cursor, consumer.next().cursor] == ["b", "d"]
    assert [request.after_cursor for request in fake.requests] == ["", "c", "c"]
    assert times[1] - times[0] >= 0.7
    assert times[2] - times[1] >= 0.5


def test_max_events_spans_reopened_streams(flavour: str, failures: list[int]) -> None:
    with Fake() as fake:
        fake.streams = [
            script(started("a"), event("b"), end=UNAVAILABLE),
            script(started("b"), event("c"), event("d"), MAX_EVENTS),
        ]
        with Consumer(flavour, fake.address, v1.SubscribeRequest(max_events=3)) as consumer:
            assert [consumer.next().cursor for _ in range(3)] == ["b", "c", "d"]
            consumer.expect_end()
            assert consumer.cursor == "end"
    assert [request.max_events for request in fake.requests] == [3, 2]


def test_break_after_the_last_event_ends_the_stream(flavour: str, failures: list[int]) -> None:
    with Fake() as fake:
        fake.streams = [script(started("a"), event("b"), end=UNAVAILABLE)]
        with Consumer(flavour, fake.address, v1.SubscribeRequest(max_events=1)) as consumer:
            assert consumer.next().cursor == "b"
            consumer.expect_end()


def test_idle_timeout_ends_the_stream(flavour: str, server: Server) -> None:
    request = v1.SubscribeRequest(filter=v1.EventFilter(types=["report.*"]))
    request.idle_timeout.FromMilliseconds(200)
    with Consumer(flavour, server.address, request) as consumer:
        consumer.expect_end()
        assert consumer.cursor


def test_gap_is_reported_in_order(flavour: str, failures: list[int]) -> None:
    gap = v1.SubscribeGap(after_cursor="b", resume_cursor="m", reason=v1.GAP_REASON_EXPIRED, missed=11)
    seen: list[tuple[v1.SubscribeGap, str | None]] = []
    with Fake() as fake:
        fake.streams = [
            script(started("a"), event("b"), v1.SubscribeResponse(gap=gap), end=UNAVAILABLE),
            then_silent(started("m"), event("n")),
        ]

        def on_gap(gap: v1.SubscribeGap) -> None:
            seen.append((gap, consumer.cursor))

        with Consumer(flavour, fake.address, v1.SubscribeRequest(), on_gap=on_gap) as consumer:
            assert [consumer.next().cursor, consumer.next().cursor] == ["b", "n"]
    assert seen == [(gap, "b")]
    assert [request.after_cursor for request in fake.requests] == ["", "m"]
    assert all(request.expired_policy == v1.EXPIRED_POLICY_SKIP_WITH_GAP for request in fake.requests)


@pytest.mark.parametrize(
    ("oldest", "gaps", "asked"),
    [
        # The gap has not arrived, and only the same `since` returns it.
        ("c", True, ["", "", "d"]),
        # There is no gap, and events since then must not be skipped.
        ("a", True, ["", "c", "d"]),
        ("c", False, ["", "c", "d"]),
    ],
)
def test_gap_after_since_is_not_lost(
    flavour: str, failures: list[int], oldest: str, gaps: bool, asked: list[str]
) -> None:
    request = v1.SubscribeRequest()
    request.since.FromSeconds(1_800_000_000)
    gap = v1.SubscribeResponse(gap=v1.SubscribeGap(resume_cursor="d"))
    seen: list[v1.SubscribeGap] = []
    with Fake() as fake:
        begun = started("c", oldest=oldest)
        fake.streams = [
            script(begun, end=UNAVAILABLE),
            script(begun, gap if gaps else heartbeat("d"), end=UNAVAILABLE),
            then_silent(started("d"), event("e")),
        ]
        with Consumer(flavour, fake.address, request, on_gap=seen.append if gaps else None) as consumer:
            assert consumer.next().cursor == "e"
    assert [request.after_cursor for request in fake.requests] == asked
    assert fake.requests[0].since == request.since
    assert len(seen) == gaps


def test_async_on_gap_is_awaited() -> None:
    gap = v1.SubscribeResponse(gap=v1.SubscribeGap(resume_cursor="m"))
    seen = []

    async def on_gap(gap: v1.SubscribeGap) -> None:
        await asyncio.sleep(0)
        seen.append(gap.resume_cursor)

    async def consume() -> None:
        async with aio.Client(fake.address) as client, client.subscribe(on_gap=on_gap) as events:
            assert (await anext(events)).cursor == "n"

    with Fake() as fake:
        fake.streams = [then_silent(started("a"), gap, event("n"))]
        asyncio.run(asyncio.wait_for(consume(), SECONDS))
    assert seen == ["m"]


def test_skip_with_gap_without_on_gap_raises() -> None:
    request = v1.SubscribeRequest(expired_policy=v1.EXPIRED_POLICY_SKIP_WITH_GAP)
    with Client("127.0.0.1:1") as client, pytest.raises(ValueError, match="on_gap"):
        client.subscribe(request)


def test_event_is_finished_when_the_loop_advances() -> None:
    with Fake() as fake, Client(fake.address) as client:
        fake.streams = [script(started("a"), event("b"), event("c"), event("d"), MAX_EVENTS)] * 2
        with client.subscribe() as events:
            before = events.cursor
            cursors = [(events.cursor, event.cursor) for event in events]
            assert (before, events.cursor) == (None, "end")
        assert cursors == [("a", "b"), ("b", "c"), ("c", "d")]

        with client.subscribe() as events, pytest.raises(ZeroDivisionError):
            for number, _ in enumerate(events):
                assert 1 / (1 - number)
        # The second event was not finished.
        assert events.cursor == "b"
        assert list(events) == []


def test_event_is_finished_when_the_asyncio_loop_advances() -> None:
    async def consume() -> None:
        async with aio.Client(fake.address) as client:
            async with client.subscribe() as events:
                before = events.cursor
                cursors = [(events.cursor, event.cursor) async for event in events]
                assert (before, events.cursor) == (None, "end")
            assert cursors == [("a", "b"), ("b", "c"), ("c", "d")]

            with pytest.raises(ZeroDivisionError):
                async with client.subscribe() as events:
                    number = 1
                    async for _ in events:
                        assert 1 / number
                        number -= 1
            assert events.cursor == "b"
            assert [event async for event in events] == []

    with Fake() as fake:
        fake.streams = [script(started("a"), event("b"), event("c"), event("d"), MAX_EVENTS)] * 2
        asyncio.run(asyncio.wait_for(consume(), SECONDS))


def test_close_while_waiting_for_events_ends_the_loop(flavour: str) -> None:
    with Fake() as fake:
        fake.streams = [then_silent(started("a"), event("b"))]
        with Consumer(flavour, fake.address, v1.SubscribeRequest()) as consumer:
            assert consumer.next().cursor == "b"
            consumer.close()
            consumer.expect_end()
            # The delivered event was finished.
            assert consumer.cursor == "b"


def test_close_during_backoff_ends_the_loop(flavour: str, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = threading.Event()

    def backoff(number: int, cap: float) -> float:
        waiting.set()
        return 1000.0

    monkeypatch.setattr(_progress, "backoff", backoff)
    with Consumer(flavour, "127.0.0.1:1", v1.SubscribeRequest()) as consumer:
        assert waiting.wait(SECONDS)
        consumer.close()
        consumer.expect_end()
        assert consumer.cursor is None


async def next_with_short_waits(events: aio.EventStream, seconds: float) -> v1.Event:
    """Waits for the next event in many short waits that time out."""
    while True:
        with contextlib.suppress(asyncio.TimeoutError):
            return await asyncio.wait_for(anext(events), seconds)


def test_abandoned_wait_loses_no_event() -> None:
    permits = threading.Semaphore(0)

    def stream(context: Any) -> Iterator[v1.SubscribeResponse]:
        yield started("a")
        for cursor in "bcd":
            assert permits.acquire(timeout=SECONDS)
            yield event(cursor)
        yield MAX_EVENTS

    async def consume() -> None:
        async with aio.Client(fake.address) as client, client.subscribe() as events:
            for cursor in "bcd":
                for _ in range(3):
                    with pytest.raises(asyncio.TimeoutError):
                        await asyncio.wait_for(anext(events), 0.05)
                permits.release()
                assert (await next_with_short_waits(events, 0.001)).cursor == cursor
            with pytest.raises(StopAsyncIteration):
                await next_with_short_waits(events, 0.001)
            assert events.cursor == "end"

    with Fake() as fake:
        fake.streams = [stream]
        asyncio.run(asyncio.wait_for(consume(), SECONDS))
    assert len(fake.requests) == 1


def test_abandoned_waits_still_detect_a_dead_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    ended, opened = [], []

    def backoff(number: int, cap: float) -> float:
        ended.append(time.monotonic())
        return 0.6

    monkeypatch.setattr(_progress, "backoff", backoff)
    monkeypatch.setattr(_progress, "START_SECONDS", 2.0)

    def recording(stream: Any) -> Any:
        def recorded(context: Any) -> Iterator[v1.SubscribeResponse]:
            opened.append(time.monotonic())
            yield from stream(context)

        return recorded

    async def consume() -> None:
        async with aio.Client(fake.address) as client, client.subscribe() as events:
            assert (await next_with_short_waits(events, 0.1)).cursor == "b"

    with Fake() as fake:
        # A stream that does not start, one that fails, one that falls silent. Each takes longer than our waits.
        fake.streams = [
            recording(silent),
            recording(script(end=UNAVAILABLE)),
            recording(then_silent(started("a", heartbeat=0.3))),
            recording(then_silent(started("a"), event("b"))),
        ]
        begun = time.monotonic()
        asyncio.run(asyncio.wait_for(consume(), SECONDS))
    assert ended[0] - begun >= 1.99
    # No stream was opened before its backoff.
    assert all(after - before >= 0.59 for before, after in zip(ended, opened[1:], strict=True))
    assert len(opened) == 4


def test_event_of_a_cancelled_wait_is_not_finished() -> None:
    async def consume() -> None:
        async with aio.Client(fake.address) as client:
            before = asyncio.all_tasks()
            async with client.subscribe() as events:
                assert (await anext(events)).cursor == "b"
                waiting = asyncio.ensure_future(anext(events))
                while events.cursor != "b":
                    await asyncio.sleep(0)
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
                # The next event has arrived or is in flight.
            assert events.cursor == "b"
            with pytest.raises(StopAsyncIteration):
                await anext(events)
            if left := asyncio.all_tasks() - before:
                _, pending = await asyncio.wait(left, timeout=SECONDS)
                assert not pending

    with Fake() as fake:
        fake.streams = [then_silent(started("a"), event("b"), event("c"))]
        asyncio.run(asyncio.wait_for(consume(), SECONDS))


def test_error_between_waits_is_raised() -> None:
    async def consume() -> None:
        async with aio.Client(fake.address) as client, client.subscribe() as events:
            with pytest.raises(SwitchboardError) as caught:
                await next_with_short_waits(events, 0.001)
            assert caught.value.reason == "CURSOR_EXPIRED"
            with pytest.raises(StopAsyncIteration):
                await anext(events)

    with Fake() as fake:
        fake.streams = [script(end=status(grpc.StatusCode.OUT_OF_RANGE, "CURSOR_EXPIRED"))]
        asyncio.run(asyncio.wait_for(consume(), SECONDS))


def test_second_iterating_task_raises() -> None:
    async def consume() -> None:
        async with aio.Client(fake.address) as client, client.subscribe() as events:
            waiting = asyncio.ensure_future(anext(events))
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError, match="another task"):
                await anext(events)
            assert (await waiting).cursor == "b"

    with Fake() as fake:
        fake.streams = [then_silent(started("a"), event("b"))]
        asyncio.run(asyncio.wait_for(consume(), SECONDS))


def test_cancelled_task_cancels_on_gap() -> None:
    gap = v1.SubscribeResponse(gap=v1.SubscribeGap(resume_cursor="m"))
    cancelled = []

    async def consume() -> None:
        telling = asyncio.Event()

        async def on_gap(gap: v1.SubscribeGap) -> None:
            telling.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(gap.resume_cursor)
                raise

        async def loop() -> None:
            async with aio.Client(fake.address) as client, client.subscribe(on_gap=on_gap) as events:
                await anext(events)

        task = asyncio.create_task(loop())
        await telling.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with Fake() as fake:
        fake.streams = [then_silent(started("a"), gap)]
        asyncio.run(asyncio.wait_for(consume(), SECONDS))
    assert cancelled == ["m"]


def test_on_gap_can_close_the_stream() -> None:
    gap = v1.SubscribeResponse(gap=v1.SubscribeGap(resume_cursor="m"))

    async def consume() -> None:
        async def on_gap(gap: v1.SubscribeGap) -> None:
            await events.close()

        async with aio.Client(fake.address) as client, client.subscribe(on_gap=on_gap) as events:
            assert [event async for event in events] == []

    with Fake() as fake:
        fake.streams = [then_silent(started("a"), gap, event("n"))]
        asyncio.run(asyncio.wait_for(consume(), SECONDS))


def test_cancelled_task_closes_the_stream() -> None:
    async def consume() -> None:
        async with aio.Client(fake.address) as client:
            first = asyncio.Event()

            async def loop() -> None:
                async with client.subscribe() as events:
                    async for _ in events:
                        first.set()

            task = asyncio.create_task(loop())
            await first.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    ended = threading.Event()

    def stream(context: Any) -> Iterator[v1.SubscribeResponse]:
        context.add_callback(ended.set)
        yield from then_silent(started("a"), event("b"))(context)

    with Fake() as fake:
        fake.streams = [stream]
        asyncio.run(asyncio.wait_for(consume(), SECONDS))
        assert ended.wait(SECONDS)
    assert len(fake.requests) == 1


def test_closed_or_dropped_stream_leaves_no_thread() -> None:
    with Fake() as fake, Client(fake.address) as client:
        fake.streams = [then_silent(started("a"), event("b"))] * 2
        with client.subscribe() as events:
            next(events)
            (watchdog,) = [thread for thread in threading.enumerate() if thread.name == "switchboard-watchdog"]
        watchdog.join(SECONDS)
        assert not watchdog.is_alive()

        # This stream is not closed, but no longer referenced.
        abandoned = client.subscribe()
        next(abandoned)
        (watchdog,) = [thread for thread in threading.enumerate() if thread.name == "switchboard-watchdog"]
        del abandoned
        gc.collect()
        watchdog.join(SECONDS)
        assert not watchdog.is_alive()
