"""Addresses, TLS and the token."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import grpc
import pytest
import trustme

from kit.clients import AnyClient, Consumer
from kit.fake import Fake, event, script, started
from switchboard_client import Client, SwitchboardError, v1
from switchboard_client._connection import is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TOKEN = "secret-token"
ASK = v1.GetAccountRequest(account="acme")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secure(authority: trustme.CA) -> Iterator[Fake]:
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    chain = b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
    with Fake(credentials=grpc.ssl_server_credentials([(certificate.private_key_pem.bytes(), chain)])) as fake:
        yield fake


def trusting(authority: trustme.CA) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(authority.cert_pem.bytes())


def test_token_is_sent_with_every_kind_of_call(
    secure: Fake, authority: trustme.CA, connect: Callable[..., AnyClient]
) -> None:
    any_client = connect(f"localhost:{secure.port}", credentials=trusting(authority), token=TOKEN)
    any_client.call("accounts.GetAccount", ASK)
    any_client.call("messages.SendMedia", [v1.SendMediaRequest(header=v1.MediaHeader())])
    any_client.drain("messages.WatchMessage", v1.WatchMessageRequest())
    any_client.drain("messages.SendMessages", iter([v1.SendMessagesRequest()]))
    assert [metadata["authorization"] for metadata in secure.metadata] == [f"Bearer {TOKEN}"] * 4


def test_event_stream_sends_the_token(secure: Fake, authority: trustme.CA, flavour: str) -> None:
    secure.streams = [script(started("a"), event("b")), script(started("b"), event("c"))]
    request, credentials = v1.SubscribeRequest(max_events=2), trusting(authority)
    with Consumer(flavour, secure.address, request, credentials=credentials, token=TOKEN) as consumer:
        assert [consumer.next().cursor, consumer.next().cursor] == ["b", "c"]
        consumer.expect_end()
    assert [metadata["authorization"] for metadata in secure.metadata] == [f"Bearer {TOKEN}"] * 2


def test_untrusted_certificate_fails_the_call(secure: Fake, connect: Callable[..., AnyClient]) -> None:
    # The default root certificates do not include this one.
    with pytest.raises(SwitchboardError) as caught:
        connect(f"localhost:{secure.port}", plaintext=False, max_attempts=1).call("accounts.GetAccount", ASK)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert secure.requests == []


def test_token_is_sent_in_plaintext_on_loopback(connect: Callable[..., AnyClient]) -> None:
    with Fake() as fake:
        connect(fake.address, token=TOKEN).call("accounts.GetAccount", ASK, metadata=(("x-trace", "1"),))
        connect(fake.address).call("accounts.GetAccount", ASK)
    assert fake.metadata[0]["authorization"] == f"Bearer {TOKEN}"
    assert fake.metadata[0]["x-trace"] == "1"
    assert "authorization" not in fake.metadata[1]
    assert str(fake.metadata[0]["user-agent"]).startswith("switchboard-client/0.1.0 ")


def test_token_in_plaintext_beyond_loopback_raises(connect: Callable[..., AnyClient]) -> None:
    for address in ("switchboard.internal:50051", "10.0.0.1:50051", "dns:///127.0.0.1.example.com:50051"):
        with pytest.raises(ValueError, match="must not be sent in plaintext beyond loopback") as caught:
            connect(address, plaintext=True, token=TOKEN)
        assert TOKEN not in str(caught.value)
        # Both are valid: plaintext without a token, and a token with TLS.
        connect(address, plaintext=True)
        connect(address, token=TOKEN)


def test_address_beyond_loopback_uses_tls_by_default() -> None:
    # Not a loopback address, but it reaches this machine.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        with Client(f"0.0.0.0:{listener.getsockname()[1]}", token=TOKEN) as client:
            future = client.accounts.GetAccount.future(ASK, timeout=20)
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(20)
                assert connection.recv(1) == b"\x16", "the first byte of a TLS handshake"
            future.cancel()


@pytest.mark.parametrize("token", ["", "two words", "line\nbreak", "é"])
def test_invalid_token_raises_without_quoting_it(token: str, connect: Callable[..., AnyClient]) -> None:
    with pytest.raises(ValueError, match="printable ASCII") as caught:
        connect("127.0.0.1:50051", token=token)
    assert not token or token not in str(caught.value)


def test_plaintext_with_credentials_raises(connect: Callable[..., AnyClient]) -> None:
    with pytest.raises(ValueError, match="mutually exclusive"):
        connect("127.0.0.1:50051", credentials=grpc.ssl_channel_credentials(), plaintext=True)


def test_repr_does_not_contain_the_token(flavour: str, connect: Callable[..., AnyClient]) -> None:
    any_client = connect("127.0.0.1:50051", token=TOKEN)
    for shown in (any_client.client, any_client.client.subscribe() if flavour == "sync" else any_client.client):
        assert "127.0.0.1:50051" in repr(shown)
        assert TOKEN not in repr(shown)


def test_loopback_connection_bypasses_the_http_proxy(
    connect: Callable[..., AnyClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy, Fake() as fake:
        for name in ("http_proxy", "https_proxy", "grpc_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.getsockname()[1]}")
        for name in ("no_proxy", "no_grpc_proxy"):
            monkeypatch.delenv(name, raising=False)
        connect(fake.address, token=TOKEN).call("accounts.GetAccount", ASK, timeout=10)
        proxy.setblocking(False)
        with pytest.raises(BlockingIOError):
            proxy.accept()


@pytest.mark.parametrize(
    "address",
    [
        *(
            "127.0.0.1:50051",
            "127.9.9.9:1",
            "localhost:50051",
            "LOCALHOST:1",
            "localhost",
            "127.0.0.1",
            "[::1]:50051",
            "[::1]",
        ),
        *("ipv4:127.0.0.1:50051", "ipv6:[::1]:50051", "ipv4:127.0.0.1:1,127.0.0.2:1", "dns:localhost:50051"),
        *("dns:///localhost:50051", "dns:///127.0.0.1:1", "dns://127.0.0.53/localhost:1"),
        *("unix:/run/switchboard.sock", "unix:///run/switchboard.sock", "unix-abstract:switchboard"),
    ],
)
def test_loopback_address_is_recognized(address: str) -> None:
    assert is_loopback(address)


@pytest.mark.parametrize(
    "address",
    [
        *("switchboard.internal:50051", "10.0.0.1:50051", "0.0.0.0:50051", "[::]:50051", "[2001:db8::1]:50051", ""),
        *("127.0.0.1.example.com:50051", "localhost.example.com:1", "127.0.0.1@example.com:1", "127.1:50051"),
        *("ipv4:127.0.0.1:1,10.0.0.1:1", "ipv4:10.0.0.1:1", "dns:///example.com:1", "dns://127.0.0.1/example.com:1"),
        *("dns:example.com:1", "xds:///localhost", "unixlike.example.com:1", "unix.example.com:1"),
    ],
)
def test_other_address_is_not_loopback(address: str) -> None:
    assert not is_loopback(address)


@pytest.mark.parametrize("address", ["", "http://127.0.0.1:50051", "HTTPS://example.com"])
def test_unusable_address_raises(address: str, connect: Callable[..., AnyClient]) -> None:
    with pytest.raises(ValueError, match="use `host:port`"):
        connect(address)
