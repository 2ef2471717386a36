"""What a failed call says."""

from __future__ import annotations

import pickle
from datetime import timedelta
from typing import TYPE_CHECKING

import grpc
import grpc.aio
import pytest
from grpc_status import rpc_status

from kit.fake import Fake, status
from switchboard_client import Client, FieldViolation, SwitchboardError, v1
from switchboard_client.sandbox.v1 import FAULT_KIND_SUCCESS_FALSE, SandboxServiceStub, SetFaultRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from kit.callers import Caller
    from kit.server import Server


def refused(caller: Caller) -> SwitchboardError:
    request = v1.SendMessageRequest(account="demo-connectby", to="nobody", text=v1.Text())
    with pytest.raises(SwitchboardError) as caught:
        caller.call("messages.SendMessage", request)
    return caught.value


def test_every_fault_is_told_with_its_field(caller: Caller) -> None:
    error = refused(caller)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert (error.reason, error.domain) == ("REQUEST_INVALID", "switchboard")
    assert [(fault.field, fault.reason) for fault in error.field_violations] == [
        ("to", "MALFORMED"),
        ("text.body", "REQUIRED"),
    ]
    assert isinstance(error.field_violations[0], FieldViolation)
    assert error.field_violations[0].description
    assert error.retry_delay is None


def test_it_is_what_grpc_raises_too(caller: Caller) -> None:
    error = refused(caller)
    assert isinstance(error, grpc.RpcError)
    assert isinstance(error, grpc.aio.AioRpcError)
    original = error.__cause__
    assert isinstance(original, grpc.RpcError)
    assert original.code() is error.code()
    assert original.details() == error.details()
    decoded = rpc_status.from_call(error)  # type: ignore[arg-type]
    assert decoded is not None
    assert len(decoded.details) == 2


def test_the_facts_of_a_reason_are_told(caller: Caller) -> None:
    with pytest.raises(SwitchboardError) as caught:
        caller.call("accounts.GetAccount", v1.GetAccountRequest(account="nobody"))
    assert caught.value.metadata == {"account": "nobody"}
    assert str(caught.value).startswith("NOT_FOUND ACCOUNT_NOT_FOUND: ")
    assert repr(caught.value) == "SwitchboardError(NOT_FOUND, reason='ACCOUNT_NOT_FOUND')"


def test_the_delay_is_told(connect: Callable[..., Caller]) -> None:
    throttled = status(grpc.StatusCode.RESOURCE_EXHAUSTED, "PROVIDER_THROTTLED", retry_after=1.5)
    with Fake(throttled) as fake, pytest.raises(SwitchboardError) as caught:
        connect(fake.address).call("accounts.GetAccount", v1.GetAccountRequest())
    assert caught.value.retry_delay == timedelta(seconds=1.5)


def test_an_error_of_a_stream_is_decoded(caller: Caller) -> None:
    request = v1.WatchMessageRequest(account="demo-connectby", request_id="never-sent")
    with pytest.raises(SwitchboardError) as caught:
        caller.drain("messages.WatchMessage", request)
    assert caught.value.reason == "MESSAGE_NOT_FOUND"
    assert isinstance(caught.value.__cause__, grpc.RpcError)


def test_an_error_of_an_upload_that_cannot_be_read_again_is_decoded(caller: Caller) -> None:
    messages = iter([v1.SendMediaRequest(header=v1.MediaHeader(account="nobody"))])
    with pytest.raises(SwitchboardError) as caught:
        caller.call("messages.SendMedia", messages)
    assert caught.value.field_violations
    assert caught.value.request_id


def test_an_error_that_is_not_of_switchboard_has_no_reason(connect: Callable[..., Caller]) -> None:
    with Fake(status(grpc.StatusCode.INTERNAL)) as fake, pytest.raises(SwitchboardError) as caught:
        connect(fake.address).call("accounts.GetAccount", v1.GetAccountRequest())
    assert (caught.value.reason, caught.value.domain, caught.value.metadata) == ("", "", {})
    assert str(caught.value) == "INTERNAL: no"


def test_the_error_of_a_future_can_be_decoded(server: Server) -> None:
    with Client(server.address) as client:
        future = client.accounts.GetAccount.future(v1.GetAccountRequest(account="nobody"), timeout=20)
        with pytest.raises(grpc.RpcError) as caught:
            future.result()
    assert SwitchboardError.from_rpc_error(caught.value).reason == "ACCOUNT_NOT_FOUND"


def test_it_can_be_sent_to_another_process(caller: Caller) -> None:
    error = refused(caller)
    copied = pickle.loads(pickle.dumps(error))
    for name in ("reason", "domain", "metadata", "field_violations", "retry_delay", "request_id"):
        assert getattr(copied, name) == getattr(error, name)
    assert (copied.code(), str(copied)) == (error.code(), str(error))


def test_nothing_of_the_message_stands_in_it(caller: Caller, server: Server) -> None:
    number, body = "+15550107777", "something private"
    with grpc.insecure_channel(server.address) as channel:
        fault = SetFaultRequest(account="demo-connectby", kind=FAULT_KIND_SUCCESS_FALSE, code=131047, times=1)
        SandboxServiceStub(channel).SetFault(fault, timeout=20)
    with pytest.raises(SwitchboardError) as caught:
        request = v1.SendMessageRequest(account="demo-connectby", to=number, text=v1.Text(body=body))
        caller.call("messages.SendMessage", request)
    error = caught.value
    assert error.reason == "SESSION_WINDOW_CLOSED"
    assert error.metadata["provider_code"] == "131047"
    for told in (str(error), repr(error), str(error.__cause__)):
        assert number[1:] not in told
        assert body not in told


def test_an_error_inside_a_message() -> None:
    message = v1.Error(
        reason="RECIPIENT_NOT_REACHABLE",
        code=9,
        message="the customer cannot be reached",
        provider=v1.PROVIDER_CONNECTBY,
        provider_code="131026",
        raw_json='{"private": true}',
        field_violations=[v1.FieldViolation(field="to", reason="MALFORMED", description="must be a number")],
        metadata={"message_id": "msg_1"},
    )
    message.retry_delay.FromSeconds(3)
    error = SwitchboardError.from_message(message)
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert (error.reason, error.domain) == ("RECIPIENT_NOT_REACHABLE", "switchboard")
    assert error.metadata == {"message_id": "msg_1", "provider": "connectby", "provider_code": "131026"}
    assert error.field_violations == (FieldViolation("to", "MALFORMED", "must be a number"),)
    assert error.retry_delay == timedelta(seconds=3)
    assert str(error) == "FAILED_PRECONDITION RECIPIENT_NOT_REACHABLE: the customer cannot be reached"
    assert SwitchboardError.from_message(v1.Error(code=99)).code() is grpc.StatusCode.UNKNOWN


@pytest.mark.parametrize("encoded", [b"\xff\xff\xff", b""])
def test_details_that_cannot_be_read_are_no_details(encoded: bytes) -> None:
    metadata = grpc.aio.Metadata(("grpc-status-details-bin", encoded))
    error = SwitchboardError(grpc.StatusCode.NOT_FOUND, None, metadata, "gone")
    assert (error.code(), error.reason, str(error)) == (grpc.StatusCode.NOT_FOUND, "", "NOT_FOUND: gone")
