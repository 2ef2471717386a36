"""What is tried again, and what never is."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import queue
import threading
import time
import types
import uuid
from typing import TYPE_CHECKING, Any

import grpc
import pytest

import switchboard_client._client
from kit.fake import Fake, status
from kit.server import REPOSITORY
from switchboard_client import Client, SwitchboardError, aio, upload, v1
from switchboard_client._calls import CHUNK_BYTES, backoff, is_read, with_request_id

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from kit.callers import Caller

UNAVAILABLE = status(grpc.StatusCode.UNAVAILABLE, "SERVER_STOPPING")
SEND = v1.SendMessageRequest(account="acme", to="+15550100001", text=v1.Text(body="Hello!"))
UPDATE = v1.UpdateContactRequest(account="acme")
HEADER = v1.MediaHeader(account="acme", to="+15550100001")
FILE = bytes(range(256)) * (CHUNK_BYTES // 128)


def fails(caller: Caller, name: str, request: Any, **options: Any) -> SwitchboardError:
    with pytest.raises(SwitchboardError) as caught:
        caller.call(name, request, **options)
    return caught.value


@pytest.mark.parametrize("name", ["accounts.GetAccount", "accounts.ListAccounts", "messages.GetMessage"])
def test_a_read_is_tried_again(name: str, connect: Callable[..., Caller]) -> None:
    requests = {
        "accounts.GetAccount": v1.GetAccountRequest(),
        "accounts.ListAccounts": v1.ListAccountsRequest(),
        "messages.GetMessage": v1.GetMessageRequest(account="acme", message_id="msg_1"),
    }
    with Fake(UNAVAILABLE, UNAVAILABLE) as fake:
        connect(fake.address).call(name, requests[name])
    assert fake.requests == [requests[name]] * 3


def test_a_write_is_tried_again_with_the_request_id_that_it_was_given(connect: Callable[..., Caller]) -> None:
    with Fake(UNAVAILABLE, UNAVAILABLE) as fake:
        caller = connect(fake.address)
        before = SEND.SerializeToString()
        first = caller.call("messages.SendMessage", SEND).message.request_id
        second = caller.call("messages.SendMessage", SEND).message.request_id
    assert [request.request_id for request in fake.requests] == [first] * 3 + [second]
    assert uuid.UUID(first) != uuid.UUID(second), "the same content, sent twice on purpose"
    assert SEND.SerializeToString() == before, "the caller's message is the caller's"
    assert all(request.resend_after_attempt == 0 for request in fake.requests)


def test_a_write_keeps_the_request_id_of_the_caller(connect: Callable[..., Caller]) -> None:
    request = v1.SendMessageRequest(account="acme", request_id="order-77")
    with Fake(UNAVAILABLE) as fake:
        connect(fake.address).call("messages.SendMessage", request)
    assert fake.requests == [request, request]


def test_a_write_without_a_request_id_is_never_tried_again(connect: Callable[..., Caller]) -> None:
    with Fake(UNAVAILABLE) as fake:
        error = fails(connect(fake.address), "contacts.UpdateContact", UPDATE)
    assert error.reason == "SERVER_STOPPING"
    assert error.request_id == ""
    assert fake.requests == [UPDATE]


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code.name not in ("OK", "UNAVAILABLE")])
def test_nothing_but_unavailable_is_tried_again(code: grpc.StatusCode, connect: Callable[..., Caller]) -> None:
    with Fake(status(code, "SOME_REASON", retry_after=0.01), status(code)) as fake:
        caller = connect(fake.address)
        assert fails(caller, "accounts.GetAccount", v1.GetAccountRequest()).code() is code
        assert fails(caller, "messages.SendMessage", SEND).code() is code
    assert len(fake.requests) == 2


def test_there_is_an_end(connect: Callable[..., Caller]) -> None:
    with Fake(*[UNAVAILABLE] * 9) as fake:
        error = fails(connect(fake.address), "messages.SendMessage", SEND)
        assert len(fake.requests) == 4
        assert error.request_id == fake.requests[0].request_id
        fails(connect(fake.address, max_attempts=1), "messages.SendMessage", SEND)
    assert len(fake.requests) == 5


def test_the_server_names_the_delay(connect: Callable[..., Caller]) -> None:
    with Fake(status(grpc.StatusCode.UNAVAILABLE, "SERVER_STOPPING", retry_after=0.8)) as fake:
        begun = time.monotonic()
        connect(fake.address).call("accounts.GetAccount", v1.GetAccountRequest())
    assert time.monotonic() - begun >= 0.8
    assert len(fake.requests) == 2


def test_the_deadline_is_that_of_all_attempts(connect: Callable[..., Caller]) -> None:
    with Fake(UNAVAILABLE, UNAVAILABLE) as fake:
        connect(fake.address).call("accounts.GetAccount", v1.GetAccountRequest(), timeout=9)
    first, _, third = fake.remaining
    assert first is not None
    assert third is not None
    # The two waits before the third attempt are 0.375 seconds at least. (gRPC rounds a deadline up on its way.)
    assert third <= first - 0.3
    assert first <= 9.1


def test_nobody_waits_in_vain(connect: Callable[..., Caller]) -> None:
    with Fake(status(grpc.StatusCode.UNAVAILABLE, "SERVER_STOPPING", retry_after=30)) as fake:
        begun = time.monotonic()
        error = fails(connect(fake.address), "messages.SendMessage", SEND, timeout=10)
    # It is known at once that the time is not enough, and why is worth more than that a deadline has passed.
    assert error.reason == "SERVER_STOPPING"
    assert time.monotonic() - begun < 5
    assert len(fake.requests) == 1


@pytest.mark.parametrize(("named", "waits"), [(30, True), (30.001, False)])
def test_a_long_delay_is_for_the_caller(
    named: float, waits: bool, connect: Callable[..., Caller], monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(switchboard_client._client, "time", types.SimpleNamespace(sleep=waited.append))
    monkeypatch.setattr(asyncio, "sleep", sleep)
    with Fake(status(grpc.StatusCode.UNAVAILABLE, "SERVER_STOPPING", retry_after=named)) as fake:
        caller = connect(fake.address)
        if waits:
            caller.call("messages.SendMessage", SEND, timeout=100)
            assert [named < seconds < named + 1 for seconds in waited] == [True]
        else:
            error = fails(caller, "messages.SendMessage", SEND, timeout=100)
            assert error.retry_delay is not None
            assert error.retry_delay.total_seconds() == named
            assert waited == []
    assert len(fake.requests) == 1 + waits


def test_an_upload_of_bytes_is_tried_again(connect: Callable[..., Caller]) -> None:
    with Fake(UNAVAILABLE) as fake:
        connect(fake.address).call("messages.SendMedia", upload(HEADER, FILE))
    first, second = fake.requests
    assert first == second
    assert uuid.UUID(first[0].header.request_id)
    assert b"".join(message.chunk for message in second) == FILE
    assert HEADER.request_id == ""


def test_an_upload_of_a_list_is_tried_again(connect: Callable[..., Caller]) -> None:
    messages = [v1.SendMediaRequest(header=HEADER, chunk=b"Hello")]
    with Fake(UNAVAILABLE) as fake:
        connect(fake.address).call("messages.SendMedia", messages)
    first, second = fake.requests
    assert first == second
    assert uuid.UUID(first[0].header.request_id)


def test_an_upload_that_cannot_be_read_again_is_never_tried_again(connect: Callable[..., Caller]) -> None:
    def messages() -> Iterator[v1.SendMediaRequest]:
        yield v1.SendMediaRequest(header=HEADER)
        yield v1.SendMediaRequest(chunk=FILE[:1000])

    with Fake(UNAVAILABLE, UNAVAILABLE) as fake:
        caller = connect(fake.address)
        error = fails(caller, "messages.SendMedia", messages())
        assert error.reason == "SERVER_STOPPING"
        assert uuid.UUID(error.request_id)
        assert error.request_id == fake.requests[0][0].header.request_id
        near, far = os.pipe()
        with os.fdopen(far, "wb") as end:
            end.write(b"Hello!")
        with os.fdopen(near, "rb") as pipe:
            fails(caller, "messages.SendMedia", upload(HEADER, pipe))
    assert len(fake.requests) == 2
    assert b"".join(message.chunk for message in fake.requests[1]) == b"Hello!"


def test_an_upload_of_a_file_is_tried_again_from_where_the_file_stood(
    connect: Callable[..., Caller], tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"skipped" + FILE)
    with Fake(UNAVAILABLE, UNAVAILABLE) as fake, path.open("rb") as file:
        file.seek(7)
        connect(fake.address).call("messages.SendMedia", upload(HEADER, file))
    assert len(fake.requests) == 3
    assert uuid.UUID(fake.requests[0][0].header.request_id)
    for messages in fake.requests:
        assert messages[0] == fake.requests[0][0]
        assert b"".join(message.chunk for message in messages) == FILE


def test_two_attempts_that_read_at_the_same_time_do_not_disturb_each_other() -> None:
    # gRPC may still be reading for the attempt that has failed.
    messages = upload(HEADER, io.BytesIO(FILE))
    first, second = messages.again(), messages.again()
    read: tuple[list[bytes], list[bytes]] = ([], [])
    for one, other in zip(first, second, strict=True):
        read[0].append(one.chunk)
        read[1].append(other.chunk)
    assert b"".join(read[0]) == b"".join(read[1]) == FILE


class Broken(io.RawIOBase):
    """A file on a disk that fails in the middle, or that waits until it is told to go on."""

    def __init__(self, *, seekable: bool = True, go_on: threading.Event | None = None) -> None:
        super().__init__()
        self._seekable = seekable
        self._go_on = go_on
        self._position = 0
        self.reading = threading.Event()

    def seekable(self) -> bool:
        return self._seekable

    def tell(self) -> int:
        return self._position

    def seek(self, position: int, whence: int = 0) -> int:
        self._position = position
        return position

    def read(self, size: int = -1) -> bytes:
        self.reading.set()
        if self._go_on is not None:
            assert self._go_on.wait(20)
            return b""
        if self._position:
            raise OSError("the disk is gone")
        self._position = size
        return bytes(size)


@pytest.mark.parametrize("seekable", [True, False])
def test_a_file_that_cannot_be_read_tells_why(seekable: bool, connect: Callable[..., Caller]) -> None:
    cancelled: queue.Queue[bool] = queue.Queue()

    class Noting(Fake):
        def SendMedia(self, request_iterator: Iterator[v1.SendMediaRequest], context: Any) -> v1.SendMediaResponse:
            gone = threading.Event()
            context.add_callback(gone.set)
            # gRPC ends this at times as if it were in order, and tells a moment later that it was not.
            with contextlib.suppress(grpc.RpcError):
                for _ in request_iterator:
                    pass
            # Where the upload comes to its end, a file that is cut off is sent.
            cancelled.put(gone.wait(10))
            return v1.SendMediaResponse()

    broken: Any = Broken(seekable=seekable)
    with Noting() as fake, pytest.raises(OSError, match="the disk is gone"):
        connect(fake.address).call("messages.SendMedia", upload(HEADER, broken))
    assert cancelled.get(timeout=20)


def test_what_the_callers_own_messages_fail_with_is_told(connect: Callable[..., Caller]) -> None:
    def media() -> Iterator[v1.SendMediaRequest]:
        yield v1.SendMediaRequest(header=HEADER)
        raise KeyError("media")

    def messages() -> Iterator[v1.SendMessagesRequest]:
        yield v1.SendMessagesRequest(tag="1", request=SEND)
        raise KeyError("messages")

    with Fake() as fake:
        caller = connect(fake.address)
        with pytest.raises(KeyError, match="media"):
            caller.call("messages.SendMedia", media())
        with pytest.raises(KeyError, match="messages"):
            caller.drain("messages.SendMessages", messages())


def test_what_the_callers_own_messages_fail_with_is_told_with_asyncio() -> None:
    async def media() -> AsyncIterator[v1.SendMediaRequest]:
        yield v1.SendMediaRequest(header=HEADER)
        raise KeyError("media")

    async def messages() -> AsyncIterator[v1.SendMessagesRequest]:
        yield v1.SendMessagesRequest(tag="1", request=SEND)
        raise KeyError("messages")

    async def call() -> None:
        async with aio.Client(fake.address) as client:
            with pytest.raises(KeyError, match="media"):
                await client.messages.SendMedia(media(), timeout=20)
            with pytest.raises(KeyError, match="messages"):
                async for _ in client.messages.SendMessages(messages(), timeout=20):
                    pass
            # A cancel of the caller's own is no failure of the messages.
            broken: Any = Broken(go_on=go_on)
            sending = asyncio.ensure_future(client.messages.SendMedia(upload(HEADER, broken), timeout=20))
            await asyncio.to_thread(broken.reading.wait, 20)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            go_on.set()

    go_on = threading.Event()
    with Fake() as fake:
        asyncio.run(asyncio.wait_for(call(), 30))


@pytest.mark.parametrize("seekable", [True, False])
def test_a_slow_file_does_not_stop_the_event_loop(seekable: bool) -> None:
    async def call() -> None:
        async with aio.Client(fake.address) as client:
            file: Any = Broken(seekable=seekable, go_on=go_on)
            sending = asyncio.ensure_future(client.messages.SendMedia(upload(HEADER, file), timeout=20))
            # This is reached only while the file is being read.
            assert await asyncio.to_thread(file.reading.wait, 20)
            go_on.set()
            await sending

    go_on = threading.Event()
    with Fake() as fake:
        asyncio.run(asyncio.wait_for(call(), 30))
    assert len(fake.requests) == 1


def test_streams_are_never_tried_again(connect: Callable[..., Caller]) -> None:
    with Fake(UNAVAILABLE, UNAVAILABLE) as fake:
        caller = connect(fake.address)
        with pytest.raises(SwitchboardError):
            caller.drain("messages.WatchMessage", v1.WatchMessageRequest(account="acme", request_id="order-77"))
        with pytest.raises(SwitchboardError):
            caller.drain("messages.SendMessages", iter([v1.SendMessagesRequest(tag="1", request=SEND)]))
    assert len(fake.requests) == 2
    # Who sends a stream of messages must know their request_ids to send them again: none is made up here.
    assert fake.requests[1].request == SEND


def test_a_future_is_given_a_request_id_and_one_attempt() -> None:
    with Fake(UNAVAILABLE) as fake, Client(fake.address) as client:
        begun = time.monotonic()
        future = client.messages.SendMessage.future(SEND, timeout=10)
        assert time.monotonic() - begun < 5
        with pytest.raises(SwitchboardError) as caught:
            future.result()
        assert (caught.value.reason, caught.value.request_id) == ("SERVER_STOPPING", fake.requests[0].request_id)
        told: queue.Queue[Any] = queue.Queue()
        future.add_done_callback(told.put)
        assert told.get(timeout=20) is future
        assert isinstance(future, grpc.Future)
        assert future.code() is grpc.StatusCode.UNAVAILABLE
        assert client.messages.SendMessage.future(SEND, timeout=10).result().message.request_id
        uploaded = client.messages.SendMedia.future(upload(HEADER, FILE), timeout=10)
        uploaded.result()
        assert uploaded.exception() is None
    assert len(fake.requests) == 3
    assert all(request.request_id for request in fake.requests[:2])
    assert fake.requests[2][0].header.request_id


def test_a_future_tells_what_a_file_failed_with() -> None:
    broken: Any = Broken()
    with Fake() as fake, Client(fake.address) as client:
        future = client.messages.SendMedia.future(upload(HEADER, broken), timeout=20)
        with pytest.raises(OSError, match="the disk is gone"):
            future.result()


def test_what_can_be_repeated_is_what_the_contract_says() -> None:
    repeatable = set()
    for name in v1.__all__:
        message = getattr(v1, name)
        if isinstance(message, type) and hasattr(message, "DESCRIPTOR") and hasattr(message, "SerializeToString"):
            empty = message()
            _, request_id = with_request_id(empty)
            assert empty == message()
            if request_id:
                repeatable.add(name)
    headers = {"MediaHeader", "UploadTemplateMediaHeader"}
    assert repeatable == {"SendMessageRequest", "CreateContactRequest", "CreateWebhookRequest"} | headers
    _, request_id = with_request_id(v1.UploadTemplateMediaRequest(header=v1.UploadTemplateMediaHeader()))
    assert request_id
    assert with_request_id(v1.SendMediaRequest(chunk=b"Hello"))[1] == ""


def test_with_the_published_service_config_grpc_tries_the_reads_again_and_nothing_else() -> None:
    config = (REPOSITORY / "docs/service-config.json").read_text()
    reads = [
        (v1.AccountServiceStub, "GetAccount", v1.GetAccountRequest()),
        (v1.AccountServiceStub, "ListAccounts", v1.ListAccountsRequest()),
        (v1.MessageServiceStub, "GetMessage", v1.GetMessageRequest()),
        (v1.MessageServiceStub, "GetConversation", v1.GetConversationRequest()),
    ]
    writes = [
        (v1.MessageServiceStub, "SendMessage", SEND),
        (v1.ContactServiceStub, "UpdateContact", UPDATE),
        (v1.EventServiceStub, "Acknowledge", v1.AcknowledgeRequest()),
    ]
    with Fake() as fake, grpc.insecure_channel(fake.address, [("grpc.service_config", config)]) as channel:
        for stub, name, request in reads:
            fake.failures = [UNAVAILABLE] * 3
            getattr(stub(channel), name)(request, timeout=20)
            assert fake.failures == []
        fake.requests.clear()
        for stub, name, request in writes:
            fake.failures, fake.refusals = [UNAVAILABLE], [UNAVAILABLE]
            with pytest.raises(grpc.RpcError):
                getattr(stub(channel), name)(request, timeout=20)
        assert fake.requests == [request for _, _, request in writes]


def test_what_a_read_is() -> None:
    reads = set()
    for name in v1.__all__:
        if name.endswith("Stub"):
            module = __import__(getattr(v1, name).__module__.removesuffix("_grpc"), fromlist=["DESCRIPTOR"])
            for service in module.DESCRIPTOR.services_by_name.values():
                for method in service.methods:
                    if is_read(f"/{service.full_name}/{method.name}"):
                        reads.add(method.name)
    assert reads == {
        *("GetAccount", "GetConversation", "GetMessage", "GetSubscription", "GetTemplate"),
        *("ListAccounts", "ListContacts", "ListEvents", "ListFlowResponses"),
        *("ListSubscriptions", "ListTemplates", "ListWebhooks"),
        "VerifyWebhook",
    }
    assert not is_read("/grpc.other.v1.Queue/GetAndRemove")


def test_the_backoff_grows_and_has_an_end() -> None:
    for failures, most in ((1, 0.25), (2, 0.5), (3, 1.0), (4, 2.0), (5, 4.0), (6, 5.0), (1000, 5.0)):
        waits = [backoff(failures) for _ in range(200)]
        assert most / 2 <= min(waits) < max(waits) <= most
