"""Which calls are retried, and when."""

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
from kit.fake import Fake, end_of_call, status
from kit.server import REPOSITORY
from switchboard_client import Client, SwitchboardError, aio, upload, v1
from switchboard_client._calls import CHUNK_BYTES, backoff, is_read, with_request_id

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from kit.clients import AnyClient

UNAVAILABLE = status(grpc.StatusCode.UNAVAILABLE, "SERVER_STOPPING")
SEND = v1.SendMessageRequest(account="acme", to="+15550100001", text=v1.Text(body="Hello!"))
UPDATE = v1.UpdateContactRequest(account="acme")
HEADER = v1.MediaHeader(account="acme", to="+15550100001")
FILE = bytes(range(256)) * (CHUNK_BYTES // 128)


def fails(any_client: AnyClient, name: str, request: Any, **options: Any) -> SwitchboardError:
    with pytest.raises(SwitchboardError) as caught:
        any_client.call(name, request, **options)
    return caught.value


@pytest.mark.parametrize("name", ["accounts.GetAccount", "accounts.ListAccounts", "messages.GetMessage"])
def test_read_is_retried(name: str, connect: Callable[..., AnyClient]) -> None:
    requests = {
        "accounts.GetAccount": v1.GetAccountRequest(),
        "accounts.ListAccounts": v1.ListAccountsRequest(),
        "messages.GetMessage": v1.GetMessageRequest(account="acme", message_id="msg_1"),
    }
    with Fake(UNAVAILABLE, UNAVAILABLE) as fake:
        connect(fake.address).call(name, requests[name])
    assert fake.requests == [requests[name]] * 3


def test_write_is_retried_with_its_generated_request_id(connect: Callable[..., AnyClient]) -> None:
    with Fake(UNAVAILABLE, UNAVAILABLE) as fake:
        any_client = connect(fake.address)
        before = SEND.SerializeToString()
        first = any_client.call("messages.SendMessage", SEND).message.request_id
        second = any_client.call("messages.SendMessage", SEND).message.request_id
    assert [request.request_id for request in fake.requests] == [first] * 3 + [second]
    assert uuid.UUID(first) != uuid.UUID(second), "the same content, sent as two requests"
    assert SEND.SerializeToString() == before, "the request of the program is not modified"
    assert all(request.resend_after_attempt == 0 for request in fake.requests)


def test_given_request_id_is_kept(connect: Callable[..., AnyClient]) -> None:
    request = v1.SendMessageRequest(account="acme", request_id="order-77")
    with Fake(UNAVAILABLE) as fake:
        connect(fake.address).call("messages.SendMessage", request)
    assert fake.requests == [request, request]


def test_write_without_request_id_is_never_retried(connect: Callable[..., AnyClient]) -> None:
    with Fake(UNAVAILABLE) as fake:
        error = fails(connect(fake.address), "contacts.UpdateContact", UPDATE)
    assert error.reason == "SERVER_STOPPING"
    assert error.request_id == ""
    assert fake.requests == [UPDATE]


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code.name not in ("OK", "UNAVAILABLE")])
def test_other_code_than_unavailable_is_not_retried(code: grpc.StatusCode, connect: Callable[..., AnyClient]) -> None:
    with Fake(status(code, "SOME_REASON", retry_delay=0.01), status(code)) as fake:
        any_client = connect(fake.address)
        assert fails(any_client, "accounts.GetAccount", v1.GetAccountRequest()).code() is code
        assert fails(any_client, "messages.SendMessage", SEND).code() is code
    assert len(fake.requests) == 2


def test_retries_stop_after_max_attempts(connect: Callable[..., AnyClient]) -> None:
    with Fake(*[UNAVAILABLE] * 9) as fake:
        error = fails(connect(fake.address, max_attempts=4), "messages.SendMessage", SEND)
        assert len(fake.requests) == 4
        assert error.request_id == fake.requests[0].request_id
        fails(connect(fake.address, max_attempts=1), "messages.SendMessage", SEND)
    assert len(fake.requests) == 5


