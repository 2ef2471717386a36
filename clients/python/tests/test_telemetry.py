"""Logs, the reconnect hook, and the client under OpenTelemetry's instrumentation."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from opentelemetry import trace
from opentelemetry.instrumentation.grpc import GrpcInstrumentorClient
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from kit.conformance import unused_port
from kit.fake import SECONDS, Fake, end_of_call, event, heartbeat, script, started, status
from switchboard_client import Client, EventStream, SwitchboardError, aio, v1

if TYPE_CHECKING:
    from collections.abc import Iterator

SHOP = v1.SubscribeRequest(subscription_id="shop")
PRIVATE = "private text"
UNREACHABLE = status(grpc.StatusCode.UNAVAILABLE, "PROVIDER_UNREACHABLE", metadata={"provider_message": PRIVATE})
IDLE = v1.SubscribeResponse(closing=v1.SubscribeClosing(reason=v1.CLOSING_REASON_IDLE_TIMEOUT))


@pytest.fixture(scope="module")
def exporter() -> InMemorySpanExporter:
    """The spans of the process. The instrumentation uses the global provider only, which can be set once."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


@pytest.fixture
def spans(exporter: InMemorySpanExporter) -> Iterator[InMemorySpanExporter]:
    """Instruments all channels that the test opens."""
    exporter.clear()
    instrumentor = GrpcInstrumentorClient()  # type: ignore[no-untyped-call]
    instrumentor.instrument()
    yield exporter
    instrumentor.uninstrument()


def hold(*responses: v1.SubscribeResponse) -> Any:
    """A stream that sends these responses, and then nothing until the client ends it."""

    def stream(context: Any) -> Iterator[v1.SubscribeResponse]:
        ended = end_of_call(context)
        yield from responses
        ended.wait(SECONDS)

    return stream


def test_instrumented_call_is_retried(spans: InMemorySpanExporter) -> None:
    with Fake(UNREACHABLE) as fake, Client(fake.address) as client:
        client.messages.SendMessage(v1.SendMessageRequest(), timeout=SECONDS)
        assert len(fake.requests) == 2
    assert [span.name for span in spans.get_finished_spans()] == ["/switchboard.v1.MessageService/SendMessage"] * 2


@pytest.mark.parametrize("how", ["leave", "close in another thread"])
def test_instrumented_stream_ends_with_an_acknowledgement(
    how: str, spans: InMemorySpanExporter, caplog: pytest.LogCaptureFixture
) -> None:
    with Fake() as fake, Client(fake.address) as client:
        fake.streams = [hold(started("c0", generation=1), event("c1"), event("c2"))]
        with client.subscribe(SHOP) as events:
            assert next(events).cursor == "c1"
            assert next(events).cursor == "c2"
            if how != "leave":
                closing = threading.Thread(target=close_when_acknowledged, args=(fake, events, "c2"))
                closing.start()
                assert next(events, None) is None
                closing.join(SECONDS)
    assert fake.order[-1] == ("c1" if how == "leave" else "c2")
    assert "/switchboard.v1.EventService/Subscribe" in [span.name for span in spans.get_finished_spans()]
    assert not [record for record in caplog.records if record.levelno > logging.WARNING]


def close_when_acknowledged(fake: Fake, events: EventStream, cursor: str) -> None:
    """Closes the stream after it has acknowledged the event, so its loop waits for the next one."""
    while fake.acknowledgements.get(timeout=SECONDS).cursor != cursor:
        pass
    events.close()


def test_instrumented_silent_stream_is_reopened(spans: InMemorySpanExporter, failures: list[int]) -> None:
    with Fake() as fake, Client(fake.address) as client:
        fake.streams = [
            hold(started("c0", heartbeat=0.1), event("c1")),
            hold(started("c1", heartbeat=0.1), event("c2")),
            script(started("c2"), event("c3"), IDLE),
        ]
        with client.subscribe() as events:
            assert [each.cursor for each in events] == ["c1", "c2", "c3"]
    assert failures == [1, 1]


def test_rejected_acknowledgement_ends_the_instrumented_stream(spans: InMemorySpanExporter) -> None:
    with Fake() as fake, Client(fake.address) as client:
        fake.streams = [hold(started("c0", generation=1), event("c1"))]
        fake.acknowledge_errors = [status(grpc.StatusCode.NOT_FOUND, "SUBSCRIPTION_NOT_FOUND")]
        with client.subscribe(SHOP) as events, pytest.raises(SwitchboardError, match="SUBSCRIPTION_NOT_FOUND"):
            list(events)


def test_retry_is_logged_without_message_text(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "switchboard_client")
    with Fake(UNREACHABLE) as fake, Client(fake.address) as client:
        client.messages.SendMessage(v1.SendMessageRequest(text=v1.Text(body=PRIVATE)), timeout=SECONDS)
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("switchboard_client", "INFO")
    assert "/switchboard.v1.MessageService/SendMessage failed, attempt 2" in record.getMessage()
    assert "UNAVAILABLE PROVIDER_UNREACHABLE" in record.getMessage()
    assert PRIVATE not in caplog.text


def consume(flavour: str, address: str, causes: list[SwitchboardError], stop_after: int = 0) -> None:
    """Follows all events. Closes the stream in the hook after so many reconnects, if that is not zero."""
    if flavour == "sync":

        def on_reconnect(cause: SwitchboardError) -> None:
            causes.append(cause)
            if len(causes) == stop_after:
                threading.Thread(target=events.close).start()

        with Client(address) as client, client.subscribe(on_reconnect=on_reconnect) as events:
            list(events)
        return

    async def run() -> None:
        async def on_reconnect(cause: SwitchboardError) -> None:
            causes.append(cause)
            if len(causes) == stop_after:
                await events.close()

        async with aio.Client(address) as client, client.subscribe(on_reconnect=on_reconnect) as events:
            async for _ in events:
                pass

    asyncio.run(run())


def test_reconnect_is_logged_and_reported(flavour: str, caplog: pytest.LogCaptureFixture) -> None:
    causes: list[SwitchboardError] = []
    with Fake() as fake:
        fake.streams = [
            script(started("c0"), heartbeat("c1"), end=UNREACHABLE),
            script(started("c1")),
            script(started("c1"), IDLE),
        ]
        consume(flavour, fake.address, causes)
    assert [cause.reason for cause in causes] == ["PROVIDER_UNREACHABLE", ""]
    first, second = caplog.records
    assert (first.name, first.levelname) == ("switchboard_client", "WARNING")
    assert "UNAVAILABLE PROVIDER_UNREACHABLE" in first.getMessage()
    assert "ended the stream without an error" in second.getMessage()
    assert PRIVATE not in caplog.text


def test_unreachable_server_is_logged_and_reported(flavour: str, caplog: pytest.LogCaptureFixture) -> None:
    causes: list[SwitchboardError] = []
    consume(flavour, f"127.0.0.1:{unused_port()}", causes, stop_after=1)
    assert [cause.code() for cause in causes] == [grpc.StatusCode.UNAVAILABLE]
    assert "event stream of an unnamed subscription broke" in caplog.text
