"""How far a subscription has come: the part of it that neither threads nor asyncio matter to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc

from switchboard import v1
from switchboard._calls import backoff

if TYPE_CHECKING:
    from switchboard._errors import SwitchboardError

# Seconds until a stream must have started.
START_SECONDS = 10.0

# What gRPC makes of a stream that something on the way has reset. A server that answers says none of these of a stream
# that it has started.
_RESET = frozenset((grpc.StatusCode.CANCELLED, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN))


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
                self._failures = 0
                self._silence = 2 * response.started.heartbeat_interval.ToTimedelta().total_seconds()
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

    def delay(self, error: SwitchboardError | None, *, dead: bool) -> float | None:
        """Seconds until the next stream, now that one has ended: with an error, with OK (None), or `dead`.

        None when there is to be none, because the stream has come to the end that was asked for. An error that no new
        stream could mend is raised.
        """
        closing, started = self._closing, self._silence is not None
        if error is None and closing is not None and closing.reason != v1.CLOSING_REASON_SHUTDOWN:
            return None
        if self._limited and not self._request.max_events:
            # The last event came, and the word that it was the last did not.
            return None
        if not dead and error is not None and error.code() is not grpc.StatusCode.UNAVAILABLE:
            reset = started and not error.reason and error.code() in _RESET
            if not reset:
                raise error
        self._failures += 1
        delay = backoff(self._failures, cap=10.0)
        waits = [closing.retry_after] if closing is not None and closing.HasField("retry_after") else []
        named = [wait.ToTimedelta() for wait in waits]
        if error is not None and error.retry_delay is not None:
            named.append(error.retry_delay)
        return delay + max((wait.total_seconds() for wait in named), default=0.0)