def test_server_delay_is_waited_for(connect: Callable[..., AnyClient]) -> None:
    with Fake(status(grpc.StatusCode.UNAVAILABLE, "SERVER_STOPPING", retry_delay=0.8)) as fake:
        begun = time.monotonic()
        connect(fake.address).call("accounts.GetAccount", v1.GetAccountRequest())
    assert time.monotonic() - begun >= 0.8
    assert len(fake.requests) == 2


def test_deadline_covers_all_attempts(connect: Callable[..., AnyClient]) -> None:
    with Fake(UNAVAILABLE, UNAVAILABLE) as fake:
        connect(fake.address).call("accounts.GetAccount", v1.GetAccountRequest(), timeout=9)
    first, _, third = fake.remaining
    assert first is not None
    assert third is not None
    # The two delays before the third attempt are at least 0.375 seconds. (gRPC rounds a deadline up.)
    assert third <= first - 0.3
    assert first <= 9.1


def test_delay_beyond_the_deadline_fails_at_once(connect: Callable[..., AnyClient]) -> None:
    with Fake(status(grpc.StatusCode.UNAVAILABLE, "SERVER_STOPPING", retry_delay=30)) as fake:
        begun = time.monotonic()
        error = fails(connect(fake.address), "messages.SendMessage", SEND, timeout=10)
    # The delay exceeds the deadline, so the call fails at once with the original reason.
    assert error.reason == "SERVER_STOPPING"
    assert time.monotonic() - begun < 5
    assert len(fake.requests) == 1


