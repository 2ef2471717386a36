"""What synchronous and asyncio calls have in common: which may be repeated, and when."""

from __future__ import annotations

import asyncio
import random
import sys
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

# A request has at most 4 MiB.
CHUNK_BYTES = 1 << 20

# The longest delay named by the server that is waited for.
MAX_DELAY_SECONDS = 30.0


class Upload(Iterator[_Request], Generic[_Request]):
    """The messages that carry one file: made by `upload`."""

    def __init__(self, request: type[_Request], header: Any, source: bytes | IO[bytes]) -> None:
        self._request: type[_Request] = request
        self._header = header
        self._source = source
        self._start = None if isinstance(source, bytes) else _position(source)
        self._reading = threading.Lock()
        self._running: Iterator[_Request] | None = None

    @property
    def repeatable(self) -> bool:
        """Whether the file can be read again, so that an upload that did not reach the server is tried again."""
        return isinstance(self._source, bytes) or self._start is not None

    @property
    def blocking(self) -> bool:
        """Whether to go through the messages can take time."""
        return not isinstance(self._source, bytes)

    def restart(self) -> Iterator[_Request]:
        """Goes through the messages, from the first."""
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
        # The attempt before may still be reading, in a thread of gRPC's: none must move the place of the other.
        with self._reading:
            if position is not None:
                source.seek(position)
            return source.read(CHUNK_BYTES)

    def __next__(self) -> _Request:
        if self._running is None:
            self._running = self.restart()
        return next(self._running)


def _position(source: IO[bytes]) -> int | None:
    """Where a file stands, if it can go back there."""
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
    """Cuts a file into the messages that `SendMedia` and `UploadTemplateMedia` take.

    The upload is tried again as other writes are, unless the file cannot go back to where it stands now: a pipe is read
    once. With asyncio, a file is read in a thread. Its own error ends the call when it cannot be read, and nothing is
    sent to the customer then.
    """
    if isinstance(header, v1.MediaHeader):
        return Upload(v1.SendMediaRequest, header, source)
    return Upload(v1.UploadTemplateMediaRequest, header, source)


def is_read(method: str) -> bool:
    """Says whether a method, as `/package.Service/Method`, changes nothing wherever it is called."""
    service, _, name = method.rpartition("/")
    return service.startswith("/switchboard.") and name.startswith(("Get", "List", "VerifyWebhook"))


def with_request_id(request: Any) -> tuple[Any, str]:
    """Makes sure that a repeatable write has a `request_id`, and tells it.

    The caller's own message is left as it is: sent twice on purpose, it must be two requests.
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
    # Which of the contract's messages can be repeated is told by this field; others look something up by a request_id.
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
    """The request of a call that takes one."""

    source_error: Exception | None = None

    def __init__(self, method: str, request: Any) -> None:
        self._request, self.request_id = with_request_id(request)
        self.repeatable = is_read(method) or bool(self.request_id)

    def for_attempt(self) -> Any:
        """The request, for one attempt."""
        return self._request


class RequestStream:
    """The requests of a call that takes many. The first has a `request_id`, and is the same at each attempt."""

    def __init__(self, source: Any) -> None:
        self._source = source
        self._first: Any = None
        self.request_id = ""
        self.source_error: Exception | None = None
        """Why the requests could not be had to their end. gRPC gives up the call then, and does not tell."""
        rereadable = source.repeatable if isinstance(source, Upload) else isinstance(source, Sequence)
        if rereadable:
            for first in self._begin():
                self._prepare_first(first)
                break
        self.repeatable = rereadable and bool(self.request_id)

    def for_attempt(self) -> Iterator[Any]:
        """The requests, for one attempt."""
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
        """The requests, for one attempt with asyncio."""
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
    """Seconds to wait after so many failures in a row, counted from 1: doubling, and never quite the same twice."""
    return float(min(cap, 0.25 * 2 ** min(failures - 1, 16))) * random.uniform(0.5, 1.0)


class Attempts:
    """The attempts of one call."""

    def __init__(self, payload: SingleRequest | RequestStream, *, limit: int, timeout: float | None) -> None:
        self._payload = payload
        self._limit = limit if payload.repeatable else 1
        self._failures = 0
        self._deadline = None if timeout is None else time.monotonic() + timeout

    def remaining(self) -> float | None:
        """Seconds until the call's deadline."""
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def delay(self, failed: grpc.RpcError) -> float:
        """Seconds to wait before the next attempt, now that this one failed. Raises the error when there is none."""
        if self._payload.source_error is not None:
            raise self._payload.source_error from None
        error = SwitchboardError.from_rpc_error(failed)
        error.request_id = self._payload.request_id
        self._failures += 1
        if self._failures >= self._limit or error.code() is not grpc.StatusCode.UNAVAILABLE:
            raise error from failed
        delay = backoff(self._failures)
        if error.retry_delay is not None:
            requested = error.retry_delay.total_seconds()
            if requested > MAX_DELAY_SECONDS:
                raise error from failed
            # Nobody comes before the time that the server named, and not all at that very moment.
            delay += max(0.0, requested)
        remaining = self.remaining()
        if remaining is not None and delay >= remaining:
            raise error from failed
        return delay


def acknowledge_attempts(request: v1.AcknowledgeRequest, timeout: float | None) -> Attempts:
    """The attempts of a call that may be repeated freely, for as long as there is time."""
    payload = SingleRequest("", request)
    payload.repeatable = True
    return Attempts(payload, limit=sys.maxsize, timeout=timeout)
