"""A scripted server that records its requests, and network fakes."""

from __future__ import annotations

import queue
import socket
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from switchboard_client import v1
from switchboard_client.v1.account_service_pb2_grpc import AccountServiceServicer, add_AccountServiceServicer_to_server
from switchboard_client.v1.contact_service_pb2_grpc import ContactServiceServicer, add_ContactServiceServicer_to_server
from switchboard_client.v1.conversation_service_pb2_grpc import (
    ConversationServiceServicer,
    add_ConversationServiceServicer_to_server,
)
from switchboard_client.v1.event_service_pb2_grpc import EventServiceServicer, add_EventServiceServicer_to_server
from switchboard_client.v1.message_service_pb2_grpc import MessageServiceServicer, add_MessageServiceServicer_to_server
from switchboard_client.v1.subscription_service_pb2_grpc import (
    SubscriptionServiceServicer,
    add_SubscriptionServiceServicer_to_server,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from google.protobuf.message import Message
    from typing_extensions import Self

SECONDS = 20


def status(
    code: grpc.StatusCode,
    reason: str = "",
    *,
    retry_delay: float | None = None,
    metadata: dict[str, str] | None = None,
) -> Any:
    """A status as Switchboard creates it. Without a reason, a status as an intermediary creates it."""
    details: list[Message] = []
    if reason:
        details.append(error_details_pb2.ErrorInfo(reason=reason, domain="switchboard", metadata=metadata))
    if retry_delay is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(int(retry_delay * 1000))
        details.append(retry)
    packed = []
    for detail in details:
        packed.append(AnyMessage())
        packed[-1].Pack(detail)
    return rpc_status.to_status(status_pb2.Status(code=code.value[0], message="no", details=packed))


def end_of_call(context: Any) -> threading.Event:
    """An event that is set when a call has ended, or the client has cancelled it."""
    ended = threading.Event()
    if not context.add_callback(ended.set):
        # It had ended before.
        ended.set()
    return ended


class Fake(
    MessageServiceServicer,
    AccountServiceServicer,
    ContactServiceServicer,
    ConversationServiceServicer,
    EventServiceServicer,
    SubscriptionServiceServicer,
):
    """Fails once for each status in `failures`, then succeeds."""

    def __init__(self, *failures: Any, credentials: grpc.ServerCredentials | None = None) -> None:
        self.failures = list(failures)
        self.requests: list[Any] = []
        self.metadata: list[dict[str, str | bytes]] = []
        self.remaining: list[float | None] = []
        # The script of `Subscribe`, one function per stream.
        self.streams: list[Callable[[Any], Iterator[v1.SubscribeResponse]]] = []
        # The errors of `Acknowledge` in order, None for success; and the received requests.
        self.acknowledge_errors: list[Any] = []
        self.acknowledgements: queue.Queue[v1.AcknowledgeRequest] = queue.Queue()
        self._server = grpc.server(ThreadPoolExecutor(8))
        add_MessageServiceServicer_to_server(self, self._server)
        add_AccountServiceServicer_to_server(self, self._server)
        add_ContactServiceServicer_to_server(self, self._server)
        add_ConversationServiceServicer_to_server(self, self._server)
        add_EventServiceServicer_to_server(self, self._server)
        add_SubscriptionServiceServicer_to_server(self, self._server)
        if credentials is None:
            port = self._server.add_insecure_port("127.0.0.1:0")
        else:
            port = self._server.add_secure_port("127.0.0.1:0", credentials)
        self.port = port
        self.address = f"127.0.0.1:{port}"

    def _note(self, request: Any, context: Any) -> None:
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        self.remaining.append(context.time_remaining())

    def _answer(self, request: Any, context: Any) -> None:
        self._note(request, context)
        if self.failures:
            context.abort_with_status(self.failures.pop(0))

    def SendMessage(self, request: v1.SendMessageRequest, context: Any) -> v1.SendMessageResponse:
        self._answer(request, context)
        return v1.SendMessageResponse(message=v1.Message(request_id=request.request_id))

    def GetMessage(self, request: v1.GetMessageRequest, context: Any) -> v1.GetMessageResponse:
        self._answer(request, context)
        return v1.GetMessageResponse()

    def SendMedia(self, request_iterator: Iterator[v1.SendMediaRequest], context: Any) -> v1.SendMediaResponse:
        self._answer(list(request_iterator), context)
        return v1.SendMediaResponse()

    def SendMessages(self, request_iterator: Iterator[v1.SendMessagesRequest], context: Any) -> Any:
        for request in request_iterator:
            self._answer(request, context)
            yield v1.SendMessagesResponse(tag=request.tag)

    def ListMessages(self, request: Any, context: Any) -> Any:
        raise NotImplementedError

    def WatchMessage(self, request: v1.WatchMessageRequest, context: Any) -> Any:
        self._answer(request, context)
        yield v1.WatchMessageResponse(ended=v1.WatchEnded())

    def GetConversation(self, request: v1.GetConversationRequest, context: Any) -> v1.GetConversationResponse:
        self._answer(request, context)
        return v1.GetConversationResponse()

    def ListAccounts(self, request: v1.ListAccountsRequest, context: Any) -> v1.ListAccountsResponse:
        self._answer(request, context)
        return v1.ListAccountsResponse()

    def GetAccount(self, request: v1.GetAccountRequest, context: Any) -> v1.GetAccountResponse:
        self._answer(request, context)
        return v1.GetAccountResponse()

    def UpdateContact(self, request: v1.UpdateContactRequest, context: Any) -> v1.UpdateContactResponse:
        self._answer(request, context)
        return v1.UpdateContactResponse()

    def ListContacts(self, request: Any, context: Any) -> Any:
        raise NotImplementedError

    def CreateContact(self, request: Any, context: Any) -> Any:
        raise NotImplementedError

    def DeleteContact(self, request: Any, context: Any) -> Any:
        raise NotImplementedError

    def ListEvents(self, request: Any, context: Any) -> Any:
        raise NotImplementedError

    def CreateSubscription(self, request: Any, context: Any) -> Any:
        raise NotImplementedError

    def GetSubscription(self, request: Any, context: Any) -> Any:
        raise NotImplementedError

    def ListSubscriptions(self, request: Any, context: Any) -> Any:
        raise NotImplementedError

    def UpdateSubscription(self, request: Any, context: Any) -> Any:
        raise NotImplementedError

    def SeekSubscription(self, request: Any, context: Any) -> Any:
        raise NotImplementedError

    def DeleteSubscription(self, request: Any, context: Any) -> Any:
        raise NotImplementedError

    def Acknowledge(self, request: v1.AcknowledgeRequest, context: Any) -> v1.AcknowledgeResponse:
        self._note(request, context)
        self.acknowledgements.put(request)
        rejection = self.acknowledge_errors.pop(0) if self.acknowledge_errors else None
        if callable(rejection):
            rejection(context)
        elif rejection is not None:
            context.abort_with_status(rejection)
        return v1.AcknowledgeResponse(cursor=request.cursor)

    def expect_acknowledged(self, cursor: str, generation: int = 1) -> None:
        """Waits for the next acknowledgement and checks it."""
        ack = self.acknowledgements.get(timeout=SECONDS)
        assert (ack.subscription_id, ack.cursor, ack.generation) == (
            "shop",
            cursor,
            generation,
        )

    @property
    def order(self) -> list[str]:
        """The received requests in order: `open` for a stream, or the acknowledged cursor."""
        return [request.cursor if isinstance(request, v1.AcknowledgeRequest) else "open" for request in self.requests]

    def Subscribe(self, request: v1.SubscribeRequest, context: Any) -> Any:
        self._note(request, context)
        if not self.streams:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "the test has no more streams")
        yield from self.streams.pop(0)(context)

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(0).wait(SECONDS)


