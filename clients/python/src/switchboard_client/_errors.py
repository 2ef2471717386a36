"""What a failed call says, decoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from switchboard_client.v1 import Provider

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import timedelta

    from switchboard_client import v1

DETAILS_KEY = "grpc-status-details-bin"

_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


@dataclass(frozen=True)
class FieldViolation:
    """What is wrong with one field of a request."""

    field: str
    """The field's path, such as `template.body[1].text`."""
    reason: str
    """What kind of fault it is, such as `REQUIRED`; `docs/errors.md` lists them."""
    description: str
    """What is allowed, in English. It never quotes what was given."""


class SwitchboardError(grpc.aio.AioRpcError):
    """A call that failed, in the words of Switchboard.

    It is a `grpc.RpcError`, for synchronous and asyncio calls alike, so `code()`, `details()` and
    `trailing_metadata()` answer as gRPC's own error does; that one stays reachable as `__cause__`. Decide on `code()`
    and `reason`: the text may change at any time.
    """

    reason: str
    """What happened, such as `RECIPIENT_NOT_REACHABLE`. Empty when the status is not Switchboard's own: a deadline
    that passed, a connection that broke."""
    domain: str
    """Whose reason it is: `switchboard`. Empty where `reason` is."""
    metadata: dict[str, str]
    """The facts that belong to the reason, by their keys: `message_id`, `attempt`, `cause`, `provider_code`, …"""
    field_violations: tuple[FieldViolation, ...]
    """Every fault of the request, where that is why it failed."""
    retry_delay: timedelta | None
    """How long to wait before trying again. None when waiting is not known to help."""
    request_id: str
    """The `request_id` that the call carried, also where the client made it up: repeat the call with it, and nothing is
    done twice. Empty when it had none."""

    def __init__(
        self,
        code: grpc.StatusCode,
        initial_metadata: grpc.aio.Metadata | None = None,
        trailing_metadata: grpc.aio.Metadata | None = None,
        details: str | None = None,
        debug_error_string: str | None = None,
    ) -> None:
        super().__init__(code, initial_metadata, trailing_metadata, details, debug_error_string)
        self.reason = self.domain = self.request_id = ""
        self.metadata = {}
        self.field_violations = ()
        self.retry_delay = None
        self._read(trailing_metadata)

    @classmethod
    def from_rpc_error(cls, error: grpc.RpcError) -> SwitchboardError:
        """Decodes an error of gRPC. The client does this by itself; it is for stubs on other channels."""
        if isinstance(error, cls):
            return error
        # Both flavours of gRPC have these methods, but their types do not say so. Not `debug_error_string`: that of a
        # synchronous stream waits forever when the stream was cancelled here.
        call: Any = error
        decoded = cls(
            call.code(), _metadata(call.initial_metadata()), _metadata(call.trailing_metadata()), call.details()
        )
        decoded.__cause__ = error
        return decoded

    @classmethod
    def from_message(cls, error: v1.Error) -> SwitchboardError:
        """Makes an exception of a `switchboard.v1.Error`, as streams, events and records carry it."""
        decoded = cls(_CODES.get(error.code, grpc.StatusCode.UNKNOWN), details=error.message)
        decoded.reason, decoded.domain = error.reason, "switchboard"
        decoded.metadata = dict(error.metadata)
        # What an RPC carries among its metadata stands in fields of its own here.
        provider = Provider.Name(error.provider).removeprefix("PROVIDER_").lower() if error.provider else ""
        for key, value in (
            ("provider", provider),
            ("provider_code", error.provider_code),
            ("provider_type", error.provider_type),
            ("provider_trace_id", error.provider_trace_id),
        ):
            if value:
                decoded.metadata.setdefault(key, value)
        decoded.field_violations = _violations(error.field_violations)
        if error.HasField("retry_delay"):
            decoded.retry_delay = error.retry_delay.ToTimedelta()
        return decoded

    def _read(self, trailing_metadata: grpc.aio.Metadata | None) -> None:
        encoded = trailing_metadata.get(DETAILS_KEY) if trailing_metadata is not None else None
        if not isinstance(encoded, bytes):
            return
        info = error_details_pb2.ErrorInfo()
        bad_request = error_details_pb2.BadRequest()
        retry = error_details_pb2.RetryInfo()
        try:
            for detail in status_pb2.Status.FromString(encoded).details:
                if detail.Unpack(info):
                    self.reason, self.domain, self.metadata = info.reason, info.domain, dict(info.metadata)
                elif detail.Unpack(bad_request):
                    self.field_violations = _violations(bad_request.field_violations)
                elif detail.Unpack(retry):
                    self.retry_delay = retry.retry_delay.ToTimedelta()
        except DecodeError:
            # Something on the way put its own bytes there: the status says what it says without them.
            return

    def __str__(self) -> str:
        head = f"{self.code().name} {self.reason}".rstrip()
        return f"{head}: {self.details() or 'no details'}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.code().name}, reason={self.reason!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.code(),), self.__dict__


def _metadata(pairs: Iterable[tuple[str, str | bytes]] | None) -> grpc.aio.Metadata:
    return grpc.aio.Metadata(*((key, value) for key, value in pairs or ()))


def _violations(
    violations: Iterable[error_details_pb2.BadRequest.FieldViolation] | Iterable[v1.FieldViolation],
) -> tuple[FieldViolation, ...]:
    return tuple(FieldViolation(fault.field, fault.reason, fault.description) for fault in violations)
