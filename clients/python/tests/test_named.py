"""The subscription that the server keeps the place of."""

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
from kit.callers import Follower
from kit.fake import Fake, event, heartbeat, script, started, status, then_silent
from switchboard_client import Client, SwitchboardError, aio, v1

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kit.server import Server

SECONDS = 20
SHOP = v1.SubscribeRequest(subscription="shop")
UNAVAILABLE = status(grpc.StatusCode.UNAVAILABLE)
STALE = status(grpc.StatusCode.FAILED_PRECONDITION, "SUBSCRIPTION_GENERATION_STALE")
CHANGED = status(grpc.StatusCode.UNAVAILABLE, "SUBSCRIPTION_CHANGED")
DELETED = status(grpc.StatusCode.NOT_FOUND, "SUBSCRIPTION_NOT_FOUND")


def closing(reason: v1.ClosingReason.ValueType, cursor: str) -> v1.SubscribeResponse:
    return v1.SubscribeResponse(closing=v1.SubscribeClosing(reason=reason, cursor=cursor))


MAX_EVENTS = closing(v1.CLOSING_REASON_MAX_EVENTS, "end")


class Named:
    """A subscription on the real server, from the newest place on, of what customers write."""

    def __init__(self, server: Server, *types: str) -> None:
        self.id = f"test-{uuid.uuid4()}"
        self.server = server
        filter_ = v1.EventFilter(types=types or ["message.received"])
        self.call("CreateSubscription", v1.CreateSubscriptionRequest(subscription=self.id, filter=filter_))
        self.begin = self.get().cursor

    def call(self, name: str, request: Any) -> Any:
        with Client(self.server.address) as client:
            return getattr(client.events, name)(request, timeout=SECONDS)

    def get(self) -> v1.Subscription:
        subscription: v1.Subscription = self.call(
            "GetSubscription", v1.GetSubscriptionRequest(subscription=self.id)
        ).subscription
        return subscription

    def replay(self) -> None:
        self.call("SeekSubscription", v1.SeekSubscriptionRequest(subscription=self.id, after_cursor=self.begin))

    def write(self, *texts: str) -> None:
        for text in texts:
            self.server.inject(text)

    def follow(self, flavour: str, *, held: bool = True) -> Follower:
        request = v1.SubscribeRequest(subscription=self.id)
        request.heartbeat_interval.FromSeconds(1)
        return Follower(flavour, self.server.address, request, held=held)


@pytest.fixture
def only_first_and_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """On one stream, only what is finished first is acknowledged by the way."""
    for module in (switchboard_client._client, aio):
        assert module.ACKNOWLEDGE_SECONDS == 1
        monkeypatch.setattr(module, "ACKNOWLEDGE_SECONDS", 1000.0)


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (switchboard_client._client, aio):
        monkeypatch.setattr(module, "ACKNOWLEDGE_SECONDS", 0.05)


# The real server.


def test_nothing_is_lost_over_restarts_of_the_server_and_of_the_loop(flavour: str, own_server: Server) -> None:
    named = Named(own_server)
    taken, enough = [], threading.Event()

    def write() -> None:
        for number in range(100_000):
            if enough.is_set():
                return
            try:
                named.write(str(number))
            except (grpc.RpcError, AssertionError):
                # It may have been taken, and the word of it was lost.
                continue
            taken.append(number)

    def restart(how: signal.Signals) -> None:
        own_server.stop(how)
        own_server.start()

    def read(follower: Follower, number: int) -> list[int]:
        """What comes, of which the last is still at hand."""
        come = [int(follower.text())]
        while len(come) < number:
            follower.go_on()
            come.append(int(follower.text()))
        return come

    writer = threading.Thread(target=write)
    writer.start()
    loops: list[list[int]] = []
    try:
        with named.follow(flavour) as follower:
            come = read(follower, 30)
            for _ in range(2):
                # With an event at hand, and others that were finished a moment ago.
                restart(signal.SIGKILL)
                follower.go_on()
                come += read(follower, 30)
            loops.append(come)
        restart(signal.SIGTERM)
        with named.follow(flavour) as follower:
            come = read(follower, 20)
            restart(signal.SIGKILL)
            # Finished, but nobody was there to be told; and the loop fails with the next.
            follower.go_on()
            come += read(follower, 1)
            follower.fail()
            loops.append(come)
    finally:
        enough.set()
        writer.join(SECONDS)
    named.write("1000000")
    with named.follow(flavour) as follower:
        come = read(follower, 1)
        while come[-1] != 1_000_000:
            follower.go_on()
            come += read(follower, 1)
        loops.append(come)

    for before, after in itertools.pairwise(loops):
        # What was at hand comes again, and nothing else.
        assert after[0] == before.pop()
    come = [number for loop in loops for number in loop]
    assert come == sorted(set(come))
    assert set(taken) <= set(come)


