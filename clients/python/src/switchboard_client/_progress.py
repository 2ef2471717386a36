"""The state of an event stream across its connections. Threads and asyncio share it."""

from __future__ import annotations

from datetime import timedelta

import grpc

from switchboard_client import v1
from switchboard_client._calls import MAX_DELAY_SECONDS, backoff, log
from switchboard_client._errors import SwitchboardError, parse_reason

# Seconds in which a stream must start.
START_SECONDS = 10.0

# The heartbeat interval if the stream does not state one.
HEARTBEAT_SECONDS = 15.0

# The minimum interval between two automatic acknowledgements.
ACKNOWLEDGE_SECONDS = 1.0

# How long the end of a stream waits for its last acknowledgement.
FINAL_ACKNOWLEDGE_SECONDS = 2.0

# The codes that gRPC reports for a stream or a call that an intermediary reset. They have no reason.
_RESET = frozenset((grpc.StatusCode.CANCELLED, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN))

# How many consecutive resets without a response are retried. A message that cannot be decoded and a peer that is not
# Switchboard look the same, and they fail every time.
_MAX_RESETS = 5

# The reasons for a subscription that was moved or got another filter.
_POSITION_CHANGED = frozenset((v1.REASON_SUBSCRIPTION_CHANGED, v1.REASON_SUBSCRIPTION_GENERATION_STALE))

_CHANGED_CLOSINGS = frozenset((v1.CLOSING_REASON_SUBSCRIPTION_CHANGED, v1.CLOSING_REASON_SUBSCRIPTION_DELETED))
_REOPEN_CLOSINGS = frozenset((v1.CLOSING_REASON_SHUTDOWN, v1.CLOSING_REASON_SUBSCRIPTION_CHANGED))


def _reset(error: SwitchboardError) -> bool:
    return not error.reason and error.code() in _RESET


def _position_changed(error: SwitchboardError) -> bool:
    return parse_reason(error.reason) in _POSITION_CHANGED


def silence_error() -> SwitchboardError:
    """The error of a stream that was silent for too long."""
    return SwitchboardError(grpc.StatusCode.UNAVAILABLE, details="the stream was silent for too long")


class Progress:
    """The position of an event stream across all of its connections."""

    def __init__(self, request: v1.SubscribeRequest | None, *, reports_gaps: bool) -> None:
        self._request = v1.SubscribeRequest()
        if request is not None:
            self._request.CopyFrom(request)
        if reports_gaps:
            self._request.expired_policy = v1.EXPIRED_POLICY_SKIP_WITH_GAP
        elif self._request.expired_policy == v1.EXPIRED_POLICY_SKIP_WITH_GAP:
            raise ValueError("EXPIRED_POLICY_SKIP_WITH_GAP requires on_gap, which receives the gap")
        self.cursor: str | None = self._request.after_cursor or None
        self._named = self._request.WhichOneof("start") == "subscription_id"
        self._limited = self._request.max_events > 0
        self._failures = self._resets = 0
        self._max_silence: float | None = None
        self._closing: v1.SubscribeClosing | None = None
        self._cause: SwitchboardError | None = None
        self._generation = 0
        # The event or gap that the program is processing.
        self._current: v1.Event | v1.SubscribeGap | None = None
        # For a named subscription: the last finished position, and the last position that the server accepted or
        # rejected. Only the loop writes the first and only an acknowledging thread the second, so no lock is needed.
        self._finished: v1.AcknowledgeRequest | None = None
        self._answered: v1.AcknowledgeRequest | None = None

    def open(self) -> v1.SubscribeRequest:
        """Resets the per-stream state and returns the request of the next stream."""
        self._max_silence = self._closing = None
        if self.cursor is not None and not self._named:
            self._request.after_cursor = self.cursor
        return self._request

    def max_silence(self) -> float:
        """Seconds of silence after which the open stream is dead."""
        return START_SECONDS if self._max_silence is None else self._max_silence

    def handle(self, response: v1.SubscribeResponse) -> v1.Event | v1.SubscribeGap | None:
        """Handles a response. Returns the event or gap for the program, which `finish` finishes."""
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
                    # The finished position belongs to the old state of the subscription.
                    self._finished = None
                else:
                    self._advance_cursor(response.closing.cursor)
        return None

    def _start(self, started: v1.SubscribeStarted) -> None:
        self._failures = 0
        interval = started.heartbeat_interval.ToTimedelta().total_seconds()
        self._max_silence = 2 * (interval or HEARTBEAT_SECONDS)
        self._generation = started.generation
        gap_expected = (
            self._request.expired_policy == v1.EXPIRED_POLICY_SKIP_WITH_GAP
            and self._request.WhichOneof("start") == "since"
            and started.cursor == started.oldest_cursor
        )
        # Only a request with the same `since` gets the gap again, so the cursor is not used until the gap arrived.
        if not gap_expected:
            self.cursor = started.cursor

    def finish(self, done: v1.Event | v1.SubscribeGap) -> None:
        """Advances past the finished item, unless `acknowledge` already did."""
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
                subscription_id=self._request.subscription_id, cursor=cursor, generation=self._generation
            )

    def acknowledge(self, event: v1.Event | None) -> v1.AcknowledgeRequest | None:
        """Finishes the event if it is the current one. Returns the request that acknowledges all finished events."""
        if not self._named:
            raise ValueError("only a named subscription can be acknowledged: set SubscribeRequest.subscription_id")
        current = self._current
        if event is not None and isinstance(current, v1.Event) and event.cursor == current.cursor:
            self.finish(current)
        return self._finished

    def unacknowledged(self) -> v1.AcknowledgeRequest | None:
        """The request for the finished position, if it is not acknowledged yet."""
        ack = self._finished
        return None if ack is self._answered else ack

    def acknowledge_due(self) -> bool:
        """Whether to acknowledge while the stream is open."""
        return self._closing is None and self.unacknowledged() is not None

    def record_acknowledgement(
        self, ack: v1.AcknowledgeRequest, error: SwitchboardError | None
    ) -> SwitchboardError | None:
        """Records the result of an acknowledgement. Returns the error that the stream must handle too.

        The error is UNAVAILABLE if the acknowledgement must be retried, possibly on a new stream. There is no error if
        the subscription was changed: the server ends the stream, and the next one starts at the new position.
        """
        if error is None or _position_changed(error):
            self._answered = ack
            return None
        log.info("the acknowledgement of subscription %r failed: %s", ack.subscription_id, str(error))
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            return error
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED or _reset(error):
            transient = SwitchboardError(grpc.StatusCode.UNAVAILABLE, details="the acknowledgement was interrupted")
            transient.retry_delay = error.retry_delay
            return transient
        if error.reason:
            # The server would reject it again.
            self._answered = ack
        return error

    def delay(self, error: SwitchboardError | None) -> float | None:
        """Seconds until the next stream, after one ended with an error, or with OK (None).

        Returns None if the stream reached a limit of the request. Raises an error that a new stream cannot solve.
        """
        closing = self._closing
        if error is None and closing is not None and closing.reason not in _REOPEN_CLOSINGS:
            return None
        if self._limited and not self._request.max_events:
            # The last event arrived, but the closing response did not.
            return None
        if error is not None and (error.code() is grpc.StatusCode.NOT_FOUND or _position_changed(error)):
            self._finished = None
        if error is not None and error.code() is not grpc.StatusCode.UNAVAILABLE:
            if not _reset(error) or self._resets == _MAX_RESETS:
                raise error
            self._resets += 1
        self._failures += 1
        if error is None:
            text = "the server ended the stream without an error"
            self._cause = SwitchboardError(grpc.StatusCode.UNAVAILABLE, details=text)
        else:
            self._cause = error
        delay = backoff(self._failures, cap=10.0)
        delays = [timedelta()]
        if closing is not None:
            delays.append(closing.retry_delay.ToTimedelta())
        if error is not None and error.retry_delay is not None:
            delays.append(error.retry_delay)
        delay += min(max(delays).total_seconds(), MAX_DELAY_SECONDS)
        name = f"subscription {self._request.subscription_id!r}" if self._named else "an unnamed subscription"
        # As text: a log record that keeps the error would keep its connection open.
        cause = str(self._cause)
        log.warning("the event stream of %s broke, the next one opens in %.2f seconds: %s", name, delay, cause)
        return delay

    def take_cause(self) -> SwitchboardError | None:
        """Why the last stream broke, after `delay` returned the seconds until the next one.

        The error is not kept, because its traceback references the call and so keeps the old connection open.
        """
        cause, self._cause = self._cause, None
        return cause
