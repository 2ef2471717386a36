"""Addresses, TLS and the token."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import grpc
import pytest
import trustme

from kit.callers import Caller, Follower
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


def test_tls_and_token(secure: Fake, authority: trustme.CA, connect: Callable[..., Caller]) -> None:
    caller = connect(f"localhost:{secure.port}", credentials=trusting(authority), token=TOKEN)
    caller.call("accounts.GetAccount", ASK)
    caller.call("messages.SendMedia", [v1.SendMediaRequest(header=v1.MediaHeader())])
    caller.drain("messages.WatchMessage", v1.WatchMessageRequest())
    caller.drain("messages.SendMessages", iter([v1.SendMessagesRequest()]))
    assert [metadata["authorization"] for metadata in secure.metadata] == [f"Bearer {TOKEN}"] * 4


def test_a_subscription_carries_the_token_too(secure: Fake, authority: trustme.CA, flavour: str) -> None:
    secure.streams = [script(started("a"), event("b")), script(started("b"), event("c"))]
    request, credentials = v1.SubscribeRequest(max_events=2), trusting(authority)
    with Follower(flavour, secure.address, request, credentials=credentials, token=TOKEN) as follower:
        assert [follower.next().cursor, follower.next().cursor] == ["b", "c"]
        follower.ended()
    assert [metadata["authorization"] for metadata in secure.metadata] == [f"Bearer {TOKEN}"] * 2


def test_a_certificate_that_nobody_trusts_is_refused(secure: Fake, connect: Callable[..., Caller]) -> None:
    # By default with the roots that everybody trusts, of which this is none.
    with pytest.raises(SwitchboardError) as caught:
        connect(f"localhost:{secure.port}", plaintext=False, max_attempts=1).call("accounts.GetAccount", ASK)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert secure.requests == []


def test_plaintext_and_token_on_loopback(connect: Callable[..., Caller]) -> None:
    with Fake() as fake:
        connect(fake.address, token=TOKEN).call("accounts.GetAccount", ASK, metadata=(("x-trace", "1"),))
        connect(fake.address).call("accounts.GetAccount", ASK)
    assert fake.metadata[0]["authorization"] == f"Bearer {TOKEN}"
    assert fake.metadata[0]["x-trace"] == "1"
    assert "authorization" not in fake.metadata[1]
    assert str(fake.metadata[0]["user-agent"]).startswith("switchboard-client/0.1.0 ")


def test_no_token_in_plaintext_beyond_loopback(connect: Callable[..., Caller]) -> None:
    for address in ("switchboard.internal:50051", "10.0.0.1:50051", "dns:///127.0.0.1.example.com:50051"):
        with pytest.raises(ValueError, match="never sent in plaintext beyond loopback") as caught:
            connect(address, plaintext=True, token=TOKEN)
        assert TOKEN not in str(caught.value)
        # Both of these are fine: without a token, and with TLS.
        connect(address, plaintext=True)
        connect(address, token=TOKEN)


def test_beyond_loopback_tls_is_the_default() -> None:
    # No loopback address, and yet it leads to this machine.
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
def test_a_token_that_a_header_cannot_carry_is_refused_and_not_quoted(
    token: str, connect: Callable[..., Caller]
) -> None:
    with pytest.raises(ValueError, match="printable ASCII") as caught:
        connect("127.0.0.1:50051", token=token)
    assert not token or token not in str(caught.value)


def test_plaintext_and_credentials_exclude_each_other(connect: Callable[..., Caller]) -> None:
    with pytest.raises(ValueError, match="exclude each other"):
        connect("127.0.0.1:50051", credentials=grpc.ssl_channel_credentials(), plaintext=True)


def test_no_secret_in_a_repr(flavour: str, connect: Callable[..., Caller]) -> None:
    caller = connect("127.0.0.1:50051", token=TOKEN)
    for told in (caller.client, caller.client.subscribe() if flavour == "sync" else caller.client):
        assert "127.0.0.1:50051" in repr(told)
        assert TOKEN not in repr(told)


def test_what_stays_on_this_machine_takes_no_proxy(
    connect: Callable[..., Caller], monkeypatch: pytest.MonkeyPatch
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
def test_loopback(address: str) -> None:
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
def test_not_loopback(address: str) -> None:
    assert not is_loopback(address)