@pytest.mark.parametrize("how", ["leave", "fail"])
def test_an_unfinished_event_comes_again_to_the_next_loop(flavour: str, how: str, server: Server) -> None:
    named = Named(server)
    named.write("one", "two", "three")
    with named.follow(flavour) as follower:
        assert follower.text() == "one"
        follower.go_on()
        assert follower.text() == "two"
        getattr(follower, how)()
        assert named.get().cursor == follower.cursor != named.begin
    with named.follow(flavour) as follower:
        assert follower.text() == "two"
        follower.go_on()
        assert follower.text() == "three"


def test_what_is_acknowledged_at_hand_does_not_come_again(flavour: str, server: Server) -> None:
    named = Named(server)
    named.write("one", "two")
    with named.follow(flavour) as follower:
        first = follower.next()
        assert named.get().cursor == named.begin
        follower.acknowledge()
        assert named.get().cursor == follower.cursor == first.cursor
        follower.leave()
    with named.follow(flavour) as follower:
        assert follower.text() == "two"


def test_what_is_finished_is_acknowledged_while_the_body_is_busy(flavour: str, server: Server) -> None:
    named = Named(server)
    named.write("one", "two", "three")
    with named.follow(flavour) as follower:
        for _ in range(2):
            follower.next()
            follower.go_on()
        assert follower.text() == "three"
        assert follower.cursor is not None
        wait_until(lambda: named.get().cursor == follower.cursor)


def wait_until(true: Callable[[], bool]) -> None:
    """Asks the server again, until it is so."""
    deadline = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_moved_back_it_replays(flavour: str, server: Server) -> None:
    named = Named(server)
    named.write("one", "two")
    with named.follow(flavour) as follower:
        assert follower.text() == "one"
        follower.go_on()
        assert follower.text() == "two"
        named.replay()
        # What is at hand belongs to a place that is not the subscription's any more.
        with pytest.raises(SwitchboardError) as caught:
            follower.acknowledge()
        assert caught.value.reason == "SUBSCRIPTION_GENERATION_STALE"
        follower.go_on()
        assert follower.text() == "one"
        # The loop has not undone it.
        assert named.get().cursor == named.begin
        follower.go_on()
        assert follower.text() == "two"
        follower.acknowledge()
        assert named.get().cursor == follower.cursor


def test_it_goes_on_with_another_filter(flavour: str, server: Server) -> None:
    named = Named(server, "report.completed")
    with named.follow(flavour) as follower:
        named.write("one")
        filter_ = v1.EventFilter(types=["message.received"])
        named.call("UpdateSubscription", v1.UpdateSubscriptionRequest(subscription=named.id, filter=filter_))
        named.write("two")
        while follower.text() != "two":
            follower.go_on()


def test_deleted_it_ends_the_loop(flavour: str, server: Server) -> None:
    named = Named(server)
    named.write("one", "two")
    with named.follow(flavour) as follower:
        assert follower.text() == "one"
        named.call("DeleteSubscription", v1.DeleteSubscriptionRequest(subscription=named.id))
        follower.go_on()
        with pytest.raises(SwitchboardError) as caught:
            # The second was on its way.
            while follower.text() == "two":
                follower.go_on()
    assert (caught.value.code(), caught.value.reason) == (grpc.StatusCode.NOT_FOUND, "SUBSCRIPTION_NOT_FOUND")


def test_heartbeats_bring_the_lag_to_zero(flavour: str, server: Server) -> None:
    named = Named(server, "report.completed")
    named.write("one", "two")
    assert named.get().lag_events
    with named.follow(flavour, held=False):
        wait_until(lambda: not named.get().lag_events)


