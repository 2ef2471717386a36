"""Deadlines, cancellation, and the standard gRPC services."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from switchboard_client import Client, SwitchboardError, aio, v1
from switchboard_client.sandbox.v1 import (
    FAULT_KIND_LATENCY,
    ClearFaultsRequest,
    ListCallsRequest,
    SandboxServiceStub,
    SetFaultRequest,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kit.clients import AnyClient
    from kit.server import Server

ACCOUNT = "demo-connectly"
CONNECTBY = "demo-connectby"


@pytest.fixture
def slow(server: Server) -> Iterator[SandboxServiceStub]:
    """A provider with added latency."""
    with grpc.insecure_channel(server.address) as channel:
        sandbox = SandboxServiceStub(channel)
        fault = SetFaultRequest(account=ACCOUNT, kind=FAULT_KIND_LATENCY)
        fault.latency.FromSeconds(30)
        sandbox.SetFault(fault, timeout=20)
        yield sandbox
        sandbox.ClearFaults(ClearFaultsRequest(account=ACCOUNT), timeout=20)


def test_passed_deadline_fails_with_deadline_exceeded(any_client: AnyClient) -> None:
    begun = time.monotonic()
    with pytest.raises(SwitchboardError) as caught:
        # A stream, because the server answers a unary call itself shortly before its deadline.
        any_client.drain("events.Subscribe", v1.SubscribeRequest(), timeout=0.5)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert 0.4 < time.monotonic() - begun < 10


def test_cancelled_future_ends_the_call(slow: SandboxServiceStub, server: Server) -> None:
    with Client(server.address) as client:
        future = client.templates.ListTemplates.future(v1.ListTemplatesRequest(account=ACCOUNT), timeout=20)
        assert future.cancel()
        with pytest.raises(grpc.FutureCancelledError):
            future.result()


def test_cancelled_task_stops_retrying(slow: SandboxServiceStub, server: Server) -> None:
    def calls() -> int:
        return len(slow.ListCalls(ListCallsRequest(account=ACCOUNT), timeout=20).calls)

    async def cancelled() -> None:
        async with aio.Client(server.address) as client:
            before = calls()
            call = client.templates.ListTemplates(v1.ListTemplatesRequest(account=ACCOUNT), timeout=20)

            async def wait() -> None:
                await call

            task = asyncio.create_task(wait())
            while calls() == before:
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert call.cancelled()

    begun = time.monotonic()
    asyncio.run(asyncio.wait_for(cancelled(), 20))
    assert time.monotonic() - begun < 10


def test_cancelled_stream_ends(server: Server) -> None:
    with Client(server.address) as client:
        stream = client.events.Subscribe(v1.SubscribeRequest())
        assert next(stream).HasField("started")
        stopper = threading.Thread(target=stream.cancel)
        with pytest.raises(SwitchboardError) as caught:
            stopper.start()
            next(stream)
        stopper.join(20)
    assert caught.value.code() is grpc.StatusCode.CANCELLED


def test_cancelled_asyncio_stream_ends(server: Server) -> None:
    async def cancelled() -> grpc.StatusCode:
        async with aio.Client(server.address) as client:
            stream = client.events.Subscribe(v1.SubscribeRequest())
            with pytest.raises(asyncio.CancelledError):
                async for response in stream:
                    assert response.HasField("started")
                    stream.cancel()
            return await stream.code()

    assert asyncio.run(asyncio.wait_for(cancelled(), 20)) is grpc.StatusCode.CANCELLED


def test_messages_can_be_written_one_by_one(server: Server) -> None:
    async def write() -> None:
        async with aio.Client(server.address) as client:
            call = client.messages.SendMedia(timeout=20)
            header = v1.MediaHeader(account=CONNECTBY, to="+15550100001", file_name="a.txt")
            await call.write(v1.SendMediaRequest(header=header))
            await call.write(v1.SendMediaRequest(chunk=b"Hello!"))
            await call.done_writing()
            assert (await call).message.request_id

            call = client.messages.SendMedia(timeout=20)
            await call.write(v1.SendMediaRequest(header=v1.MediaHeader(account="unknown")))
            await call.done_writing()
            with pytest.raises(SwitchboardError) as caught:
                await call
            assert caught.value.field_violations

            many = client.messages.SendMessages(timeout=20)
            text = v1.SendMessageRequest(account=CONNECTBY, to="+15550100001", text=v1.Text(body="Hello!"))
            await many.write(v1.SendMessagesRequest(tag="1", request=text))
            answer = await many.read()
            assert isinstance(answer, v1.SendMessagesResponse)
            assert answer.tag == "1"
            await many.done_writing()

    asyncio.run(asyncio.wait_for(write(), 30))


def test_response_metadata_is_available(server: Server) -> None:
    with Client(server.address) as client:
        response, call = client.accounts.ListAccounts.with_call(v1.ListAccountsRequest(), timeout=20)
        assert response.accounts
        assert call.code() is grpc.StatusCode.OK


def test_health_service_answers_on_the_client_channel(server: Server) -> None:
    with Client(server.address) as client:
        health = health_pb2_grpc.HealthStub(client.channel)
        answer = health.Check(health_pb2.HealthCheckRequest(service="switchboard.v1.EventService"), timeout=20)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(SwitchboardError) as caught:
            health.Check(health_pb2.HealthCheckRequest(service="unknown"), timeout=20)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_reflection_lists_the_services(server: Server) -> None:
    with Client(server.address) as client:
        database = ProtoReflectionDescriptorDatabase(client.channel)
        assert "switchboard.v1.MessageService" in list(database.get_services())
        file = database.FindFileContainingSymbol("switchboard.v1.MessageService")
        assert file.name == "switchboard/v1/message_service.proto"