def started(cursor: str, heartbeat: float = 15, generation: int = 0, oldest: str = "") -> v1.SubscribeResponse:
    response = v1.SubscribeResponse(started=v1.SubscribeStarted(cursor=cursor))
    response.started.generation, response.started.oldest_cursor = generation, oldest
    response.started.heartbeat_interval.FromMilliseconds(int(heartbeat * 1000))
    return response


def event(cursor: str) -> v1.SubscribeResponse:
    return v1.SubscribeResponse(event=v1.Event(cursor=cursor))


def heartbeat(cursor: str) -> v1.SubscribeResponse:
    return v1.SubscribeResponse(heartbeat=v1.SubscribeHeartbeat(cursor=cursor))


def script(*responses: v1.SubscribeResponse, end: Any = None) -> Callable[[Any], Iterator[v1.SubscribeResponse]]:
    """A stream that sends these responses and ends with `end`. None is OK."""

    def stream(context: Any) -> Iterator[v1.SubscribeResponse]:
        yield from responses
        if end is not None:
            context.abort_with_status(end)

    return stream


def silent(context: Any) -> Iterator[v1.SubscribeResponse]:
    """A stream without responses."""
    ended = end_of_call(context)
    ended.wait(SECONDS)
    yield from ()


def then_silent(*responses: v1.SubscribeResponse) -> Callable[[Any], Iterator[v1.SubscribeResponse]]:
    def stream(context: Any) -> Iterator[v1.SubscribeResponse]:
        yield from responses
        yield from silent(context)

    return stream


