"""Retry rules that synchronous and asyncio calls share."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
import uuid
from collections.abc import AsyncIterable, AsyncIterator, Iterator, Sequence
from typing import IO, Any, Generic, TypeVar, overload

import grpc
from google.protobuf.message import Message

from switchboard_client import v1
from switchboard_client._errors import SwitchboardError

_Request = TypeVar("_Request", v1.SendMediaRequest, v1.UploadTemplateMediaRequest)

# Well below the 4 MiB limit of a request message.
CHUNK_BYTES = 1 << 20

# The longest server-requested delay that the client waits for.
MAX_DELAY_SECONDS = 30.0

# How long a call without a timeout is retried.
DEFAULT_BUDGET_SECONDS = 60.0

# The records never contain the text of a message.
log = logging.getLogger("switchboard_client")


class Upload(Iterator[_Request], Generic[_Request]):
    """The request messages of one file upload, created by `upload`."""

    def __init__(self, request: type[_Request], header: Any, source: bytes | IO[bytes]) -> None:
        self._request: type[_Request] = request
        self._header = header
        self._source = source
        self._start = None if isinstance(source, bytes) else _position(source)
        self._reading = threading.Lock()
        self._running: Iterator[_Request] | None = None

    @property
    def repeatable(self) -> bool:
        """Whether the file can be read again, so the client can retry the upload after UNAVAILABLE."""
        return isinstance(self._source, bytes) or self._start is not None

    @property
    def blocking(self) -> bool:
        """Whether iterating the messages can block on I/O."""
        return not isinstance(self._source, bytes)

    def restart(self) -> Iterator[_Request]:
        """Iterates the messages from the first one."""
        yield self._request(header=self._header)
        if isinstance(self._source, bytes):
            for start in range(0, len(self._source), CHUNK_BYTES):
                yield self._request(chunk=self._source[start : start + CHUNK_BYTES])
        else:
            position = self._start
            while chunk := self._read(self._source, position):
                yield self._request(chunk=chunk)
                if position is not None:
                    position += len(chunk)

    def _read(self, source: IO[bytes], position: int | None) -> bytes:
        # The previous attempt may still be reading in a gRPC thread. The lock keeps seek and read together.
        with self._reading:
            if position is not None:
                source.seek(position)
            return source.read(CHUNK_BYTES)

    def __next__(self) -> _Request:
        if self._running is None:
            self._running = self.restart()
        return next(self._running)


def _position(source: IO[bytes]) -> int | None:
    """The current position of a file, or None if it cannot seek back there."""
    try:
        return source.tell() if source.seekable() else None
    except (AttributeError, OSError):
        return None


@overload
def upload(header: v1.MediaHeader, source: bytes | IO[bytes]) -> Upload[v1.SendMediaRequest]: ...
@overload
def upload(
    header: v1.UploadTemplateMediaHeader, source: bytes | IO[bytes]
) -> Upload[v1.UploadTemplateMediaRequest]: ...
def upload(header: v1.MediaHeader | v1.UploadTemplateMediaHeader, source: bytes | IO[bytes]) -> Upload[Any]:
    """Splits a file into the request messages of `SendMedia` and `UploadTemplateMedia`.

    The upload is retried like other writes if the file can seek back to its current position. A pipe is read only once.
    With asyncio, a file is read in a thread. If the file cannot be read, the call raises the file's own error, and the
    server sends nothing to the customer.
    """
    if isinstance(header, v1.MediaHeader):
        return Upload(v1.SendMediaRequest, header, source)
    return Upload(v1.UploadTemplateMediaRequest, header, source)


def is_read(method: str) -> bool:
    """Whether a method, as `/package.Service/Method`, changes no state."""
    service, _, name = method.rpartition("/")
    return service.startswith("/switchboard.") and name.startswith(("Get", "List", "VerifyWebhookSignature"))


def with_request_id(request: Any) -> tuple[Any, str]:
    """Returns the request with a `request_id` if it can have one, and that id.

    The id is set in a copy. A program that sends one message object twice means two requests.
    """
    holder = _request_id_holder(request)
    if holder is None:
        return request, ""
    if not holder.request_id:
        request = _copy(request)
        holder = _request_id_holder(request)
        holder.request_id = str(uuid.uuid4())
    return request, holder.request_id


def _request_id_holder(request: Any) -> Any:
    # This field marks the writes with an idempotency key. Other messages use `request_id` for a lookup.
    if not isinstance(request, Message):
        return None
    if "resend_after_attempt" in request.DESCRIPTOR.fields_by_name:
        return request
    if isinstance(request, v1.SendMediaRequest | v1.UploadTemplateMediaRequest) and request.HasField("header"):
        return _request_id_holder(request.header)
    return None


def _copy(request: Any) -> Any:
    copied = type(request)()
    copied.CopyFrom(request)
    return copied


class SingleRequest:
    """The request of a call that takes one message."""

    source_error: Exception | None = None

    def __init__(self, method: str, request: Any) -> None:
        self.method = method
        self._request, self.request_id = with_request_id(request)
        self.repeatable = is_read(method) or bool(self.request_id)

    def for_attempt(self) -> Any:
        """The request for one attempt."""
        return self._request


class RequestStream:
    """The requests of a client-streaming call. The first has the `request_id` and is the same in every attempt."""

    def __init__(self, method: str, source: Any) -> None:
        self.method = method
        self._source = source
        self._first: Any = None
        self.request_id = ""
        self.source_error: Exception | None = None
        """The exception of the request iterator. gRPC cancels the call after it and does not report it."""
        rereadable = source.repeatable if isinstance(source, Upload) else isinstance(source, Sequence)
        if rereadable:
            for first in self._begin():
                self._prepare_first(first)
                break
        self.repeatable = rereadable and bool(self.request_id)

    def for_attempt(self) -> Iterator[Any]:
        """The requests for one attempt."""
        try:
            messages = self._begin()
            for first in messages:
                yield self._prepare_first(first)
                break
            yield from messages
        except Exception as failed:
            self.source_error = failed
            raise

    async def for_attempt_async(self) -> AsyncIterator[Any]:
        """The requests for one attempt with asyncio."""
        try:
            messages = self._begin_async()
            async for first in messages:
                yield self._prepare_first(first)
                break
            async for message in messages:
                yield message
        except Exception as failed:
            self.source_error = failed
            raise

    def _begin(self) -> Iterator[Any]:
        return self._source.restart() if isinstance(self._source, Upload) else iter(self._source)

    def _begin_async(self) -> AsyncIterator[Any]:
        if isinstance(self._source, AsyncIterable):
            return aiter(self._source)
        threaded = isinstance(self._source, Upload) and self._source.blocking
        return _in_threads(self._begin()) if threaded else _without_threads(self._begin())

    def _prepare_first(self, message: Any) -> Any:
        if self._first is None:
            self._first, self.request_id = with_request_id(message)
        return self._first


async def _in_threads(messages: Iterator[Any]) -> AsyncIterator[Any]:
    while (message := await asyncio.to_thread(next, messages, None)) is not None:
        yield message


async def _without_threads(messages: Iterator[Any]) -> AsyncIterator[Any]:
    for message in messages:
        yield message


def backoff(failures: int, cap: float = 5.0) -> float:
    """Seconds to wait after `failures` consecutive failures, at least 1: exponential, with jitter."""
    return float(min(cap, 0.25 * 2 ** min(failures - 1, 16))) * random.uniform(0.5, 1.0)


def waits_for_ready(timeout: float | None, limit: int | None) -> bool | None:
    """Whether a call waits for a connection. None is the default of gRPC: it does not.

    A call that waits has not left the client, so waiting is safe for every write. Without a timeout it could wait
    forever.
    """
    return True if timeout is not None and limit != 1 else None


class Attempts:
    """The retry state of one call. Its budget is its timeout."""

    def __init__(self, payload: SingleRequest | RequestStream, *, limit: int | None, timeout: float | None) -> None:
        self._payload = payload
        self._limit = limit if payload.repeatable else 1
        self._failures = 0
        self._timeout = timeout
        self._deadline = time.monotonic() + (DEFAULT_BUDGET_SECONDS if timeout is None else timeout)

    def remaining(self) -> float | None:
        """The timeout of the next attempt."""
        return None if self._timeout is None else self._remaining()

    def _remaining(self) -> float:
        return max(0.0, self._deadline - time.monotonic())

    def delay(self, failed: grpc.RpcError) -> float:
        """Seconds to wait before the next attempt. Raises the error if there is no further attempt."""
        if self._payload.source_error is not None:
            raise self._payload.source_error from None
        error = SwitchboardError.from_rpc_error(failed)
        error.request_id = self._payload.request_id
        self._failures += 1
        if self._failures == self._limit or error.code() is not grpc.StatusCode.UNAVAILABLE:
            raise error from failed
        delay = backoff(self._failures)
        if error.retry_delay is not None:
            requested = error.retry_delay.total_seconds()
            if requested > MAX_DELAY_SECONDS:
                raise error from failed
            # Never earlier than the server requested, and with jitter so clients do not return all at once.
            delay += max(0.0, requested)
        if delay >= self._remaining():
            raise error from failed
        log.info(
            "%s failed, attempt %d follows in %.2f seconds: %s",
            self._payload.method,
            self._failures + 1,
            delay,
            str(error),
        )
        return delay


def repeatable_attempts(method: str, request: Any, *, timeout: float | None, limit: int | None = None) -> Attempts:
    """The retry state of a call that is safe to repeat although its request has no `request_id`."""
    payload = SingleRequest(method, request)
    payload.repeatable = True
    return Attempts(payload, limit=limit, timeout=timeout)
