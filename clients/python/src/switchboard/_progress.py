"""How far a subscription has come: the part of it that neither threads nor asyncio matter to."""

from __future__ import annotations

from datetime import timedelta

import grpc

from switchboard import v1
from switchboard._calls import backoff
from switchboard._errors import SwitchboardError

# Seconds until a stream must have started.
START_SECONDS = 10.0

# The interval of heartbeats where a stream does not say its own.
HEARTBEAT_SECONDS = 15.0

# What gRPC makes of a stream that something on the way has reset, but also of a peer that is no Switchboard at all. So
# it is taken for a broken connection only where there was a Switchboard before.
_RESET = frozenset((grpc.StatusCode.CANCELLED, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN))


def silence() -> SwitchboardError:
    """What a stream ends with on which nothing was heard for too long."""
    return SwitchboardError(grpc.StatusCode.UNAVAILABLE, details="nothing was heard for too long")


class Progress:
    """The place of a subscription over all of its streams."""

    def __init__(self, request: v1.SubscribeRequest | None, *, surfaces_gaps: bool) -> None:
        self._request = v1.SubscribeRequest()
        if request is not None:
            self._request.CopyFrom(request)
        if surfaces_gaps:
            self._request.expired_policy = v1.EXPIRED_POLICY_SKIP_WITH_GAP
        elif self._request.expired_policy == v1.EXPIRED_POLICY_SKIP_WITH_GAP:
            raise ValueError("EXPIRED_POLICY_SKIP_WITH_GAP needs on_gap: a gap is not passed over in silence")
        self.cursor: str | None = self._request.after_cursor or None
        self._limited = self._request.max_events > 0
        self._failures = 0
        self._ever_started = False
        self._silence: float | None = None
        self._closing: v1.SubscribeClosing | None = None

    def open(self) -> v1.SubscribeRequest:
        """Begins a stream, and tells with what request."""
        self._silence = self._closing = None
        if self.cursor is not None:
            self._request.after_cursor = self.cursor
        return self._request

    def patience(self) -> float:
        """Seconds of silence after which the stream that is open is dead."""
        return START_SECONDS if self._silence is None else self._silence

    def take(self, response: v1.SubscribeResponse) -> v1.Event | v1.SubscribeGap | None:
        """Takes what a stream brought in, and tells what of it is for the caller. That is finished by `finish`."""
        match response.WhichOneof("response"):
            case "started":
                self._failures, self._ever_started = 0, True
                interval = response.started.heartbeat_interval.ToTimedelta().total_seconds()
                self._silence = 2 * (interval or HEARTBEAT_SECONDS)
                self.cursor = response.started.cursor
            case "event":
                return response.event
            case "gap":
                return response.gap
            case "heartbeat":
                self.cursor = response.heartbeat.cursor
            case "closing":
                self._closing = response.closing
                self.cursor = response.closing.cursor
        return None

    def finish(self, done: v1.Event | v1.SubscribeGap) -> None:
        """Moves behind what the caller has dealt with."""
        if isinstance(done, v1.SubscribeGap):
            self.cursor = done.resume_cursor
            return
        self.cursor = done.cursor
        if self._limited:
            self._request.max_events -= 1

    def delay(self, error: SwitchboardError | None) -> float | None:
        """Seconds until the next stream, now that one has ended: with an error, or with OK (None).

        None when there is to be none, because the stream has come to the end that was asked for. An error that no new
        stream could mend is raised.
        """
        closing = self._closing
        if error is None and closing is not None and closing.reason != v1.CLOSING_REASON_SHUTDOWN:
            return None
        if self._limited and not self._request.max_events:
            # The last event came, and the word that it was the last did not.
            return None
        if error is not None and error.code() is not grpc.StatusCode.UNAVAILABLE:
            reset = self._ever_started and not error.reason and error.code() in _RESET
            if not reset:
                raise error
        self._failures += 1
        delay = backoff(self._failures, cap=10.0)
        named = [timedelta()]
        if closing is not None:
            named.append(closing.retry_after.ToTimedelta())
        if error is not None and error.retry_delay is not None:
            named.append(error.retry_delay)
        return delay + max(named).total_seconds()
