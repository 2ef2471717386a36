"""Decoding of failed calls."""

from __future__ import annotations

import json
import pickle
from datetime import timedelta
from typing import TYPE_CHECKING

import grpc
import grpc.aio
import pytest
from grpc_status import rpc_status

from kit.fake import Fake, status
from switchboard_client import Client, FieldViolation, SwitchboardError, parse_reason, v1
from switchboard_client.sandbox.v1 import FAULT_KIND_SUCCESS_FALSE, SandboxServiceStub, SetFaultRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from kit.clients import AnyClient
    from kit.server import Server


def invalid_request_error(any_client: AnyClient) -> SwitchboardError:
    request = v1.SendMessageRequest(account="demo-connectby", to="unknown", text=v1.Text())
    with pytest.raises(SwitchboardError) as caught:
        any_client.call("messages.SendMessage", request)
    return caught.value


def test_invalid_request_lists_every_field_violation(any_client: AnyClient) -> None:
    error = invalid_request_error(any_client)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert (error.reason, error.domain) == ("REQUEST_INVALID", "switchboard")
    assert [(violation.field, violation.reason) for violation in error.field_violations] == [
        ("to", "MALFORMED"),
        ("text.body", "REQUIRED"),
    ]
    assert isinstance(error.field_violations[0], FieldViolation)
    assert error.field_violations[0].description
    assert error.retry_delay is None


def test_error_is_also_a_grpc_error(any_client: AnyClient) -> None:
    error = invalid_request_error(any_client)
    assert isinstance(error, grpc.RpcError)
    assert isinstance(error, grpc.aio.AioRpcError)
    original = error.__cause__
    assert isinstance(original, grpc.RpcError)
    assert original.code() is error.code()
    assert original.details() == error.details()
    decoded = rpc_status.from_call(error)  # type: ignore[arg-type]
    assert decoded is not None
    assert len(decoded.details) == 2


def test_error_has_the_metadata_of_its_reason(any_client: AnyClient) -> None:
    with pytest.raises(SwitchboardError) as caught:
        any_client.call("accounts.GetAccount", v1.GetAccountRequest(account="unknown"))
    assert caught.value.metadata == {"account": "unknown"}
    assert str(caught.value).startswith("NOT_FOUND ACCOUNT_NOT_FOUND: ")
    assert repr(caught.value) == "SwitchboardError(NOT_FOUND, reason='ACCOUNT_NOT_FOUND')"


def test_error_has_the_retry_delay(connect: Callable[..., AnyClient]) -> None:
    throttled = status(grpc.StatusCode.RESOURCE_EXHAUSTED, "PROVIDER_THROTTLED", retry_delay=1.5)
    with Fake(throttled) as fake, pytest.raises(SwitchboardError) as caught:
        connect(fake.address).call("accounts.GetAccount", v1.GetAccountRequest())
    assert caught.value.retry_delay == timedelta(seconds=1.5)


def test_stream_error_is_decoded(any_client: AnyClient) -> None:
    request = v1.WatchMessageRequest(account="demo-connectby", request_id="never-sent")
    with pytest.raises(SwitchboardError) as caught:
        any_client.drain("messages.WatchMessage", request)
    assert caught.value.reason == "MESSAGE_NOT_FOUND"
    assert isinstance(caught.value.__cause__, grpc.RpcError)


def test_error_of_an_unrepeatable_upload_is_decoded(any_client: AnyClient) -> None:
    messages = iter([v1.SendMediaRequest(header=v1.MediaHeader(account="unknown"))])
    with pytest.raises(SwitchboardError) as caught:
        any_client.call("messages.SendMedia", messages)
    assert caught.value.field_violations
    assert caught.value.request_id


def test_error_from_another_source_has_no_reason(connect: Callable[..., AnyClient]) -> None:
    with Fake(status(grpc.StatusCode.INTERNAL)) as fake, pytest.raises(SwitchboardError) as caught:
        connect(fake.address).call("accounts.GetAccount", v1.GetAccountRequest())
    assert (caught.value.reason, caught.value.domain, caught.value.metadata) == ("", "", {})
    assert str(caught.value) == "INTERNAL: no"


def test_future_error_is_decoded(server: Server) -> None:
    with Client(server.address) as client:
        future = client.accounts.GetAccount.future(v1.GetAccountRequest(account="unknown"), timeout=20)
        with pytest.raises(grpc.RpcError) as caught:
            future.result()
    assert SwitchboardError.from_rpc_error(caught.value).reason == "ACCOUNT_NOT_FOUND"


def test_error_can_be_pickled(any_client: AnyClient) -> None:
    error = invalid_request_error(any_client)
    copied = pickle.loads(pickle.dumps(error))
    for name in ("reason", "domain", "metadata", "field_violations", "retry_delay", "request_id", "provider_message"):
        assert getattr(copied, name) == getattr(error, name)
    assert (copied.code(), str(copied)) == (error.code(), str(error))


