"""The conformance table that the suites of all client libraries run."""

from __future__ import annotations

import asyncio
import functools
import importlib.util
import threading
import time
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from kit.conformance import (
    ScriptedServer,
    StreamScript,
    cases,
    check_bounds,
    only,
    status,
    subscribe_request,
    unused_port,
)
from kit.fake import SECONDS, end_of_call
from kit.server import REPOSITORY
from switchboard_client import Client, SwitchboardError, aio, parse_reason, v1

if TYPE_CHECKING:
    from collections.abc import Callable

    from kit.clients import AnyClient


def table(file: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in cases(file)])


def check_error(error: SwitchboardError, expected: dict[str, Any]) -> None:
    codes = expected["code"] if isinstance(expected["code"], list) else [expected["code"]]
    assert error.code().name in codes
    assert error.reason == expected["reason"]


@table("failures.json")
def test_failure(case: dict[str, Any], connect: Callable[..., AnyClient]) -> None:
    only(case, "name", "why", "status", "failure", "error")
    if "status" in case:

        def handle(method: str, request: Any, context: Any) -> None:
            context.abort_with_status(status(case["status"]))

        with ScriptedServer(handle) as server, pytest.raises(SwitchboardError) as caught:
            connect(server.address, max_attempts=1).call("messages.GetMessage", v1.GetMessageRequest())
        check_failure(caught.value, case["error"])
    if "failure" in case:
        fields = dict(case["failure"])
        failure = v1.Failure()
        if "retry_delay_ms" in fields:
            failure.retry_delay.FromMilliseconds(fields.pop("retry_delay_ms"))
        if "provider" in fields:
            failure.provider = v1.Provider.Value(fields.pop("provider"))
        failure.field_violations.extend(v1.FieldViolation(**each) for each in fields.pop("field_violations", []))
        failure.metadata.update(fields.pop("metadata", {}))
        for key, value in fields.items():
            setattr(failure, key, value)
        check_failure(SwitchboardError.from_failure(failure), case["error"])


def check_failure(error: SwitchboardError, expected: dict[str, Any]) -> None:
    delay = None if error.retry_delay is None else error.retry_delay.total_seconds() * 1000
    assert {
        "code": error.code().name,
        "message": error.details(),
        "reason": error.reason,
        "domain": error.domain,
        "constant": v1.Reason.Name(parse_reason(error.reason)),
        "metadata": error.metadata,
        "provider_message": error.provider_message,
        "field_violations": [vars(each) for each in error.field_violations],
        "retry_delay_ms": delay,
    } == expected
    if expected["provider_message"]:
        assert expected["provider_message"] not in f"{error} {error!r}"


@table("calls.json")
def test_call(case: dict[str, Any], connect: Callable[..., AnyClient]) -> None:
    only(case, "name", "why", "call", "request_id", "timeout_ms", "server_starts_after_ms", "server", "expect")
    expected = only(case["expect"], "result", "attempts", "request_id", "pauses", "elapsed")
    arrivals, ends, ids = [], [], []

    def handle(method: str, request: Any, context: Any) -> Any:
        assert method == case["call"]
        arrivals.append(time.monotonic())
        ids.append(getattr(request, "request_id", "") if method == "SendMessage" else "")
        reply = case["server"][min(len(ids), len(case["server"])) - 1]
        try:
            if reply == "silence":
                cancelled = end_of_call(context)
                assert cancelled.wait(SECONDS)
            elif reply != "ok":
                context.abort_with_status(status(reply))
        finally:
            ends.append(time.monotonic())
        return {"SendMessage": v1.SendMessageResponse, "GetMessage": v1.GetMessageResponse}[method]()

    name, request = {
        "SendMessage": ("messages.SendMessage", v1.SendMessageRequest(request_id=case.get("request_id", ""))),
        "GetMessage": ("messages.GetMessage", v1.GetMessageRequest()),
        "UpdateContact": ("contacts.UpdateContact", v1.UpdateContactRequest()),
    }[case["call"]]
    timeout = case["timeout_ms"] / 1000 if "timeout_ms" in case else None
    starts_after = case.get("server_starts_after_ms", 0) / 1000
    error = None
    with ScriptedServer(handle, port=unused_port() if starts_after else 0, starts_after=starts_after) as server:
        begun = time.monotonic()
        try:
            connect(server.address).call(name, request, timeout=timeout)
        except SwitchboardError as failed:
            error = failed
        elapsed = time.monotonic() - begun
    if expected["result"] == "ok":
        assert error is None
    else:
        assert error is not None
        check_error(error, expected["result"])
        ids.append(error.request_id)
    check_bounds(expected["attempts"], len(arrivals))
    wanted = {"none": "", "generated": ids[0]}.get(expected["request_id"], expected["request_id"])
    assert set(ids) == {wanted}
    assert expected["request_id"] != "generated" or wanted
    for number, pause in enumerate(expected.get("pauses", [])):
        check_bounds(pause, (arrivals[number + 1] - ends[number]) * 1000)
    if "elapsed" in expected:
        check_bounds(expected["elapsed"], elapsed * 1000)


def subscription_fields(values: dict[str, Any]) -> v1.Subscription:
    only(values, "subscription_id", "accounts", "types", "labels", "position", "update_mask")
    subscription = v1.Subscription(labels=values.get("labels", {}))
    if "accounts" in values or "types" in values:
        subscription.filter.accounts.extend(values.get("accounts", []))
        subscription.filter.types.extend(values.get("types", []))
    return subscription


def create_request(values: dict[str, Any]) -> v1.CreateSubscriptionRequest:
    request = v1.CreateSubscriptionRequest(
        subscription_id=values["subscription_id"], position=v1.StartPosition.Value(values["position"])
    )
    if values.keys() & {"accounts", "types", "labels"}:
        request.subscription.CopyFrom(subscription_fields(values))
    return request


@table("ensure_subscription.json")
def test_ensure_subscription(case: dict[str, Any], connect: Callable[..., AnyClient]) -> None:
    only(case, "name", "why", "subscription", "server", "expect")
    left = list(case["server"])

    def handle(method: str, request: Any, context: Any) -> Any:
        call = dict(left.pop(0))
        reply = call.pop("reply")
        ((wanted, fields),) = call.items()
        stored = subscription_fields(fields if reply == "ok" or "code" in reply else reply)
        if method == "CreateSubscription":
            expected: Any = create_request(fields)
        elif method == "GetSubscription":
            expected = v1.GetSubscriptionRequest(subscription_id=fields["subscription_id"])
        else:
            expected = v1.UpdateSubscriptionRequest(subscription=subscription_fields(fields))
            expected.subscription.subscription_id = fields["subscription_id"]
            expected.update_mask.paths.extend(fields["update_mask"])
        if (method, request) != (wanted, expected):
            left.insert(0, (method, request))
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"unexpected call {method}: {request}")
        if reply != "ok" and "code" in reply:
            context.abort_with_status(status(reply))
        return {
            "CreateSubscription": v1.CreateSubscriptionResponse,
            "GetSubscription": v1.GetSubscriptionResponse,
            "UpdateSubscription": v1.UpdateSubscriptionResponse,
        }[method](subscription=stored)

    with ScriptedServer(handle) as server:
        any_client = connect(server.address)
        if "code" in case["expect"]:
            with pytest.raises(SwitchboardError) as caught:
                any_client.ensure_subscription(create_request(case["subscription"]))
            check_error(caught.value, case["expect"])
        else:
            got = any_client.ensure_subscription(create_request(case["subscription"]))
            assert {
                "accounts": sorted(got.filter.accounts),
                "types": sorted(got.filter.types),
                "labels": dict(got.labels),
            } == {"accounts": [], "types": [], "labels": {}, **case["expect"]}
    assert left == []


class Program:
    """The program's side of a case of `streams.json`."""

    def __init__(self, case: dict[str, Any], cancel_by: str) -> None:
        self.left = list(case["program"])
        self.cancel_by = cancel_by
        self.by_itself = False
        self.reconnects = 0

    def on_gap(self, gap: v1.SubscribeGap) -> None:
        assert self.left.pop(0) == {
            "gap": {"after_cursor": gap.after_cursor, "resume_cursor": gap.resume_cursor, "missed": gap.missed},
            "do": ["finish"],
        }

    def on_reconnect(self, cause: SwitchboardError) -> None:
        assert isinstance(cause, SwitchboardError)
        self.reconnects += 1

    def actions(self, event: v1.Event) -> list[str]:
        """The actions of the body for an event."""
        assert not self.by_itself, f"got {event.cursor} after the program had left"
        step = only(self.left.pop(0), "event", "do")
        assert event.cursor == step["event"]
        assert set(step["do"]) <= {"finish", "leave", "fail", "cancel", *ACKNOWLEDGE}
        actions: list[str] = step["do"]
        self.by_itself = bool({"leave", "fail", "cancel"} & set(actions))
        return actions


class ProgramError(Exception):
    """The error of a failing body."""


ACKNOWLEDGE = ("acknowledge", "acknowledge_stale", "acknowledge_previous", "acknowledge_foreign")


def consume(program: Program, address: str, request: v1.SubscribeRequest) -> None:
    with (
        Client(address) as client,
        client.subscribe(request, on_gap=on_gap(program, request), on_reconnect=program.on_reconnect) as stream,
    ):
        previous = v1.Event()
        for event in stream:
            for action in program.actions(event):
                if action == "leave":
                    return
                if action == "fail":
                    raise ProgramError
                if action == "cancel":
                    closing = threading.Thread(target=stream.close)
                    closing.start()
                    closing.join(SECONDS)
                elif action == "acknowledge_stale":
                    with pytest.raises(SwitchboardError) as caught:
                        stream.acknowledge(event)
                    assert parse_reason(caught.value.reason) == v1.REASON_SUBSCRIPTION_GENERATION_STALE
                elif action in ACKNOWLEDGE:
                    stream.acknowledge(acknowledged(action, event, previous))
            previous = event


async def consume_aio(program: Program, address: str, request: v1.SubscribeRequest) -> None:
    async with (
        aio.Client(address) as client,
        client.subscribe(request, on_gap=on_gap(program, request), on_reconnect=program.on_reconnect) as stream,
    ):
        previous = v1.Event()
        async for event in stream:
            for action in program.actions(event):
                if action == "leave":
                    return
                if action == "fail":
                    raise ProgramError
                if action == "cancel" and program.cancel_by == "close":
                    await asyncio.create_task(stream.close())
                elif action == "cancel":
                    task = asyncio.current_task()
                    assert task is not None
                    task.cancel()
                    await asyncio.Event().wait()
                elif action == "acknowledge_stale":
                    with pytest.raises(SwitchboardError) as caught:
                        await stream.acknowledge(event)
                    assert parse_reason(caught.value.reason) == v1.REASON_SUBSCRIPTION_GENERATION_STALE
                elif action in ACKNOWLEDGE:
                    await stream.acknowledge(acknowledged(action, event, previous))
            previous = event


def on_gap(program: Program, request: v1.SubscribeRequest) -> Any:
    return program.on_gap if request.expired_policy == v1.EXPIRED_POLICY_SKIP_WITH_GAP else None


def acknowledged(action: str, event: v1.Event, previous: v1.Event) -> v1.Event:
    events = {"acknowledge_previous": previous, "acknowledge_foreign": v1.Event(cursor="foreign")}
    return events.get(action, event)


WAYS = [("sync", "close"), ("aio", "close"), ("aio", "task")]


@table("streams.json")
@pytest.mark.parametrize(("flavour", "cancel_by"), WAYS)
def test_stream(case: dict[str, Any], flavour: str, cancel_by: str) -> None:
    only(case, "name", "why", "request", "streams", "acknowledge", "program", "expect")
    expected = only(case["expect"], "end", "calls", "optional", "pauses", "reconnects")
    cancels = any("cancel" in step["do"] for step in case["program"])
    if cancel_by == "task" and not cancels:
        return
    script, program = StreamScript(case), Program(case, cancel_by)
    request = subscribe_request(case["request"])
    end: BaseException | None = None
    with ScriptedServer(script.handle) as server:
        try:
            if flavour == "sync":
                consume(program, server.address, request)
            else:
                asyncio.run(consume_aio(program, server.address, request))
        except (SwitchboardError, ProgramError, asyncio.CancelledError) as failed:
            end = failed
    script.check_calls()
    assert program.left == []
    if expected["end"] == "done":
        assert end is None
        assert not program.by_itself
    elif expected["end"] == "program":
        assert program.by_itself
        assert not isinstance(end, SwitchboardError)
    else:
        assert isinstance(end, SwitchboardError)
        check_error(end, expected["end"])
    check_bounds(expected.get("reconnects", len(script.opened) - 1), program.reconnects)
    for number, pause in enumerate(expected.get("pauses", [])):
        check_bounds(pause, (script.opened[number + 1] - script.ended[number]) * 1000)


@functools.cache
def answer_example() -> Any:
    """The module of the example, which is no part of the package."""
    path = REPOSITORY / "clients/python/examples/answer.py"
    spec = importlib.util.spec_from_file_location("answer_example", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@table("answers.json")
def test_answer(case: dict[str, Any]) -> None:
    values = only(case["status"], "code", "reason", "metadata", "retry_delay_ms")
    failure = v1.Failure(code=grpc.StatusCode[values["code"]].value[0], reason=values.get("reason", ""))
    if "retry_delay_ms" in values:
        failure.retry_delay.FromMilliseconds(values["retry_delay_ms"])
    assert answer_example().decide(SwitchboardError.from_failure(failure)).value == case["then"]
