"""How far a subscription has come: the part of it that neither threads nor asyncio matter to."""

from __future__ import annotations

from datetime import timedelta

import grpc

from switchboard_client import v1
from switchboard_client._calls import MAX_DELAY_SECONDS, backoff
from switchboard_client._errors import SwitchboardError

# Seconds until a stream must have started.
START_SECONDS = 10.0

# The interval of heartbeats where a stream does not say its own.
HEARTBEAT_SECONDS = 15.0

# The least time between two acknowledgements that nobody asked for.
ACKNOWLEDGE_SECONDS = 1.0

# How long the end of a loop waits for its last acknowledgement.
FINAL_ACKNOWLEDGE_SECONDS = 2.0

# What gRPC makes of a stream or a call that something on the way has reset, where the server gives no reason.
_RESET = frozenset((grpc.StatusCode.CANCELLED, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN))

# How often in a row that is believed of a stream while nothing comes: a message that cannot be read looks the same, and
# comes again, and so does a peer that is no Switchboard at all.
_MAX_RESETS = 5

# What the server says of a subscription that was moved or given another filter.
_POSITION_CHANGED = frozenset(("SUBSCRIPTION_CHANGED", "SUBSCRIPTION_GENERATION_STALE"))

_CHANGED_CLOSINGS = frozenset((v1.CLOSING_REASON_SUBSCRIPTION_CHANGED, v1.CLOSING_REASON_SUBSCRIPTION_DELETED))
_REOPEN_CLOSINGS = frozenset((v1.CLOSING_REASON_SHUTDOWN, v1.CLOSING_REASON_SUBSCRIPTION_CHANGED))


def _reset(error: SwitchboardError) -> bool:
    return not error.reason and error.code() in _RESET


def silence_error() -> SwitchboardError:
    """What a stream ends with on which nothing was heard for too long."""
    return SwitchboardError(grpc.StatusCode.UNAVAILABLE, details="nothing was heard for too long")


class Progress:
    """The place of a subscription over all of its streams."""

    def __init__(self, request: v1.SubscribeRequest | None, *, reports_gaps: bool) -> None:
        self._request = v1.SubscribeRequest()
        if request is not None:
            self._request.CopyFrom(request)
        if reports_gaps:
            self._request.expired_policy = v1.EXPIRED_POLICY_SKIP_WITH_GAP
        elif self._request.expired_policy == v1.EXPIRED_POLICY_SKIP_WITH_GAP:
            raise ValueError("EXPIRED_POLICY_SKIP_WITH_GAP needs on_gap: a gap is not passed over in silence")
        self.cursor: str | None = self._request.after_cursor or None
        self._named = self._request.WhichOneof("start") == "subscription"
        self._limited = self._request.max_events > 0
        self._failures = self._resets = 0
        self._max_silence: float | None = None
        self._closing: v1.SubscribeClosing | None = None
        self._generation = 0
        # What the caller has and has not finished.
        self._current: v1.Event | v1.SubscribeGap | None = None
        # Of a named subscription: what is finished, and what of that the server knows or has refused. The first is
        # written by the loop alone, the second by whoever acknowledges: there is nothing to lock.
        self._finished: v1.AcknowledgeRequest | None = None
        self._answered: v1.AcknowledgeRequest | None = None

    def open(self) -> v1.SubscribeRequest:
        """Begins a stream, and tells with what request."""
        self._max_silence = self._closing = None
        if self.cursor is not None and not self._named:
            self._request.after_cursor = self.cursor
        return self._request

    def max_silence(self) -> float:
        """Seconds of silence after which the stream that is open is dead."""
        return START_SECONDS if self._max_silence is None else self._max_silence

    def handle(self, response: v1.SubscribeResponse) -> v1.Event | v1.SubscribeGap | None:
        """Takes what a stream brought in, and tells what of it is for the caller. That is finished by `finish`."""
        match response.WhichOneof("response"):
            case "started":
                self._start(response.started)
            case "event":
                self._resets, self._current = 0, response.event
                return response.event
            case "gap":
                self._resets, self._current = 0, response.gap
                return response.gap
            case "heartbeat":
                self._resets = 0
                self._advance_cursor(response.heartbeat.cursor)
            case "closing":
                self._closing = response.closing
                if response.closing.reason in _CHANGED_CLOSINGS:
                    # What is finished is about the subscription as it was.
                    self._finished = None
                else:
                    self._advance_cursor(response.closing.cursor)
        return None

    def _start(self, started: v1.SubscribeStarted) -> None:
        self._failures = 0
        interval = started.heartbeat_interval.ToTimedelta().total_seconds()
        self._max_silence = 2 * (interval or HEARTBEAT_SECONDS)
        self._generation = started.generation
        gap_may_come = (
            self._request.expired_policy == v1.EXPIRED_POLICY_SKIP_WITH_GAP
            and self._request.WhichOneof("start") == "since"
            and started.cursor == started.oldest_cursor
        )
        # Of what is missing since a time, only that time tells: until the gap has come, it is asked for again.
        if not gap_may_come:
            self.cursor = started.cursor

    def finish(self, done: v1.Event | v1.SubscribeGap) -> None:
        """Moves behind what the caller has dealt with, unless `acknowledge` did."""
        if done is not self._current:
            return
        self._current = None
        if isinstance(done, v1.SubscribeGap):
            self._advance_cursor(done.resume_cursor)
            return
        self._advance_cursor(done.cursor)
        if self._limited:
            self._request.max_events -= 1

    def _advance_cursor(self, cursor: str) -> None:
        if cursor in ("", self.cursor):
            return
        self.cursor = cursor
        if self._named:
            self._finished = v1.AcknowledgeRequest(
                subscription=self._request.subscription, cursor=cursor, generation=self._generation
            )

    def acknowledge(self, event: v1.Event | None) -> v1.AcknowledgeRequest | None:
        """Finishes with an event, if it is at hand, and tells what acknowledges all that is finished."""
        if not self._named:
            raise ValueError("only a named subscription can be acknowledged")
        current = self._current
        if event is not None and isinstance(current, v1.Event) and event.cursor == current.cursor:
            self.finish(current)
        return self._finished

    def unacknowledged(self) -> v1.AcknowledgeRequest | None:
        """What is finished, and is to be acknowledged."""
        ack = self._finished
        return None if ack is self._answered else ack

    def acknowledge_due(self) -> bool:
        """Says whether that is to be done while the stream goes on."""
        return self._closing is None and self.unacknowledged() is not None

    def record_acknowledgement(
        self, ack: v1.AcknowledgeRequest, error: SwitchboardError | None
    ) -> SwitchboardError | None:
        """Takes what became of an acknowledgement, and tells the error that is one for the loop too.

        It is UNAVAILABLE when the same acknowledgement is to be tried again, which may take a new stream. It is none
        when the subscription was changed: the server ends the stream, and the next one starts where the subscription is
        then.
        """
        if error is None or error.reason in _POSITION_CHANGED:
            self._answered = ack
            return None
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            return error
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED or _reset(error):
            transient = SwitchboardError(grpc.StatusCode.UNAVAILABLE, details="an acknowledgement did not come through")
            transient.retry_delay = error.retry_delay
            return transient
        if error.reason:
            # It would be refused again.
            self._answered = ack
        return error

    def delay(self, error: SwitchboardError | None) -> float | None:
        """Seconds until the next stream, now that one has ended: with an error, or with OK (None).

        None when there is to be none, because the stream has come to the end that was asked for. An error that no new
        stream could mend is raised.
        """
        closing = self._closing
        if error is None and closing is not None and closing.reason not in _REOPEN_CLOSINGS:
            return None
        if self._limited and not self._request.max_events:
            # The last event came, and the word that it was the last did not.
            return None
        if error is not None and (error.code() is grpc.StatusCode.NOT_FOUND or error.reason in _POSITION_CHANGED):
            self._finished = None
        if error is not None and error.code() is not grpc.StatusCode.UNAVAILABLE:
            if not _reset(error) or self._resets == _MAX_RESETS:
                raise error
            self._resets += 1
        self._failures += 1
        delay = backoff(self._failures, cap=10.0)
        delays = [timedelta()]
        if closing is not None:
            delays.append(closing.retry_after.ToTimedelta())
        if error is not None and error.retry_delay is not None:
            delays.append(error.retry_delay)
        return delay + min(max(delays).total_seconds(), MAX_DELAY_SECONDS)