def test_error_text_contains_no_message_content(any_client: AnyClient, server: Server) -> None:
    number, body = "+15550107777", "something private"
    with grpc.insecure_channel(server.address) as channel:
        fault = SetFaultRequest(account="demo-connectby", kind=FAULT_KIND_SUCCESS_FALSE, code=131047, times=1)
        SandboxServiceStub(channel).SetFault(fault, timeout=20)
    with pytest.raises(SwitchboardError) as caught:
        request = v1.SendMessageRequest(account="demo-connectby", to=number, text=v1.Text(body=body))
        any_client.call("messages.SendMessage", request)
    error = caught.value
    assert error.reason == "SESSION_WINDOW_CLOSED"
    assert error.metadata["provider_code"] == "131047"
    for shown in (str(error), repr(error), str(error.__cause__)):
        assert number[1:] not in shown
        assert body not in shown


def test_failure_becomes_an_exception() -> None:
    failure = v1.Failure(
        reason="RECIPIENT_NOT_REACHABLE",
        code=9,
        message="the customer cannot be reached",
        provider=v1.PROVIDER_CONNECTBY,
        provider_name="connectby",
        provider_code="131026",
        provider_type="OAuthException",
        provider_trace_id="trace-1",
        provider_message="something private",
        raw_json='{"private": true}',
        field_violations=[v1.FieldViolation(field="to", reason="MALFORMED", description="must be a number")],
        metadata={"message_id": "msg_1"},
    )
    failure.retry_delay.FromSeconds(3)
    error = SwitchboardError.from_failure(failure)
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert (error.reason, error.domain) == ("RECIPIENT_NOT_REACHABLE", "switchboard")
    assert parse_reason(error.reason) == v1.REASON_RECIPIENT_NOT_REACHABLE
    assert error.metadata == {
        "message_id": "msg_1",
        "provider": "connectby",
        "provider_code": "131026",
        "provider_type": "OAuthException",
        "provider_trace_id": "trace-1",
    }
    assert error.provider_message == "something private"
    assert error.field_violations == (FieldViolation("to", "MALFORMED", "must be a number"),)
    assert error.retry_delay == timedelta(seconds=3)
    assert str(error) == "FAILED_PRECONDITION RECIPIENT_NOT_REACHABLE: the customer cannot be reached"


def test_failure_without_known_values_becomes_an_exception() -> None:
    for code in (0, 99):
        assert SwitchboardError.from_failure(v1.Failure(code=code)).code() is grpc.StatusCode.UNKNOWN
    # The number of a provider that is newer than this package.
    unnamed = v1.Failure.FromString(b"\x20\x63")
    assert unnamed.provider == 99
    assert SwitchboardError.from_failure(unnamed).metadata == {}
    unnamed.provider_name = "newer"
    assert SwitchboardError.from_failure(unnamed).metadata == {"provider": "newer"}
    known = v1.Failure(provider=v1.PROVIDER_CONNECTLY)
    assert SwitchboardError.from_failure(known).metadata == {"provider": "connectly"}


def test_provider_message_is_not_in_the_error_text(connect: Callable[..., AnyClient]) -> None:
    text = "something private"
    refused = status(
        grpc.StatusCode.FAILED_PRECONDITION,
        "PROVIDER_REFUSED",
        metadata={"provider": "connectly", "provider_message": text},
    )
    with Fake(refused) as fake, pytest.raises(SwitchboardError) as caught:
        connect(fake.address).call("messages.SendMessage", v1.SendMessageRequest())
    sent = v1.Failure(
        reason="PROVIDER_REFUSED", code=9, provider_name="connectly", provider_message=text, raw_json=json.dumps(text)
    )
    for error in (caught.value, SwitchboardError.from_failure(sent), pickle.loads(pickle.dumps(caught.value))):
        assert error.provider_message == text
        assert error.metadata == {"provider": "connectly"}
        for shown in (str(error), repr(error), error.details(), str(error.metadata), str(error.__cause__)):
            assert text not in (shown or "")


def test_every_reason_text_has_a_constant() -> None:
    for name, value in v1.Reason.items():
        assert parse_reason(name.removeprefix("REASON_")) == value == getattr(v1, name)
    assert len(v1.Reason.values()) > 40


@pytest.mark.parametrize("text", ["", "NEWER_THAN_THE_PACKAGE", "REASON_REQUEST_INVALID", "request_invalid"])
def test_unknown_reason_text_stays_available(text: str) -> None:
    assert parse_reason(text) == v1.REASON_UNSPECIFIED
    assert SwitchboardError.from_failure(v1.Failure(reason=text)).reason == text


@pytest.mark.parametrize("encoded", [b"\xff\xff\xff", b""])
def test_undecodable_details_are_ignored(encoded: bytes) -> None:
    metadata = grpc.aio.Metadata(("grpc-status-details-bin", encoded))
    error = SwitchboardError(grpc.StatusCode.NOT_FOUND, None, metadata, "deleted")
    assert (error.code(), error.reason, str(error)) == (grpc.StatusCode.NOT_FOUND, "", "NOT_FOUND: deleted")
