"""What synchronous and asyncio calls have in common: which may be repeated, and when."""

from __future__ import annotations

import random
import sys
import time
import uuid
from collections.abc import AsyncIterable, AsyncIterator, Iterator, Sequence
from typing import IO, Any, Generic, TypeVar, overload

import grpc
from google.protobuf.message import Message

from switchboard import v1
from switchboard._errors import SwitchboardError

_Request = TypeVar("_Request", v1.SendMediaRequest, v1.UploadTemplateMediaRequest)

# A request has at most 4 MiB.
CHUNK_BYTES = 1 << 20


class Upload(Iterator[_Request], Generic[_Request]):
    """The messages that carry one file: made by `upload`."""

    def __init__(self, request: type[_Request], header: Any, source: bytes | IO[bytes]) -> None:
        self._request: type[_Request] = request
        self._header = header
        self._source = source
        self._running: Iterator[_Request] | None = None

    @property
    def repeatable(self) -> bool:
        """Whether the file can be read again, so that an upload that did not reach the server is tried again."""
        return isinstance(self._source, bytes)

    def again(self) -> Iterator[_Request]:
        """Goes through the messages, from the first."""
        yield self._request(header=self._header)
        if isinstance(self._source, bytes):
            for start in range(0, len(self._source), CHUNK_BYTES):
                yield self._request(chunk=self._source[start : start + CHUNK_BYTES])
        else:
            while chunk := self._source.read(CHUNK_BYTES):
                yield self._request(chunk=chunk)

    def __next__(self) -> _Request:
        if self._running is None:
            self._running = self.again()
        return next(self._running)


@overload
def upload(header: v1.MediaHeader, source: bytes | IO[bytes]) -> Upload[v1.SendMediaRequest]: ...
@overload
def upload(
    header: v1.UploadTemplateMediaHeader, source: bytes | IO[bytes]
) -> Upload[v1.UploadTemplateMediaRequest]: ...
def upload(header: v1.MediaHeader | v1.UploadTemplateMediaHeader, source: bytes | IO[bytes]) -> Upload[Any]:
    """Cuts a file into the messages that `SendMedia` and `UploadTemplateMedia` take.

    An upload of bytes is tried again as other writes are. An open file is read once, as it is sent, and its upload is
    never tried again.
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
    holder = _repeatable(request)
    if holder is None:
        return request, ""
    if not holder.request_id:
        request = _copy(request)
        holder = _repeatable(request)
        holder.request_id = str(uuid.uuid4())
    return request, holder.request_id


def _repeatable(request: Any) -> Any:
    # Which of the contract's messages can be repeated is told by this field; others look something up by a request_id.
    if not isinstance(request, Message):
        return None
    if "resend_after_attempt" in request.DESCRIPTOR.fields_by_name:
        return request
    if isinstance(request, v1.SendMediaRequest | v1.UploadTemplateMediaRequest) and request.HasField("header"):
        return _repeatable(request.header)
    return None


def _copy(request: Any) -> Any:
    copied = type(request)()
    copied.CopyFrom(request)
    return copied


class Single:
    """The request of a call that takes one."""

    def __init__(self, method: str, request: Any) -> None:
        self._request, self.request_id = with_request_id(request)
        self.repeatable = is_read(method) or bool(self.request_id)

    def each(self) -> Any:
        """The request, for one attempt."""
        return self._request


class Messages:
    """The requests of a call that takes many. The first has a `request_id`, and is the same at each attempt."""

    def __init__(self, source: Any) -> None:
        self._source = source
        self._first: Any = None
        self.request_id = ""
        rereadable = source.repeatable if isinstance(source, Upload) else isinstance(source, Sequence)
        if rereadable:
            for first in self._begin():
                self._take_first(first)
                break
        self.repeatable = rereadable and bool(self.request_id)

    def each(self) -> Iterator[Any] | AsyncIterator[Any]:
        """The requests, for one attempt."""
        return self._each_async() if isinstance(self._source, AsyncIterable) else self._each()

    def _each(self) -> Iterator[Any]:
        messages = self._begin()
        for first in messages:
            yield self._take_first(first)
            break
        yield from messages

    async def _each_async(self) -> AsyncIterator[Any]:
        messages = aiter(self._source)
        async for first in messages:
            yield self._take_first(first)
            break
        async for message in messages:
            yield message

    def _begin(self) -> Iterator[Any]:
        return self._source.again() if isinstance(self._source, Upload) else iter(self._source)

    def _take_first(self, message: Any) -> Any:
        if self._first is None:
            self._first, self.request_id = with_request_id(message)
        return self._first


def backoff(failures: int, cap: float = 5.0) -> float:
    """Seconds to wait after so many failures in a row, counted from 1: doubling, and never quite the same twice."""
    return float(min(cap, 0.25 * 2 ** min(failures - 1, 16))) * random.uniform(0.5, 1.0)


class Attempts:
    """The attempts of one call."""

    def __init__(self, payload: Single | Messages, *, most: int, timeout: float | None) -> None:
        self._payload = payload
        self._most = most if payload.repeatable else 1
        self._made = 0
        self._deadline = None if timeout is None else time.monotonic() + timeout

    def remaining(self) -> float | None:
        """Seconds until the call's deadline."""
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def delay(self, failed: grpc.RpcError) -> float:
        """Seconds to wait before the next attempt, now that this one failed. Raises the error when there is none."""
        error = SwitchboardError.from_rpc_error(failed)
        error.request_id = self._payload.request_id
        self._made += 1
        if self._made >= self._most or error.code() is not grpc.StatusCode.UNAVAILABLE:
            raise error from failed
        delay = backoff(self._made)
        if error.retry_delay is not None:
            # Nobody comes before the time that the server named, and not all at that very moment.
            delay += error.retry_delay.total_seconds()
        remaining = self.remaining()
        if remaining is not None and delay >= remaining:
            raise error from failed
        return delay


def repeatedly(request: v1.AcknowledgeRequest, timeout: float | None) -> Attempts:
    """The attempts of a call that may be repeated freely, for as long as there is time."""
    payload = Single("", request)
    payload.repeatable = True
    return Attempts(payload, most=sys.maxsize, timeout=timeout)