class Proxy:
    """A TCP proxy with a fixed address, for a server whose address changes at a restart.

    `block` makes its connections silent without closing them.
    """

    def __init__(self, target: str | None = None) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.connections = 0
        self.refused = threading.Semaphore(0)
        self._lock = threading.Lock()
        self._passing = threading.Event()
        self._passing.set()
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                target = self._target
            try:
                if target is None:
                    raise ConnectionRefusedError
                host, _, port = target.rpartition(":")
                far = socket.create_connection((host, int(port)), SECONDS)
            except OSError:
                near.close()
                self.refused.release()
                continue
            far.settimeout(None)
            with self._lock:
                self._open += (near, far)
                self.connections += 1
                forwarder = threading.Thread(target=self._forward, args=(near, far, self._passing), daemon=True)
                self._threads.append(forwarder)
            forwarder.start()

    def _forward(self, near: socket.socket, far: socket.socket, passing: threading.Event) -> None:
        back = threading.Thread(target=_pump, args=(far, near, passing), daemon=True)
        back.start()
        _pump(near, far, passing)
        back.join()
        with self._lock:
            for end in (near, far):
                self._open.remove(end)
                end.close()

    def set_target(self, target: str | None) -> None:
        """Sets the target of new connections. None refuses them."""
        with self._lock:
            self._target = target

    def block(self) -> None:
        """Makes the existing connections silent permanently. New ones work."""
        with self._lock:
            self._passing.clear()
            self._passing = threading.Event()
            self._passing.set()

    def cut(self) -> None:
        """Resets all connections."""
        with self._lock:
            for end in self._open:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                _shut(end)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        _shut(self._listener)
        self._threads[0].join(SECONDS)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(SECONDS)
            assert not thread.is_alive()


def _pump(source: socket.socket, sink: socket.socket, passing: threading.Event) -> None:
    try:
        while data := source.recv(1 << 16):
            if passing.is_set():
                sink.sendall(data)
    except OSError:
        pass
    _shut(source)
    _shut(sink)


def _shut(end: socket.socket) -> None:
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        # The socket is already closed.
        return


class ResettingServer:
    """An HTTP/2 server that resets every event stream: the first after an event and `reset()`, the next at once."""

    def __init__(self, code: int) -> None:
        self._code = code
        self._told = threading.Semaphore(0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def reset(self) -> None:
        self._told.release()

    def _serve(self) -> None:
        for number in range(1_000):
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as stream:
                assert stream.read(24) == b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                connection.sendall(_frame(4, 0, 0))
                while len(head := stream.read(9)) == 9:
                    length, kind, flags, identity = int.from_bytes(head[:3], "big"), head[3], head[4], head[5:]
                    stream.read(length)
                    if kind == 4 and not flags & 1:
                        connection.sendall(_frame(4, 1, 0))
                    elif kind == 1:
                        if number % 2 == 0:
                            # `:status 200` and `content-type application/grpc`, uncompressed.
                            headers = b"\x88\x0f\x10\x10application/grpc"
                            messages = (started(f"s{number}"), event(f"e{number}"))
                            connection.sendall(
                                _frame(1, 4, int.from_bytes(identity, "big"), headers)
                                + _frame(0, 0, int.from_bytes(identity, "big"), b"".join(map(_message, messages)))
                            )
                            assert self._told.acquire(timeout=SECONDS)
                        connection.sendall(_frame(3, 0, int.from_bytes(identity, "big"), self._code.to_bytes(4, "big")))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.reset()
        _shut(self._listener)
        self._thread.join(SECONDS)
        self._listener.close()
        assert not self._thread.is_alive()


def _message(message: Message) -> bytes:
    encoded = message.SerializeToString()
    return b"\0" + len(encoded).to_bytes(4, "big") + encoded


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload
