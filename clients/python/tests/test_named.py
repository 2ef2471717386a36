"""Streams of a named subscription, whose cursor the server stores."""

from __future__ import annotations

import asyncio
import gc
import itertools
import signal
import subprocess
import sys
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

import grpc
import pytest

import switchboard_client._client
from kit.clients import Consumer
from kit.fake import Fake, end_of_call, event, heartbeat, script, started, status, then_silent
from switchboard_client import Client, SwitchboardError, aio, v1

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kit.server import Server

SECONDS = 20
SHOP = v1.SubscribeRequest(subscription_id="shop")
UNAVAILABLE = status(grpc.StatusCode.UNAVAILABLE)
STALE = status(grpc.StatusCode.FAILED_PRECONDITION, "SUBSCRIPTION_GENERATION_STALE")
CHANGED = status(grpc.StatusCode.UNAVAILABLE, "SUBSCRIPTION_CHANGED")
DELETED = status(grpc.StatusCode.NOT_FOUND, "SUBSCRIPTION_NOT_FOUND")


def closing(reason: v1.ClosingReason.ValueType, cursor: str) -> v1.SubscribeResponse:
    return v1.SubscribeResponse(closing=v1.SubscribeClosing(reason=reason, cursor=cursor))


MAX_EVENTS = closing(v1.CLOSING_REASON_MAX_EVENTS, "end")


class NamedSubscription:
    """A subscription on the real server, for messages received from now on."""

    def __init__(self, server: Server, *types: str) -> None:
        self.id = f"test-{uuid.uuid4()}"
        self.server = server
        filter_ = v1.EventFilter(types=types or ["message.received"])
        request = v1.CreateSubscriptionRequest(subscription_id=self.id, subscription=v1.Subscription(filter=filter_))
        self.call("CreateSubscription", request)
        self.begin = self.get().cursor

    def call(self, name: str, request: Any) -> Any:
        with Client(self.server.address) as client:
            return getattr(client.subscriptions, name)(request, timeout=SECONDS)

    def get(self) -> v1.Subscription:
        subscription: v1.Subscription = self.call(
            "GetSubscription", v1.GetSubscriptionRequest(subscription_id=self.id)
        ).subscription
        return subscription

    def replay(self) -> None:
        self.call("SeekSubscription", v1.SeekSubscriptionRequest(subscription_id=self.id, after_cursor=self.begin))

    def write(self, *texts: str) -> None:
        for text in texts:
            self.server.inject(text)

    def consume(self, flavour: str, *, manual: bool = True) -> Consumer:
        request = v1.SubscribeRequest(subscription_id=self.id)
        request.heartbeat_interval.FromSeconds(1)
        return Consumer(flavour, self.server.address, request, manual=manual)


@pytest.fixture
def slow_acknowledgements(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allows one automatic acknowledgement per stream."""
    for module in (switchboard_client._client, aio):
        assert module.ACKNOWLEDGE_SECONDS == 1
        monkeypatch.setattr(module, "ACKNOWLEDGE_SECONDS", 1000.0)


@pytest.fixture
def fast_acknowledgements(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (switchboard_client._client, aio):
        monkeypatch.setattr(module, "ACKNOWLEDGE_SECONDS", 0.05)


# With the real server.


def test_restarts_of_server_and_consumer_lose_no_event(flavour: str, own_server: Server) -> None:
    named = NamedSubscription(own_server)
    accepted, enough = [], threading.Event()

    def write() -> None:
        for number in range(100_000):
            if enough.is_set():
                return
            try:
                named.write(str(number))
            except (grpc.RpcError, AssertionError):
                # The server may have accepted it before the reply was lost.
                continue
            accepted.append(number)

    def restart(how: signal.Signals) -> None:
        own_server.stop(how)
        own_server.start()

    def read(consumer: Consumer, number: int) -> list[int]:
        """Reads events. The last one stays unfinished."""
        received = [int(consumer.text())]
        while len(received) < number:
            consumer.finish_event()
            received.append(int(consumer.text()))
        return received

    writer = threading.Thread(target=write)
    writer.start()
    loops: list[list[int]] = []
    try:
        with named.consume(flavour) as consumer:
            received = read(consumer, 30)
            for _ in range(2):
                # One event is unfinished, and others were finished a moment ago.
                restart(signal.SIGKILL)
                consumer.finish_event()
                received += read(consumer, 30)
            loops.append(received)
        restart(signal.SIGTERM)
        with named.consume(flavour) as consumer:
            received = read(consumer, 20)
            restart(signal.SIGKILL)
            # This event is finished while the server is down. The loop fails at the next one.
            consumer.finish_event()
            received += read(consumer, 1)
            consumer.fail()
            loops.append(received)
    finally:
        enough.set()
        writer.join(SECONDS)
    named.write("1000000")
    with named.consume(flavour) as consumer:
        received = read(consumer, 1)
        while received[-1] != 1_000_000:
            consumer.finish_event()
            received += read(consumer, 1)
        loops.append(received)

    for before, after in itertools.pairwise(loops):
        # Only the unfinished event is redelivered.
        assert after[0] == before.pop()
    received = [number for loop in loops for number in loop]
    assert received == sorted(set(received))
    assert set(accepted) <= set(received)


@pytest.mark.parametrize("how", ["leave", "fail"])
def test_unfinished_event_is_redelivered_to_the_next_stream(flavour: str, how: str, server: Server) -> None:
    named = NamedSubscription(server)
    named.write("one", "two", "three")
    with named.consume(flavour) as consumer:
        assert consumer.text() == "one"
        consumer.finish_event()
        assert consumer.text() == "two"
        getattr(consumer, how)()
        assert named.get().cursor == consumer.cursor != named.begin
    with named.consume(flavour) as consumer:
        assert consumer.text() == "two"
        consumer.finish_event()
        assert consumer.text() == "three"


def test_acknowledged_current_event_is_not_redelivered(flavour: str, server: Server) -> None:
    named = NamedSubscription(server)
    named.write("one", "two")
    with named.consume(flavour) as consumer:
        first = consumer.next()
        assert named.get().cursor == named.begin
        consumer.acknowledge()
        assert named.get().cursor == consumer.cursor == first.cursor
        consumer.leave()
    with named.consume(flavour) as consumer:
        assert consumer.text() == "two"


def test_finished_event_is_acknowledged_while_the_body_runs(flavour: str, server: Server) -> None:
    named = NamedSubscription(server)
    named.write("one", "two", "three")
    with named.consume(flavour) as consumer:
        for _ in range(2):
            consumer.next()
            consumer.finish_event()
        assert consumer.text() == "three"
        assert consumer.cursor is not None
        wait_until(lambda: named.get().cursor == consumer.cursor)


def wait_until(true: Callable[[], bool]) -> None:
    """Polls the server until the condition holds."""
    deadline = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_seek_back_replays_events(flavour: str, server: Server) -> None:
    named = NamedSubscription(server)
    named.write("one", "two")
    with named.consume(flavour) as consumer:
        assert consumer.text() == "one"
        consumer.finish_event()
        assert consumer.text() == "two"
        named.replay()
        # The unfinished event belongs to an earlier position of the subscription.
        with pytest.raises(SwitchboardError) as caught:
            consumer.acknowledge()
        assert caught.value.reason == "SUBSCRIPTION_GENERATION_STALE"
        consumer.finish_event()
        assert consumer.text() == "one"
        # The loop has not reverted the seek.
        assert named.get().cursor == named.begin
        consumer.finish_event()
        assert consumer.text() == "two"
        consumer.acknowledge()
        assert named.get().cursor == consumer.cursor


def test_filter_change_applies_to_a_running_stream(flavour: str, server: Server) -> None:
    named = NamedSubscription(server, "report.*")
    with named.consume(flavour) as consumer:
        named.write("one")
        filter_ = v1.EventFilter(types=["message.received"])
        subscription = v1.Subscription(subscription_id=named.id, filter=filter_)
        named.call("UpdateSubscription", v1.UpdateSubscriptionRequest(subscription=subscription))
        named.write("two")
        while consumer.text() != "two":
            consumer.finish_event()


def test_deleted_subscription_ends_the_stream(flavour: str, server: Server) -> None:
    named = NamedSubscription(server)
    named.write("one", "two")
    with named.consume(flavour) as consumer:
        assert consumer.text() == "one"
        named.call("DeleteSubscription", v1.DeleteSubscriptionRequest(subscription_id=named.id))
        consumer.finish_event()
        with pytest.raises(SwitchboardError) as caught:
            # The second event was already in flight.
            while consumer.text() == "two":
                consumer.finish_event()
    assert (caught.value.code(), caught.value.reason) == (grpc.StatusCode.NOT_FOUND, "SUBSCRIPTION_NOT_FOUND")


def test_heartbeats_bring_the_lag_to_zero(flavour: str, server: Server) -> None:
    named = NamedSubscription(server, "report.*")
    named.write("one", "two")
    assert named.get().lag_events
    with named.consume(flavour, manual=False):
        wait_until(lambda: not named.get().lag_events)


def test_program_exit_acknowledges_finished_events(server: Server) -> None:
    named = NamedSubscription(server)
    named.write("one", "two")
    program = """if True:
        import sys
        from switchboard_client import Client, v1
        events = Client(sys.argv[1]).subscribe(v1.SubscribeRequest(subscription_id=sys.argv[2]))
        for event in events:
            print(event.message_received.text.body)
            if event.message_received.text.body == "two":
                break
    """
    for received in ("one\ntwo\n", "two\n"):
        run = subprocess.run(
            [sys.executable, "-W", "error", "-c", program, server.address, named.id],
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        assert (run.returncode, run.stdout, run.stderr) == (0, received, "")


# With a scripted server.


@pytest.mark.usefixtures("slow_acknowledgements")
def test_reopening_acknowledges_finished_events_first(flavour: str, failures: list[int]) -> None:
    def first(context: Any) -> Iterator[v1.SubscribeResponse]:
        yield from (started("a", generation=7), event("b"))
        fake.expect_acknowledged("b", 7)
        yield event("c")
        context.abort_with_status(UNAVAILABLE)

    with Fake() as fake:
        fake.streams = [
            first,
            script(started("c", generation=7), end=UNAVAILABLE),
            then_silent(started("c"), event("d")),
        ]
        fake.acknowledge_errors = [None, UNAVAILABLE, status(grpc.StatusCode.INTERNAL), UNAVAILABLE]
        with Consumer(flavour, fake.address, SHOP) as consumer:
            assert [consumer.next().cursor for _ in range(3)] == ["b", "c", "d"]
            # No event is acknowledged twice.
            assert fake.order == ["open", "b", "c", "c", "c", "c", "open", "open"]
            assert consumer.cursor in ("c", "d")
    assert failures == [1, 2, 3, 4, 1]
    opened = [request for request in fake.requests if isinstance(request, v1.SubscribeRequest)]
    assert [request.WhichOneof("start") for request in opened] == ["subscription_id"] * 3
    assert {request.subscription_id for request in opened} == {"shop"}


def test_many_events_need_few_acknowledgements(flavour: str) -> None:
    with Fake() as fake:
        events = [event(f"e{number}") for number in range(500)]
        fake.streams = [then_silent(started("a", generation=1), *events)]
        begun = time.monotonic()
        with Consumer(flavour, fake.address, SHOP):
            while fake.acknowledgements.get(timeout=SECONDS).cursor != "e499":
                pass
            assert len(fake.order) <= 3 + time.monotonic() - begun


@pytest.mark.usefixtures("fast_acknowledgements")
def test_heartbeats_and_gaps_are_acknowledged(flavour: str) -> None:
    def stream(context: Any) -> Iterator[v1.SubscribeResponse]:
        yield started("a", generation=1)
        # An unchanged position needs no acknowledgement.
        yield heartbeat("a")
        yield heartbeat("b")
        fake.expect_acknowledged("b")
        yield heartbeat("b")
        yield v1.SubscribeResponse(gap=v1.SubscribeGap(after_cursor="b", resume_cursor="c"))
        fake.expect_acknowledged("c")
        yield MAX_EVENTS

    with Fake() as fake:
        fake.streams = [stream]
        with Consumer(flavour, fake.address, SHOP, on_gap=lambda _: None) as consumer:
            consumer.expect_end()
        assert fake.order == ["open", "b", "c", "end"]


@pytest.mark.usefixtures("fast_acknowledgements")
def test_unavailable_acknowledgement_is_retried_later(flavour: str) -> None:
    def stream(context: Any) -> Iterator[v1.SubscribeResponse]:
        yield from (started("a", generation=1), event("b"))
        for _ in range(4):
            fake.expect_acknowledged("b")
        yield from then_silent(event("c"))(context)

    with Fake() as fake:
        fake.streams = [stream]
        fake.acknowledge_errors = [
            UNAVAILABLE,
            status(grpc.StatusCode.UNAVAILABLE, "SERVER_BUSY", retry_delay=0.5),
            UNAVAILABLE,
        ]
        begun = time.monotonic()
        with Consumer(flavour, fake.address, SHOP) as consumer:
            assert [consumer.next().cursor for _ in range(2)] == ["b", "c"]
            fake.expect_acknowledged("c")
        assert time.monotonic() - begun >= 0.5
        assert fake.order[:6] == ["open", "b", "b", "b", "b", "c"]


TRANSIENT = [
    status(grpc.StatusCode.INTERNAL),
    status(grpc.StatusCode.UNKNOWN),
    status(grpc.StatusCode.CANCELLED),
    status(grpc.StatusCode.DEADLINE_EXCEEDED),
    status(grpc.StatusCode.UNAVAILABLE, "SERVER_STOPPING"),
]


# Each code occurs more often than a stream may be reset.
@pytest.mark.usefixtures("fast_acknowledgements")
@pytest.mark.parametrize("failure", TRANSIENT, ids=lambda failure: failure.code.name)
def test_interrupted_acknowledgement_keeps_the_stream_open(flavour: str, failure: Any) -> None:
    def stream(context: Any) -> Iterator[v1.SubscribeResponse]:
        yield from (started("a", generation=1), event("b"))
        for _ in range(8):
            fake.expect_acknowledged("b")
        yield from then_silent(event("c"))(context)

    with Fake() as fake:
        fake.streams = [stream]
        fake.acknowledge_errors = [failure] * 7
        with Consumer(flavour, fake.address, SHOP) as consumer:
            assert [consumer.next().cursor for _ in range(2)] == ["b", "c"]
        assert fake.order[:9] == ["open", *["b"] * 8]


@pytest.mark.usefixtures("slow_acknowledgements")
@pytest.mark.parametrize("failure", TRANSIENT, ids=lambda failure: failure.code.name)
def test_interrupted_acknowledgement_is_retried_before_reopening(
    flavour: str, failure: Any, failures: list[int]
) -> None:
    def first(context: Any) -> Iterator[v1.SubscribeResponse]:
        yield from (started("a", generation=1), event("b"))
        fake.expect_acknowledged("b")
        yield event("c")
        context.abort_with_status(UNAVAILABLE)

    with Fake() as fake:
        fake.streams = [first, then_silent(started("c", generation=1), event("d"))]
        fake.acknowledge_errors = [None, *[failure] * 7]
        with Consumer(flavour, fake.address, SHOP) as consumer:
            assert [consumer.next().cursor for _ in range(3)] == ["b", "c", "d"]
            assert fake.order == ["open", "b", *["c"] * 8, "open"]


@pytest.mark.usefixtures("slow_acknowledgements")
def test_change_without_closing_drops_the_position(flavour: str, failures: list[int]) -> None:
    def changing(context: Any) -> Iterator[v1.SubscribeResponse]:
        yield from (started("a", generation=1), event("b"))
        fake.expect_acknowledged("b")
        yield event("c")
        context.abort_with_status(CHANGED)

    with Fake() as fake:
        fake.streams = [changing, script(started("m", generation=2), MAX_EVENTS)]
        with Consumer(flavour, fake.address, SHOP) as consumer:
            assert [consumer.next().cursor for _ in range(2)] == ["b", "c"]
            consumer.expect_end()
        assert fake.order == ["open", "b", "open", "end"]
        assert fake.requests[-1].generation == 2


@pytest.mark.usefixtures("fast_acknowledgements")
def test_subscription_change_does_not_fail_the_stream(flavour: str, failures: list[int]) -> None:
    def changing(context: Any) -> Iterator[v1.SubscribeResponse]:
        yield from (started("m", generation=1), event("n"))
        fake.expect_acknowledged("n")
        # The loop continues although the server rejected that.
        yield from (event("o"), closing(v1.CLOSING_REASON_SUBSCRIPTION_CHANGED, "o"))
        context.abort_with_status(CHANGED)

    def moved(context: Any) -> Iterator[v1.SubscribeResponse]:
        yield from (started("a", generation=2), event("b"))
        while (ack := fake.acknowledgements.get(timeout=SECONDS)).generation == 1:
            # This one may have been in flight.
            assert ack.cursor == "o"
        assert (ack.cursor, ack.generation) == ("b", 2)
        yield MAX_EVENTS

    with Fake() as fake:
        fake.streams = [changing, moved]
        fake.acknowledge_errors = [STALE, STALE]
        with Consumer(flavour, fake.address, SHOP) as consumer:
            assert [consumer.next().cursor for _ in range(3)] == ["n", "o", "b"]
            consumer.expect_end()
            assert consumer.cursor == "end"
    assert failures == [1]


@pytest.mark.usefixtures("slow_acknowledgements")
def test_after_a_change_older_events_are_not_acknowledged(flavour: str, failures: list[int]) -> None:
    def changing(context: Any) -> Iterator[v1.SubscribeResponse]:
        yield from (started("a", generation=1), event("b"))
        fake.expect_acknowledged("b")
        yield from (event("c"), closing(v1.CLOSING_REASON_SUBSCRIPTION_CHANGED, "c"))
        context.abort_with_status(CHANGED)

    with Fake() as fake:
        fake.streams = [changing, script(started("m", generation=2), MAX_EVENTS)]
        with Consumer(flavour, fake.address, SHOP) as consumer:
            assert [consumer.next().cursor for _ in range(2)] == ["b", "c"]
            consumer.expect_end()
        assert fake.order == ["open", "b", "open", "end"]


@pytest.mark.usefixtures("slow_acknowledgements")
@pytest.mark.parametrize("rejection", [STALE, CHANGED])
def test_stale_acknowledgement_is_not_retried(flavour: str, rejection: Any, failures: list[int]) -> None:
    def first(context: Any) -> Iterator[v1.SubscribeResponse]:
        yield from (started("a", generation=1), event("b"))
        fake.expect_acknowledged("b")
        yield event("c")
        # The notification of the change is lost.
        context.abort_with_status(UNAVAILABLE)

    with Fake() as fake:
        fake.streams = [first, script(started("a", generation=2), MAX_EVENTS)]
        fake.acknowledge_errors = [None, rejection]
        with Consumer(flavour, fake.address, SHOP) as consumer:
            assert [consumer.next().cursor for _ in range(2)] == ["b", "c"]
            consumer.expect_end()
        assert fake.order == ["open", "b", "c", "open", "end"]


@pytest.mark.parametrize("rejection", [DELETED, status(grpc.StatusCode.OUT_OF_RANGE, "CURSOR_LOST")])
def test_rejected_acknowledgement_ends_the_stream(flavour: str, rejection: Any) -> None:
    with Fake() as fake:
        fake.streams = [then_silent(started("a", generation=1), event("b"))]
        fake.acknowledge_errors = [rejection]
        with Consumer(flavour, fake.address, SHOP) as consumer:
            assert consumer.next().cursor == "b"
            with pytest.raises(SwitchboardError) as caught:
                consumer.next()
        assert caught.value.code().value[0] == rejection.code.value[0]
        # It is not sent again at the end.
        assert fake.order == ["open", "b"]


@pytest.mark.usefixtures("slow_acknowledgements")
def test_rejected_acknowledgement_before_open_ends_the_stream(flavour: str, failures: list[int]) -> None:
    def first(context: Any) -> Iterator[v1.SubscribeResponse]:
        yield from (started("a", generation=1), event("b"))
        fake.expect_acknowledged("b")
        yield event("c")
        context.abort_with_status(UNAVAILABLE)

    with Fake() as fake:
        fake.streams = [first]
        fake.acknowledge_errors = [None, DELETED]
        with Consumer(flavour, fake.address, SHOP) as consumer:
            assert [consumer.next().cursor for _ in range(2)] == ["b", "c"]
            with pytest.raises(SwitchboardError) as caught:
                consumer.next()
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        assert fake.order == ["open", "b", "c"]


@pytest.mark.usefixtures("slow_acknowledgements")
def test_deleted_subscription_is_not_acknowledged(flavour: str) -> None:
    def deleted(context: Any) -> Iterator[v1.SubscribeResponse]:
        yield from (started("a", generation=1), event("b"))
        fake.expect_acknowledged("b")
        yield event("c")
        context.abort_with_status(DELETED)

    with Fake() as fake:
        fake.streams = [deleted]
        with Consumer(flavour, fake.address, SHOP) as consumer:
            assert [consumer.next().cursor for _ in range(2)] == ["b", "c"]
            with pytest.raises(SwitchboardError):
                consumer.next()
        assert fake.order == ["open", "b"]


@pytest.mark.usefixtures("slow_acknowledgements")
@pytest.mark.parametrize("how", ["close", "leave", "fail"])
def test_end_of_the_stream_acknowledges_the_last_event(flavour: str, how: str) -> None:
    def stream(context: Any) -> Iterator[v1.SubscribeResponse]:
        yield from (started("a", generation=1), event("b"))
        fake.expect_acknowledged("b")
        yield from then_silent(event("c"), event("d"))(context)

    with Fake() as fake:
        fake.streams = [stream]
        with Consumer(flavour, fake.address, SHOP, manual=how != "close") as consumer:
            for cursor in ("b", "c"):
                assert consumer.next().cursor == cursor
                consumer.finish_event()
            assert consumer.next().cursor == "d"
            if how == "close":
                # The loop has asked for the next event, so it has finished this one.
                wait_until(lambda: consumer.cursor == "d")
            getattr(consumer, how)()
        finished = consumer.cursor
        assert finished == ("d" if how == "close" else "c")
        assert fake.order == ["open", "b", finished]


@pytest.mark.usefixtures("slow_acknowledgements")
def test_hung_final_acknowledgement_times_out(flavour: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (switchboard_client._client, aio):
        assert module.FINAL_ACKNOWLEDGE_SECONDS == 2
        monkeypatch.setattr(module, "FINAL_ACKNOWLEDGE_SECONDS", 0.2)
    hangs = threading.Event()

    def hang(context: Any) -> None:
        ended = end_of_call(context)
        hangs.set()
        ended.wait(SECONDS)

    with Fake() as fake:
        fake.streams = [then_silent(started("a", generation=1), event("b"))]
        fake.acknowledge_errors = [hang, hang]
        with Consumer(flavour, fake.address, SHOP) as consumer:
            assert consumer.next().cursor == "b"
            assert hangs.wait(SECONDS)
            begun = time.monotonic()
            consumer.close()
            consumer.expect_end()
            assert time.monotonic() - begun < 8
        assert fake.order == ["open", "b", "b"]


@pytest.mark.usefixtures("slow_acknowledgements")
def test_close_during_an_acknowledgement_ends_the_stream(flavour: str, failures: list[int]) -> None:
    hangs = threading.Event()

    def hang(context: Any) -> None:
        ended = end_of_call(context)
        hangs.set()
        ended.wait(SECONDS)

    def first(context: Any) -> Iterator[v1.SubscribeResponse]:
        yield from (started("a", generation=1), event("b"))
        fake.expect_acknowledged("b")
        yield event("c")
        context.abort_with_status(UNAVAILABLE)

    with Fake() as fake:
        fake.streams = [first]
        fake.acknowledge_errors = [None, hang]
        with Consumer(flavour, fake.address, SHOP) as consumer:
            assert hangs.wait(SECONDS)
            begun = time.monotonic()
            consumer.close()
            while (end := consumer._events.get(timeout=SECONDS)) is not None:
                assert isinstance(end, v1.Event)
            assert time.monotonic() - begun < 8
        assert fake.order == ["open", "b", "c", "c"]


def test_acknowledge_retries_until_its_timeout(flavour: str) -> None:
    with Fake() as fake:
        fake.streams = [then_silent(started("a", generation=1), event("b"), event("c"))]
        fake.acknowledge_errors = [UNAVAILABLE, UNAVAILABLE]
        with Consumer(flavour, fake.address, SHOP, manual=True) as consumer:
            assert consumer.next().cursor == "b"
            consumer.acknowledge()
            assert consumer.cursor == "b"
            # The acknowledged event is not finished again.
            consumer.finish_event()
            assert consumer.next().cursor == "c"
        assert fake.order == ["open", "b", "b", "b"]


def test_acknowledged_current_event_counts_once_for_the_limit(flavour: str, failures: list[int]) -> None:
    with Fake() as fake:
        fake.streams = [
            script(started("a", generation=1), event("b"), end=UNAVAILABLE),
            script(started("b", generation=1), event("c"), MAX_EVENTS),
        ]
        with Consumer(
            flavour, fake.address, v1.SubscribeRequest(subscription_id="shop", max_events=2), manual=True
        ) as consumer:
            assert consumer.next().cursor == "b"
            consumer.acknowledge()
            consumer.finish_event()
            assert consumer.next().cursor == "c"
            consumer.finish_event()
            consumer.expect_end()
        opened = [request for request in fake.requests if isinstance(request, v1.SubscribeRequest)]
        assert [request.max_events for request in opened] == [2, 1]


def test_acknowledge_timeout_raises(flavour: str) -> None:
    with Fake() as fake:
        fake.streams = [then_silent(started("a", generation=1), event("b"))]
        fake.acknowledge_errors = [status(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE", retry_delay=31)]
        with Consumer(flavour, fake.address, SHOP, manual=True) as consumer:
            assert consumer.next().cursor == "b"
            with pytest.raises(SwitchboardError) as caught:
                consumer.acknowledge(timeout=None)
        assert caught.value.reason == "STORE_UNAVAILABLE"


def test_rejected_acknowledge_raises_the_reason(flavour: str) -> None:
    with Fake() as fake:
        fake.streams = [then_silent(started("a", generation=1), event("b"))]
        fake.acknowledge_errors = [DELETED]
        with Consumer(flavour, fake.address, SHOP, manual=True) as consumer:
            assert consumer.next().cursor == "b"
            with pytest.raises(SwitchboardError) as caught:
                consumer.acknowledge()
        assert caught.value.reason == "SUBSCRIPTION_NOT_FOUND"
        assert fake.order == ["open", "b"]


def test_acknowledge_works_outside_the_loop() -> None:
    with Fake() as fake, Client(fake.address) as client:
        fake.streams = [then_silent(started("a", generation=1), event("b"), event("c"))]
        with client.subscribe(SHOP) as events:
            events.acknowledge()
            assert next(events).cursor == "b"
            # No event is finished yet.
            events.acknowledge()
            assert fake.order == ["open"]
        events.acknowledge(v1.Event(cursor="made-up"))
        assert fake.order == ["open"]
        events.acknowledge(v1.Event(cursor="b"))
        assert fake.order == ["open", "b"]


def test_acknowledge_works_outside_the_asyncio_loop() -> None:
    async def consume() -> None:
        async with aio.Client(fake.address) as client:
            async with client.subscribe(SHOP) as events:
                await events.acknowledge()
                assert (await anext(events)).cursor == "b"
                await events.acknowledge()
                assert fake.order == ["open"]
            await events.acknowledge(v1.Event(cursor="made-up"))
            assert fake.order == ["open"]
            await events.acknowledge(v1.Event(cursor="b"))
            assert fake.order == ["open", "b"]

    with Fake() as fake:
        fake.streams = [then_silent(started("a", generation=1), event("b"), event("c"))]
        asyncio.run(asyncio.wait_for(consume(), SECONDS))


def test_acknowledge_without_a_subscription_raises(flavour: str) -> None:
    with Fake() as fake:
        fake.streams = [script(started("a"), event("b"), heartbeat("c"), MAX_EVENTS)]
        with Consumer(flavour, fake.address, v1.SubscribeRequest(), manual=True) as consumer:
            assert consumer.next().cursor == "b"
            with pytest.raises(ValueError, match="named"):
                consumer.acknowledge()
            consumer.finish_event()
            consumer.expect_end()
        assert fake.order == ["open"]


@pytest.mark.usefixtures("slow_acknowledgements")
def test_close_after_abandoned_wait_acknowledges() -> None:
    async def consume() -> None:
        async with aio.Client(fake.address) as client, client.subscribe(SHOP) as events:
            assert [(await anext(events)).cursor for _ in range(2)] == ["b", "c"]
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(anext(events), 0.1)

    def stream(context: Any) -> Iterator[v1.SubscribeResponse]:
        yield from (started("a", generation=1), event("b"))
        fake.expect_acknowledged("b")
        yield from then_silent(event("c"))(context)

    with Fake() as fake:
        fake.streams = [stream]
        asyncio.run(asyncio.wait_for(consume(), SECONDS))
        assert fake.order == ["open", "b", "c"]


@pytest.mark.usefixtures("slow_acknowledgements")
def test_cancelled_task_acknowledges() -> None:
    async def consume() -> None:
        async with aio.Client(fake.address) as client:
            finished = asyncio.Event()

            async def loop() -> None:
                async with client.subscribe(SHOP) as events:
                    assert (await anext(events)).cursor == "b"
                    assert (await anext(events)).cursor == "c"
                    finished.set()
                    await anext(events)

            task = asyncio.create_task(loop())
            await finished.wait()
            # After one turn of the event loop, the task waits for the next event, so the previous one is finished.
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    def stream(context: Any) -> Iterator[v1.SubscribeResponse]:
        yield from (started("a", generation=1), event("b"))
        fake.expect_acknowledged("b")
        yield from then_silent(event("c"))(context)

    with Fake() as fake:
        fake.streams = [stream]
        asyncio.run(asyncio.wait_for(consume(), SECONDS))
        assert fake.order == ["open", "b", "c"]


def test_closed_stream_leaves_no_thread() -> None:
    def threads() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name.startswith("switchboard-")]

    with Fake() as fake, Client(fake.address) as client:
        fake.streams = [then_silent(started("a", generation=1), event("b"), event("c"))] * 2
        # The first stream is closed. The second is no longer referenced.
        for close in (True, False):
            events = client.subscribe(SHOP)
            assert [next(events).cursor for _ in range(2)] == ["b", "c"]
            fake.expect_acknowledged("b")
            running = threads()
            assert len(running) == 2
            if close:
                events.close()
            del events
            gc.collect()
            for thread in running:
                thread.join(SECONDS)
                assert not thread.is_alive()
    assert fake.order.count("open") == 2
    assert "c" not in fake.order


def test_closed_asyncio_stream_leaves_no_task() -> None:
    async def consume() -> None:
        async with aio.Client(fake.address) as client:
            before = asyncio.all_tasks()
            async with client.subscribe(SHOP) as events:
                assert [(await anext(events)).cursor for _ in range(2)] == ["b", "c"]
                await events.acknowledge()
                assert asyncio.all_tasks() > before
            if left := asyncio.all_tasks() - before:
                _, pending = await asyncio.wait(left, timeout=SECONDS)
                assert not pending

    with Fake() as fake:
        fake.streams = [then_silent(started("a", generation=1), event("b"), event("c"))]
        asyncio.run(asyncio.wait_for(consume(), SECONDS))