def test_a_program_that_just_ends_has_acknowledged(server: Server) -> None:
    named = Named(server)
    named.write("one", "two")
    program = """if True:
        import sys
        from switchboard_client import Client, v1
        events = Client(sys.argv[1]).subscribe(v1.SubscribeRequest(subscription=sys.argv[2]))
        for event in events:
            print(event.message_received.text.body)
            if event.message_received.text.body == "two":
                break
    """
    for come in ("one\ntwo\n", "two\n"):
        run = subprocess.run(
            [sys.executable, "-W", "error", "-c", program, server.address, named.id],
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        assert (run.returncode, run.stdout, run.stderr) == (0, come, "")


# A server that says what the test wants.


@pytest.mark.usefixtures("only_first_and_last")
def test_what_is_finished_is_acknowledged_before_a_stream_is_opened(flavour: str, failures: list[int]) -> None:
    def first(context: Any) -> Iterator[v1.SubscribeResponse]:
        yield from (started("a", generation=7), event("b"))
        fake.acknowledged("b", 7)
        yield event("c")
        context.abort_with_status(UNAVAILABLE)

    with Fake() as fake:
        fake.streams = [
            first,
            script(started("c", generation=7), end=UNAVAILABLE),
            then_silent(started("c"), event("d")),
        ]
        fake.refusals = [None, UNAVAILABLE, status(grpc.StatusCode.INTERNAL), UNAVAILABLE]
        with Follower(flavour, fake.address, SHOP) as follower:
            assert [follower.next().cursor for _ in range(3)] == ["b", "c", "d"]
            # Nothing is acknowledged twice.
            assert fake.order == ["open", "b", "c", "c", "c", "c", "open", "open"]
            assert follower.cursor in ("c", "d")
    assert failures == [1, 2, 3, 4, 1]
    opened = [request for request in fake.requests if isinstance(request, v1.SubscribeRequest)]
    assert [request.WhichOneof("start") for request in opened] == ["subscription"] * 3
    assert {request.subscription for request in opened} == {"shop"}


def test_acknowledgements_are_few(flavour: str) -> None:
    with Fake() as fake:
        events = [event(f"e{number}") for number in range(500)]
        fake.streams = [then_silent(started("a", generation=1), *events)]
        begun = time.monotonic()
        with Follower(flavour, fake.address, SHOP):
            while fake.places.get(timeout=SECONDS).cursor != "e499":
                pass
            assert len(fake.order) <= 3 + time.monotonic() - begun


@pytest.mark.usefixtures("quickly")
def test_heartbeats_and_gaps_are_acknowledged(flavour: str) -> None:
    def stream(context: Any) -> Iterator[v1.SubscribeResponse]:
        yield started("a", generation=1)
        # What stands needs no word.
        yield heartbeat("a")
        yield heartbeat("b")
        fake.acknowledged("b")
        yield heartbeat("b")
        yield v1.SubscribeResponse(gap=v1.SubscribeGap(after_cursor="b", resume_cursor="c"))
        fake.acknowledged("c")
        yield MAX_EVENTS

    with Fake() as fake:
        fake.streams = [stream]
        with Follower(flavour, fake.address, SHOP, on_gap=lambda _: None) as follower:
            follower.ended()
        assert fake.order == ["open", "b", "c", "end"]


@pytest.mark.usefixtures("quickly")
def test_an_acknowledgement_is_tried_again_later(flavour: str) -> None:
    def stream(context: Any) -> Iterator[v1.SubscribeResponse]:
        yield from (started("a", generation=1), event("b"))
        for _ in range(4):
            fake.acknowledged("b")
        yield from then_silent(event("c"))(context)

    with Fake() as fake:
        fake.streams = [stream]
        fake.refusals = [UNAVAILABLE, status(grpc.StatusCode.UNAVAILABLE, "SERVER_BUSY", retry_after=0.5), UNAVAILABLE]
        begun = time.monotonic()
        with Follower(flavour, fake.address, SHOP) as follower:
            assert [follower.next().cursor for _ in range(2)] == ["b", "c"]
            fake.acknowledged("c")
        assert time.monotonic() - begun >= 0.5
        assert fake.order[:6] == ["open", "b", "b", "b", "b", "c"]


PASSING = [
    status(grpc.StatusCode.INTERNAL),
    status(grpc.StatusCode.UNKNOWN),
    status(grpc.StatusCode.CANCELLED),
    status(grpc.StatusCode.DEADLINE_EXCEEDED),
    status(grpc.StatusCode.UNAVAILABLE, "SERVER_STOPPING"),
]


# Each more often than a stream may be reset.
@pytest.mark.usefixtures("quickly")
@pytest.mark.parametrize("failure", PASSING, ids=lambda failure: failure.code.name)
def test_an_acknowledgement_that_broke_does_not_end_the_stream(flavour: str, failure: Any) -> None:
    def stream(context: Any) -> Iterator[v1.SubscribeResponse]:
        yield from (started("a", generation=1), event("b"))
        for _ in range(8):
            fake.acknowledged("b")
        yield from then_silent(event("c"))(context)

    with Fake() as fake:
        fake.streams = [stream]
        fake.refusals = [failure] * 7
        with Follower(flavour, fake.address, SHOP) as follower:
            assert [follower.next().cursor for _ in range(2)] == ["b", "c"]
        assert fake.order[:9] == ["open", *["b"] * 8]


@pytest.mark.usefixtures("only_first_and_last")
@pytest.mark.parametrize("failure", PASSING, ids=lambda failure: failure.code.name)
def test_an_acknowledgement_that_broke_is_made_before_a_stream_is_opened(
    flavour: str, failure: Any, failures: list[int]
) -> None:
    def first(context: Any) -> Iterator[v1.SubscribeResponse]:
        yield from (started("a", generation=1), event("b"))
        fake.acknowledged("b")
        yield event("c")
        context.abort_with_status(UNAVAILABLE)

    with Fake() as fake:
        fake.streams = [first, then_silent(started("c", generation=1), event("d"))]
        fake.refusals = [None, *[failure] * 7]
        with Follower(flavour, fake.address, SHOP) as follower:
            assert [follower.next().cursor for _ in range(3)] == ["b", "c", "d"]
            assert fake.order == ["open", "b", *["c"] * 8, "open"]


@pytest.mark.usefixtures("only_first_and_last")
def test_a_change_without_closing_drops_the_place(flavour: str, failures: list[int]) -> None:
    def changing(context: Any) -> Iterator[v1.SubscribeResponse]:
        yield from (started("a", generation=1), event("b"))
        fake.acknowledged("b")
        yield event("c")
        context.abort_with_status(CHANGED)

    with Fake() as fake:
        fake.streams = [changing, script(started("m", generation=2), MAX_EVENTS)]
        with Follower(flavour, fake.address, SHOP) as follower:
            assert [follower.next().cursor for _ in range(2)] == ["b", "c"]
            follower.ended()
        assert fake.order == ["open", "b", "open", "end"]
        assert fake.requests[-1].generation == 2


@pytest.mark.usefixtures("quickly")
def test_a_change_is_no_failure(flavour: str, failures: list[int]) -> None:
    def changing(context: Any) -> Iterator[v1.SubscribeResponse]:
        yield from (started("m", generation=1), event("n"))
        fake.acknowledged("n")
        # The loop goes on although that was refused.
        yield from (event("o"), closing(v1.CLOSING_REASON_SUBSCRIPTION_CHANGED, "o"))
        context.abort_with_status(CHANGED)

    def moved(context: Any) -> Iterator[v1.SubscribeResponse]:
        yield from (started("a", generation=2), event("b"))
        while (place := fake.places.get(timeout=SECONDS)).generation == 1:
            # This may have been on its way.
            assert place.cursor == "o"
        assert (place.cursor, place.generation) == ("b", 2)
        yield MAX_EVENTS

    with Fake() as fake:
        fake.streams = [changing, moved]
        fake.refusals = [STALE, STALE]
        with Follower(flavour, fake.address, SHOP) as follower:
            assert [follower.next().cursor for _ in range(3)] == ["n", "o", "b"]
            follower.ended()
            assert follower.cursor == "end"
    assert failures == [1]


@pytest.mark.usefixtures("only_first_and_last")
def test_after_a_change_nothing_is_said_of_what_was_before(flavour: str, failures: list[int]) -> None:
    def changing(context: Any) -> Iterator[v1.SubscribeResponse]:
        yield from (started("a", generation=1), event("b"))
        fake.acknowledged("b")
        yield from (event("c"), closing(v1.CLOSING_REASON_SUBSCRIPTION_CHANGED, "c"))
        context.abort_with_status(CHANGED)

    with Fake() as fake:
        fake.streams = [changing, script(started("m", generation=2), MAX_EVENTS)]
        with Follower(flavour, fake.address, SHOP) as follower:
            assert [follower.next().cursor for _ in range(2)] == ["b", "c"]
            follower.ended()
        assert fake.order == ["open", "b", "open", "end"]


@pytest.mark.usefixtures("only_first_and_last")
@pytest.mark.parametrize("refusal", [STALE, CHANGED])
def test_what_was_refused_as_stale_is_not_said_again(flavour: str, refusal: Any, failures: list[int]) -> None:
    def first(context: Any) -> Iterator[v1.SubscribeResponse]:
        yield from (started("a", generation=1), event("b"))
        fake.acknowledged("b")
        yield event("c")
        # The word that it was changed is lost.
        context.abort_with_status(UNAVAILABLE)

    with Fake() as fake:
        fake.streams = [first, script(started("a", generation=2), MAX_EVENTS)]
        fake.refusals = [None, refusal]
        with Follower(flavour, fake.address, SHOP) as follower:
            assert [follower.next().cursor for _ in range(2)] == ["b", "c"]
            follower.ended()
        assert fake.order == ["open", "b", "c", "open", "end"]


@pytest.mark.parametrize("refusal", [DELETED, status(grpc.StatusCode.OUT_OF_RANGE, "CURSOR_LOST")])
def test_a_refusal_ends_the_loop(flavour: str, refusal: Any) -> None:
    with Fake() as fake:
        fake.streams = [then_silent(started("a", generation=1), event("b"))]
        fake.refusals = [refusal]
        with Follower(flavour, fake.address, SHOP) as follower:
            assert follower.next().cursor == "b"
            with pytest.raises(SwitchboardError) as caught:
                follower.next()
        assert caught.value.code().value[0] == refusal.code.value[0]
        # It is not said once more in the end.
        assert fake.order == ["open", "b"]


@pytest.mark.usefixtures("only_first_and_last")
def test_a_refusal_before_a_stream_is_opened_ends_the_loop(flavour: str, failures: list[int]) -> None:
    def first(context: Any) -> Iterator[v1.SubscribeResponse]:
        yield from (started("a", generation=1), event("b"))
        fake.acknowledged("b")
        yield event("c")
        context.abort_with_status(UNAVAILABLE)

    with Fake() as fake:
        fake.streams = [first]
        fake.refusals = [None, DELETED]
        with Follower(flavour, fake.address, SHOP) as follower:
            assert [follower.next().cursor for _ in range(2)] == ["b", "c"]
            with pytest.raises(SwitchboardError) as caught:
                follower.next()
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        assert fake.order == ["open", "b", "c"]


@pytest.mark.usefixtures("only_first_and_last")
def test_nothing_is_said_to_one_that_was_deleted(flavour: str) -> None:
    def deleted(context: Any) -> Iterator[v1.SubscribeResponse]:
        yield from (started("a", generation=1), event("b"))
        fake.acknowledged("b")
        yield event("c")
        context.abort_with_status(DELETED)

    with Fake() as fake:
        fake.streams = [deleted]
        with Follower(flavour, fake.address, SHOP) as follower:
            assert [follower.next().cursor for _ in range(2)] == ["b", "c"]
            with pytest.raises(SwitchboardError):
                follower.next()
        assert fake.order == ["open", "b"]


@pytest.mark.usefixtures("only_first_and_last")
@pytest.mark.parametrize("how", ["close", "leave", "fail"])
def test_the_last_is_acknowledged_in_the_end(flavour: str, how: str) -> None:
    def stream(context: Any) -> Iterator[v1.SubscribeResponse]:
        yield from (started("a", generation=1), event("b"))
        fake.acknowledged("b")
        yield from then_silent(event("c"), event("d"))(context)

    with Fake() as fake:
        fake.streams = [stream]
        with Follower(flavour, fake.address, SHOP, held=how != "close") as follower:
            for cursor in ("b", "c"):
                assert follower.next().cursor == cursor
                follower.go_on()
            assert follower.next().cursor == "d"
            getattr(follower, how)()
        finished = follower.cursor
        assert finished == ("d" if how == "close" else "c")
        assert fake.order == ["open", "b", finished]


@pytest.mark.usefixtures("only_first_and_last")
def test_the_end_does_not_wait_for_long(flavour: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (switchboard_client._client, aio):
        assert module.LAST_WORDS_SECONDS == 2
        monkeypatch.setattr(module, "LAST_WORDS_SECONDS", 0.2)
    hangs = threading.Event()

    def hang(context: Any) -> None:
        ended = threading.Event()
        context.add_callback(ended.set)
        hangs.set()
        ended.wait(SECONDS)

    with Fake() as fake:
        fake.streams = [then_silent(started("a", generation=1), event("b"))]
        fake.refusals = [hang, hang]
        with Follower(flavour, fake.address, SHOP) as follower:
            assert follower.next().cursor == "b"
            assert hangs.wait(SECONDS)
            begun = time.monotonic()
            follower.close()
            follower.ended()
            assert time.monotonic() - begun < 8
        assert fake.order == ["open", "b", "b"]


@pytest.mark.usefixtures("only_first_and_last")
def test_close_ends_a_loop_that_waits_for_an_acknowledgement(flavour: str, failures: list[int]) -> None:
    hangs = threading.Event()

    def hang(context: Any) -> None:
        ended = threading.Event()
        context.add_callback(ended.set)
        hangs.set()
        ended.wait(SECONDS)

    def first(context: Any) -> Iterator[v1.SubscribeResponse]:
        yield from (started("a", generation=1), event("b"))
        fake.acknowledged("b")
        yield event("c")
        context.abort_with_status(UNAVAILABLE)

    with Fake() as fake:
        fake.streams = [first]
        fake.refusals = [None, hang]
        with Follower(flavour, fake.address, SHOP) as follower:
            assert hangs.wait(SECONDS)
            begun = time.monotonic()
            follower.close()
            while (end := follower._events.get(timeout=SECONDS)) is not None:
                assert isinstance(end, v1.Event)
            assert time.monotonic() - begun < 8
        assert fake.order == ["open", "b", "c", "c"]


def test_acknowledge_tries_again_for_as_long_as_there_is_time(flavour: str) -> None:
    with Fake() as fake:
        fake.streams = [then_silent(started("a", generation=1), event("b"), event("c"))]
        fake.refusals = [UNAVAILABLE, UNAVAILABLE]
        with Follower(flavour, fake.address, SHOP, held=True) as follower:
            assert follower.next().cursor == "b"
            follower.acknowledge()
            assert follower.cursor == "b"
            # What was acknowledged is not finished once more.
            follower.go_on()
            assert follower.next().cursor == "c"
        assert fake.order == ["open", "b", "b", "b"]


def test_what_was_acknowledged_at_hand_counts_once(flavour: str, failures: list[int]) -> None:
    with Fake() as fake:
        fake.streams = [
            script(started("a", generation=1), event("b"), end=UNAVAILABLE),
            script(started("b", generation=1), event("c"), MAX_EVENTS),
        ]
        with Follower(
            flavour, fake.address, v1.SubscribeRequest(subscription="shop", max_events=2), held=True
        ) as follower:
            assert follower.next().cursor == "b"
            follower.acknowledge()
            follower.go_on()
            assert follower.next().cursor == "c"
            follower.go_on()
            follower.ended()
        opened = [request for request in fake.requests if isinstance(request, v1.SubscribeRequest)]
        assert [request.max_events for request in opened] == [2, 1]


def test_acknowledge_does_not_wait_for_long(flavour: str) -> None:
    with Fake() as fake:
        fake.streams = [then_silent(started("a", generation=1), event("b"))]
        fake.refusals = [status(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE", retry_after=31)]
        with Follower(flavour, fake.address, SHOP, held=True) as follower:
            assert follower.next().cursor == "b"
            with pytest.raises(SwitchboardError) as caught:
                follower.acknowledge(timeout=None)
        assert caught.value.reason == "STORE_UNAVAILABLE"


def test_acknowledge_tells_why_not(flavour: str) -> None:
    with Fake() as fake:
        fake.streams = [then_silent(started("a", generation=1), event("b"))]
        fake.refusals = [DELETED]
        with Follower(flavour, fake.address, SHOP, held=True) as follower:
            assert follower.next().cursor == "b"
            with pytest.raises(SwitchboardError) as caught:
                follower.acknowledge()
        assert caught.value.reason == "SUBSCRIPTION_NOT_FOUND"
        assert fake.order == ["open", "b"]


def test_acknowledge_before_and_after_the_loop() -> None:
    with Fake() as fake, Client(fake.address) as client:
        fake.streams = [then_silent(started("a", generation=1), event("b"), event("c"))]
        with client.subscribe(SHOP) as events:
            events.acknowledge()
            assert next(events).cursor == "b"
            # Nothing is finished yet.
            events.acknowledge()
            assert fake.order == ["open"]
        events.acknowledge(v1.Event(cursor="made-up"))
        assert fake.order == ["open"]
        events.acknowledge(v1.Event(cursor="b"))
        assert fake.order == ["open", "b"]


def test_acknowledge_before_and_after_the_loop_with_asyncio() -> None:
    async def follow() -> None:
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
        asyncio.run(asyncio.wait_for(follow(), SECONDS))


def test_without_a_name_there_is_nothing_to_acknowledge(flavour: str) -> None:
    with Fake() as fake:
        fake.streams = [script(started("a"), event("b"), heartbeat("c"), MAX_EVENTS)]
        with Follower(flavour, fake.address, v1.SubscribeRequest(), held=True) as follower:
            assert follower.next().cursor == "b"
            with pytest.raises(ValueError, match="named"):
                follower.acknowledge()
            follower.go_on()
            follower.ended()
        assert fake.order == ["open"]


@pytest.mark.usefixtures("only_first_and_last")
def test_who_gives_up_waiting_and_closes_has_acknowledged() -> None:
    async def follow() -> None:
        async with aio.Client(fake.address) as client, client.subscribe(SHOP) as events:
            assert [(await anext(events)).cursor for _ in range(2)] == ["b", "c"]
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(anext(events), 0.1)

    def stream(context: Any) -> Iterator[v1.SubscribeResponse]:
        yield from (started("a", generation=1), event("b"))
        fake.acknowledged("b")
        yield from then_silent(event("c"))(context)

    with Fake() as fake:
        fake.streams = [stream]
        asyncio.run(asyncio.wait_for(follow(), SECONDS))
        assert fake.order == ["open", "b", "c"]


@pytest.mark.usefixtures("only_first_and_last")
def test_a_cancelled_task_has_acknowledged() -> None:
    async def follow() -> None:
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
            # One turn, and it waits for the next event: the one before is finished.
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    def stream(context: Any) -> Iterator[v1.SubscribeResponse]:
        yield from (started("a", generation=1), event("b"))
        fake.acknowledged("b")
        yield from then_silent(event("c"))(context)

    with Fake() as fake:
        fake.streams = [stream]
        asyncio.run(asyncio.wait_for(follow(), SECONDS))
        assert fake.order == ["open", "b", "c"]


def test_nothing_is_left_running() -> None:
    def threads() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name.startswith("switchboard-")]

    with Fake() as fake, Client(fake.address) as client:
        fake.streams = [then_silent(started("a", generation=1), event("b"), event("c"))] * 2
        # The first is closed; nobody has the second any more.
        for close in (True, False):
            events = client.subscribe(SHOP)
            assert [next(events).cursor for _ in range(2)] == ["b", "c"]
            fake.acknowledged("b")
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


def test_nothing_is_left_running_with_asyncio() -> None:
    async def follow() -> None:
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
        asyncio.run(asyncio.wait_for(follow(), SECONDS))
