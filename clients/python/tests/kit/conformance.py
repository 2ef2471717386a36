"""Reads the conformance table (`clients/conformance/README.md`), and runs the server's side of its cases."""

from __future__ import annotations

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from kit.fake import SECONDS, end_of_call, event, heartbeat, started
from kit.server import REPOSITORY
from switchboard_client import v1

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from typing_extensions import Self

TABLE = REPOSITORY / "clients/conformance"


def cases(file: str) -> list[dict[str, Any]]:
    """The cases of one file."""
    read: list[dict[str, Any]] = json.loads((TABLE / file).read_text())
    assert len(read) >= 5
    return read


def only(values: dict[str, Any], *known: str) -> dict[str, Any]:
    """Fails on a key that the test does not know."""
    assert values.keys() <= set(known), values.keys() - set(known)
    return values


def check_bounds(bounds: Any, value: float) -> None:
    """Checks a number against an exact value, or against `at_least` and `at_most`."""
    if isinstance(bounds, dict):
        only(bounds, "at_least", "at_most")
        assert bounds["at_least"] <= value <= bounds["at_most"]
    else:
        assert value == bounds


def unused_port() -> int:
    """A port that refuses connections."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def status(values: dict[str, Any]) -> Any:
    """A scripted status."""
    only(values, "code", "message", "reason", "metadata", "retry_delay_ms", "field_violations")
    made = status_pb2.Status(code=grpc.StatusCode[values["code"]].value[0], message=values.get("message", ""))
    if "reason" in values:
        made.details.add().Pack(
            error_details_pb2.ErrorInfo(
                reason=values["reason"], domain="switchboard", metadata=values.get("metadata", {})
            )
        )
    if "field_violations" in values:
        violations = [error_details_pb2.BadRequest.FieldViolation(**each) for each in values["field_violations"]]
        made.details.add().Pack(error_details_pb2.BadRequest(field_violations=violations))
    if "retry_delay_ms" in values:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(values["retry_delay_ms"])
        made.details.add().Pack(retry)
    return rpc_status.to_status(made)


def subscribe_request(values: dict[str, Any]) -> v1.SubscribeRequest:
    """A `SubscribeRequest` of the table."""
    only(values, "subscription_id", "position", "after_cursor", "since_seconds", "max_events", "expired_policy")
    request = v1.SubscribeRequest()
    for key, value in values.items():
        if key == "position":
            request.position = v1.StartPosition.Value(value)
        elif key == "expired_policy":
            request.expired_policy = v1.ExpiredPolicy.Value(value)
        elif key == "since_seconds":
            request.since.seconds = value
        else:
            setattr(request, key, value)
    return request


def response(step: dict[str, Any]) -> v1.SubscribeResponse:
    """The response that a step of a stream sends."""
    ((kind, values),) = step.items()
    if kind == "event":
        made = event(values)
        made.event.event_id = values
        return made
    if kind == "heartbeat":
        return heartbeat(values)
    if kind == "started":
        only(values, "cursor", "oldest_cursor", "heartbeat_ms", "generation")
        return started(
            values["cursor"],
            values.get("heartbeat_ms", 15_000) / 1000,
            values.get("generation", 0),
            values.get("oldest_cursor", ""),
        )
    if kind == "gap":
        return v1.SubscribeResponse(gap=v1.SubscribeGap(**values))
    assert kind == "closing"
    only(values, "reason", "cursor", "retry_delay_ms")
    closing = v1.SubscribeClosing(reason=v1.ClosingReason.Value(values["reason"]), cursor=values.get("cursor", ""))
    if "retry_delay_ms" in values:
        closing.retry_delay.FromMilliseconds(values["retry_delay_ms"])
    return v1.SubscribeResponse(closing=closing)


_REQUESTS: dict[str, Any] = {
    "SendMessage": v1.SendMessageRequest,
    "GetMessage": v1.GetMessageRequest,
    "UpdateContact": v1.UpdateContactRequest,
    "CreateSubscription": v1.CreateSubscriptionRequest,
    "GetSubscription": v1.GetSubscriptionRequest,
    "UpdateSubscription": v1.UpdateSubscriptionRequest,
    "Acknowledge": v1.AcknowledgeRequest,
    "Subscribe": v1.SubscribeRequest,
}


class ScriptedServer(grpc.GenericRpcHandler):
    """Handles all methods of a case by one function, `handle(method, request, context)`.

    The function returns the response, or for `Subscribe` an iterator of responses.
    """

    def __init__(self, handle: Callable[[str, Any, Any], Any], *, port: int = 0, starts_after: float = 0) -> None:
        self._handle = handle
        self._server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
        self._server.add_generic_rpc_handlers((self,))
        self._port = port
        self._late = threading.Timer(starts_after, self._start) if starts_after else None
        self.address = ""

    def service(self, handler_call_details: Any) -> Any:
        name = handler_call_details.method.rpartition("/")[2]

        def call(request: Any, context: Any) -> Any:
            return self._handle(name, request, context)

        read = _REQUESTS[name].FromString
        if name == "Subscribe":
            return grpc.unary_stream_rpc_method_handler(call, read, lambda each: each.SerializeToString())
        return grpc.unary_unary_rpc_method_handler(call, read, lambda each: each.SerializeToString())

    def _start(self) -> None:
        self._port = self._server.add_insecure_port(f"127.0.0.1:{self._port}")
        self._server.start()

    def __enter__(self) -> Self:
        if self._late is None:
            self._start()
        else:
            self._late.start()
        self.address = f"127.0.0.1:{self._port}"
        return self

    def __exit__(self, *_: object) -> None:
        if self._late is not None:
            self._late.join(SECONDS)
        self._server.stop(0).wait(SECONDS)


class StreamScript:
    """The server's side of a case of `streams.json`."""

    def __init__(self, case: dict[str, Any]) -> None:
        self._case = case
        self._changed = threading.Condition()
        self._acknowledged = 0
        # Each received request, and whether the server accepted it.
        self.calls: list[tuple[Any, bool]] = []
        self.opened: list[float] = []
        self.ended: list[float] = []

    def handle(self, method: str, request: Any, context: Any) -> Any:
        if method == "Subscribe":
            return self._subscribe(request, context)
        assert method == "Acknowledge"
        with self._changed:
            replies = self._case.get("acknowledge", [])
            reply: Any = replies[self._acknowledged] if self._acknowledged < len(replies) else "ok"
            self._acknowledged += 1
            self.calls.append((request, reply == "ok"))
            self._changed.notify_all()
        if reply != "ok":
            context.abort_with_status(status(reply))
        return v1.AcknowledgeResponse(cursor=request.cursor)

    def _subscribe(self, request: Any, context: Any) -> Iterator[v1.SubscribeResponse]:
        with self._changed:
            number = len(self.opened)
            self.opened.append(time.monotonic())
            self.calls.append((request, False))
        if number >= len(self._case["streams"]):
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "the case has no more streams")
        cancelled = end_of_call(context)
        try:
            for step in self._case["streams"][number]:
                if "await_acknowledgements" in step:
                    self._await_acknowledgements(step["await_acknowledgements"])
                elif "end" not in step:
                    yield response(step)
                elif step["end"] == "silence":
                    assert cancelled.wait(SECONDS)
                elif step["end"] != "ok":
                    self.ended.append(time.monotonic())
                    context.abort_with_status(status(step["end"]))
        finally:
            if len(self.ended) == number:
                self.ended.append(time.monotonic())

    def _await_acknowledgements(self, number: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self._acknowledged >= number, SECONDS)

    def check_calls(self) -> None:
        """Compares the received calls with the expected ones.

        Between them, optional calls and repetitions of accepted ones are permitted.
        """
        expected = [_call(each) for each in self._case["expect"]["calls"]]
        optional = [_call(each) for each in self._case["expect"].get("optional", [])]
        got = [request for request, _ in self.calls]
        for number, request in enumerate(got):
            if expected and request == expected[0]:
                expected.pop(0)
            else:
                assert request in optional or (request, True) in self.calls[:number], (request, got)
        assert not expected, got


def _call(values: dict[str, Any]) -> Any:
    ((kind, fields),) = values.items()
    if kind == "subscribe":
        return subscribe_request(fields)
    assert kind == "acknowledge"
    return v1.AcknowledgeRequest(subscription_id="shop", **fields)
