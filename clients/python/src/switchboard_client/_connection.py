"""Addresses, credentials and channel options."""

from __future__ import annotations

import ipaddress
import re
from importlib import metadata
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

if TYPE_CHECKING:
    from collections.abc import Sequence

__version__ = metadata.version("switchboard-client")

_OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.primary_user_agent", f"switchboard-client/{__version__}"),
    # Pings detect a dead connection within 40 seconds while a call is open.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 0),
    # An event stream sends no data. Without this option, gRPC stops its pings after the second one.
    ("grpc.http2.max_pings_without_data", 0),
    # The client finds a restarted server within seconds. The gRPC default waits for up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 5_000),
)

_TOKEN = re.compile(r"[\x21-\x7e]+")


class Target:
    """An address with its credentials, metadata and channel options."""

    def __init__(
        self,
        address: str,
        credentials: grpc.ChannelCredentials | None,
        *,
        plaintext: bool | None,
        token: str | None,
        options: Sequence[tuple[str, Any]],
    ) -> None:
        if not address:
            raise ValueError("the address is empty: use `host:port`")
        if re.match("https?://", address, re.IGNORECASE):
            # gRPC accepts a URL and can never connect to it.
            raise ValueError(f"the address {address!r} is a URL: use `host:port`")
        loopback = is_loopback(address)
        if plaintext is None:
            plaintext = loopback and credentials is None
        if plaintext and credentials is not None:
            raise ValueError("plaintext and credentials are mutually exclusive: pass one of them")
        if token is not None:
            if not _TOKEN.fullmatch(token):
                # Checked here, because the gRPC error would contain the token.
                raise ValueError("the token must contain only printable ASCII characters without spaces, at least one")
            if plaintext and not loopback:
                raise ValueError("a token must not be sent in plaintext beyond loopback: use TLS")
        self.address = address
        self.metadata = (("authorization", f"Bearer {token}"),) if token is not None else ()
        self._credentials = None if plaintext else credentials or grpc.ssl_channel_credentials()
        self._options = (*_OPTIONS, *options)
        if plaintext and loopback:
            # Local calls must not use an HTTP proxy from the environment.
            self._options += (("grpc.enable_http_proxy", 0),)

    def channel(self, *options: tuple[str, Any]) -> grpc.Channel:
        """Opens a synchronous channel."""
        options = (*self._options, *options)
        if self._credentials is None:
            return grpc.insecure_channel(self.address, options)
        return grpc.secure_channel(self.address, self._credentials, options)

    def aio_channel(
        self, *options: tuple[str, Any], interceptors: Sequence[grpc.aio.ClientInterceptor] = ()
    ) -> grpc.aio.Channel:
        """Opens an asyncio channel."""
        options = (*self._options, *options)
        if self._credentials is None:
            return grpc.aio.insecure_channel(self.address, options, interceptors=interceptors)
        return grpc.aio.secure_channel(self.address, self._credentials, options, interceptors=interceptors)


# Gives a channel its own connection. By default gRPC shares one among all channels to an address.
OWN_CONNECTION = ("grpc.use_local_subchannel_pool", 1)


def is_loopback(address: str) -> bool:
    """Whether a gRPC target can only be this machine. False if that is not certain."""
    scheme, colon, rest = address.partition(":")
    if colon and scheme in ("unix", "unix-abstract"):
        return True
    if colon and scheme in ("ipv4", "ipv6"):
        return all(_is_loopback_host(one) for one in rest.split(","))
    if colon and scheme == "dns":
        # `dns://authority/host:port`
        address = rest.rpartition("/")[2]
    return _is_loopback_host(address)


def _is_loopback_host(host_and_port: str) -> bool:
    bracketed = re.fullmatch(r"\[(.*)\](?::\d+)?", host_and_port)
    host = bracketed[1] if bracketed else re.sub(r":\d+$", "", host_and_port)
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