@pytest.mark.parametrize(("named", "waits"), [(30, True), (30.001, False)])
def test_delay_over_thirty_seconds_fails_at_once(
    named: float, waits: bool, connect: Callable[..., AnyClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(switchboard_client._client, "time", types.SimpleNamespace(sleep=waited.append))
    monkeypatch.setattr(asyncio, "sleep", sleep)
    with Fake(status(grpc.StatusCode.UNAVAILABLE, "SERVER_STOPPING", retry_delay=named)) as fake:
        any_client = connect(fake.address)
        if waits:
            any_client.call("messages.SendMessage", SEND, timeout=100)
            assert [named < seconds < named + 1 for seconds in waited] == [True]
        else:
            error = fails(any_client, "messages.SendMessage", SEND, timeout=100)
            assert error.retry_delay is not None
            assert error.retry_delay.total_seconds() == named
            assert waited == []
    assert len(fake.requests) == 1 + waits


def test_upload_of_bytes_is_retried(connect: Callable[..., AnyClient]) -> None:
    with Fake(UNAVAILABLE) as fake:
        connect(fake.address).call("messages.SendMedia", upload(HEADER, FILE))
    first, second = fake.requests
    assert first == second
    assert uuid.UUID(first[0].header.request_id)
    assert b"".join(message.chunk for message in second) == FILE
    assert HEADER.request_id == ""


def test_upload_of_a_list_is_retried(connect: Callable[..., AnyClient]) -> None:
    messages = [v1.SendMediaRequest(header=HEADER, chunk=b"Hello")]
    with Fake(UNAVAILABLE) as fake:
        connect(fake.address).call("messages.SendMedia", messages)
    first, second = fake.requests
    assert first == second
    assert uuid.UUID(first[0].header.request_id)


def test_upload_that_cannot_be_reread_is_not_retried(connect: Callable[..., AnyClient]) -> None:
    def messages() -> Iterator[v1.SendMediaRequest]:
        yield v1.SendMediaRequest(header=HEADER)
        yield v1.SendMediaRequest(chunk=FILE[:1000])

    with Fake(UNAVAILABLE, UNAVAILABLE) as fake:
        any_client = connect(fake.address)
        error = fails(any_client, "messages.SendMedia", messages())
        assert error.reason == "SERVER_STOPPING"
        assert uuid.UUID(error.request_id)
        assert error.request_id == fake.requests[0][0].header.request_id
        near, far = os.pipe()
        with os.fdopen(far, "wb") as end:
            end.write(b"Hello!")
        with os.fdopen(near, "rb") as pipe:
            fails(any_client, "messages.SendMedia", upload(HEADER, pipe))
    assert len(fake.requests) == 2
    assert b"".join(message.chunk for message in fake.requests[1]) == b"Hello!"


def test_upload_of_a_file_is_retried_from_its_position(connect: Callable[..., AnyClient], tmp_path: Path) -> None:
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


def test_two_attempts_can_read_one_file_concurrently() -> None:
    # gRPC may still read for the failed attempt.
    messages = upload(HEADER, io.BytesIO(FILE))
    first, second = messages.restart(), messages.restart()
    read: tuple[list[bytes], list[bytes]] = ([], [])
    for one, other in zip(first, second, strict=True):
        read[0].append(one.chunk)
        read[1].append(other.chunk)
    assert b"".join(read[0]) == b"".join(read[1]) == FILE


class Broken(io.RawIOBase):
    """A file that fails in the middle, or that blocks until `resume` is set."""

    def __init__(self, *, seekable: bool = True, resume: threading.Event | None = None) -> None:
        super().__init__()
        self._seekable = seekable
        self._resume = resume
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
        if self._resume is not None:
            assert self._resume.wait(20)
            return b""
        if self._position:
            raise OSError("disk read failed")
        self._position = size
        return bytes(size)


@pytest.mark.parametrize("seekable", [True, False])
def test_unreadable_file_raises_its_own_error(seekable: bool, connect: Callable[..., AnyClient]) -> None:
    cancelled: queue.Queue[bool] = queue.Queue()

    class RecordingFake(Fake):
        def SendMedia(self, request_iterator: Iterator[v1.SendMediaRequest], context: Any) -> v1.SendMediaResponse:
            done = end_of_call(context)
            # gRPC sometimes ends this iterator without an error and reports the cancellation a moment later.
            with contextlib.suppress(grpc.RpcError):
                for _ in request_iterator:
                    pass
            # If the upload ended normally here, the server would send a truncated file.
            cancelled.put(done.wait(10))
            return v1.SendMediaResponse()

    broken: Any = Broken(seekable=seekable)
    with RecordingFake() as fake, pytest.raises(OSError, match="disk read failed"):
        connect(fake.address).call("messages.SendMedia", upload(HEADER, broken))
    assert cancelled.get(timeout=20)


def test_failing_request_iterator_raises_its_own_error(connect: Callable[..., AnyClient]) -> None:
    def media() -> Iterator[v1.SendMediaRequest]:
        yield v1.SendMediaRequest(header=HEADER)
        raise KeyError("media")

    def messages() -> Iterator[v1.SendMessagesRequest]:
        yield v1.SendMessagesRequest(tag="1", request=SEND)
        raise KeyError("messages")

    with Fake() as fake:
        any_client = connect(fake.address)
        with pytest.raises(KeyError, match="media"):
            any_client.call("messages.SendMedia", media())
        with pytest.raises(KeyError, match="messages"):
            any_client.drain("messages.SendMessages", messages())


def test_failing_async_iterator_raises_its_own_error() -> None:
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
            # Cancellation by the program is not a failure of the request iterator.
            broken: Any = Broken(resume=resume)
            sending = asyncio.ensure_future(client.messages.SendMedia(upload(HEADER, broken), timeout=20))
            await asyncio.to_thread(broken.reading.wait, 20)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            resume.set()

    resume = threading.Event()
    with Fake() as fake:
        asyncio.run(asyncio.wait_for(call(), 30))


@pytest.mark.parametrize("seekable", [True, False])
def test_slow_file_does_not_block_the_event_loop(seekable: bool) -> None:
    async def call() -> None:
        async with aio.Client(fake.address) as client:
            file: Any = Broken(seekable=seekable, resume=resume)
            sending = asyncio.ensure_future(client.messages.SendMedia(upload(HEADER, file), timeout=20))
            # This line runs only while the file is being read.
            assert await asyncio.to_thread(file.reading.wait, 20)
            resume.set()
            await sending

    resume = threading.Event()
    with Fake() as fake:
        asyncio.run(asyncio.wait_for(call(), 30))
    assert len(fake.requests) == 1


def test_streams_are_never_retried(connect: Callable[..., AnyClient]) -> None:
    with Fake(UNAVAILABLE, UNAVAILABLE) as fake:
        any_client = connect(fake.address)
        with pytest.raises(SwitchboardError):
            any_client.drain("messages.WatchMessage", v1.WatchMessageRequest(account="acme", request_id="order-77"))
        with pytest.raises(SwitchboardError):
            any_client.drain("messages.SendMessages", iter([v1.SendMessagesRequest(tag="1", request=SEND)]))
    assert len(fake.requests) == 2
    # A program needs the request_ids of a stream to retry its messages, so the client generates none here.
    assert fake.requests[1].request == SEND


def test_future_gets_a_request_id_and_one_attempt() -> None:
    with Fake(UNAVAILABLE) as fake, Client(fake.address) as client:
        begun = time.monotonic()
        future = client.messages.SendMessage.future(SEND, timeout=10)
        assert time.monotonic() - begun < 5
        with pytest.raises(SwitchboardError) as caught:
            future.result()
        assert (caught.value.reason, caught.value.request_id) == ("SERVER_STOPPING", fake.requests[0].request_id)
        completed: queue.Queue[Any] = queue.Queue()
        future.add_done_callback(completed.put)
        assert completed.get(timeout=20) is future
        assert isinstance(future, grpc.Future)
        assert future.code() is grpc.StatusCode.UNAVAILABLE
        assert client.messages.SendMessage.future(SEND, timeout=10).result().message.request_id
        uploaded = client.messages.SendMedia.future(upload(HEADER, FILE), timeout=10)
        uploaded.result()
        assert uploaded.exception() is None
    assert len(fake.requests) == 3
    assert all(request.request_id for request in fake.requests[:2])
    assert fake.requests[2][0].header.request_id


def test_future_of_unreadable_file_raises_its_error() -> None:
    broken: Any = Broken()
    with Fake() as fake, Client(fake.address) as client:
        future = client.messages.SendMedia.future(upload(HEADER, broken), timeout=20)
        with pytest.raises(OSError, match="disk read failed"):
            future.result()


def test_retried_writes_match_the_contract() -> None:
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
    assert repeatable == {"SendMessageRequest", "CreateContactRequest", "CreateWebhookRegistrationRequest"} | headers
    _, request_id = with_request_id(v1.UploadTemplateMediaRequest(header=v1.UploadTemplateMediaHeader()))
    assert request_id
    assert with_request_id(v1.SendMediaRequest(chunk=b"Hello"))[1] == ""


def test_published_service_config_retries_only_reads() -> None:
    config = (REPOSITORY / "docs/service-config.json").read_text()
    reads = [
        (v1.AccountServiceStub, "GetAccount", v1.GetAccountRequest()),
        (v1.AccountServiceStub, "ListAccounts", v1.ListAccountsRequest()),
        (v1.MessageServiceStub, "GetMessage", v1.GetMessageRequest()),
        (v1.ConversationServiceStub, "GetConversation", v1.GetConversationRequest()),
    ]
    writes = [
        (v1.MessageServiceStub, "SendMessage", SEND),
        (v1.ContactServiceStub, "UpdateContact", UPDATE),
        (v1.SubscriptionServiceStub, "Acknowledge", v1.AcknowledgeRequest()),
    ]
    with Fake() as fake, grpc.insecure_channel(fake.address, [("grpc.service_config", config)]) as channel:
        for stub, name, request in reads:
            fake.failures = [UNAVAILABLE] * 3
            getattr(stub(channel), name)(request, timeout=20)
            assert fake.failures == []
        fake.requests.clear()
        for stub, name, request in writes:
            fake.failures, fake.acknowledge_errors = [UNAVAILABLE], [UNAVAILABLE]
            with pytest.raises(grpc.RpcError):
                getattr(stub(channel), name)(request, timeout=20)
        assert fake.requests == [request for _, _, request in writes]


def test_is_read_recognizes_reads() -> None:
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
        *("ListAccounts", "ListContacts", "ListEvents", "ListFlowResponses", "ListMessages"),
        *("ListSubscriptions", "ListTemplates", "ListWebhookRegistrations"),
        "VerifyWebhookSignature",
    }
    assert not is_read("/grpc.other.v1.Queue/GetAndRemove")


def test_backoff_doubles_up_to_its_cap() -> None:
    for failures, most in ((1, 0.25), (2, 0.5), (3, 1.0), (4, 2.0), (5, 4.0), (6, 5.0), (1000, 5.0)):
        waits = [backoff(failures) for _ in range(200)]
        assert most / 2 <= min(waits) < max(waits) <= most
