package switchboard.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.Timestamp;
import io.grpc.Context;
import io.grpc.Grpc;
import io.grpc.InsecureServerCredentials;
import io.grpc.MethodDescriptor;
import io.grpc.ServerServiceDefinition;
import io.grpc.ServiceDescriptor;
import io.grpc.Status;
import io.grpc.stub.ServerCalls;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;
import switchboard.v1.ClosingReason;
import switchboard.v1.Event;
import switchboard.v1.EventServiceGrpc;
import switchboard.v1.ExpiredPolicy;
import switchboard.v1.StartPosition;
import switchboard.v1.SubscribeClosing;
import switchboard.v1.SubscribeRequest;
import switchboard.v1.SubscribeResponse;

/** Event streams with a scripted server. */
class EventStreamTest extends ScriptedStreams {
    @Test
    void reopenedStreamResumesAfterTheLastEvent() throws Exception {
        var client = serve(
                fail(unavailable(), started("0"), event("1"), event("2")),
                fail(unavailable()),
                fail(unavailable(), started("2"), event("3"), heartbeat("7")),
                fail(unavailable(), started("7"), event("8"), closing("9", ClosingReason.CLOSING_REASON_SHUTDOWN, 10)),
                end(started("9"), event("10")));
        EventStream events = client.subscribe(SubscribeRequest.newBuilder()
                .setPosition(StartPosition.START_POSITION_EARLIEST)
                .setIncludeRaw(true)
                .build());
        assertEquals(List.of("1", "2", "3", "8", "10"), cursors(events));
        assertEquals(
                List.of("", "2", "2", "7", "9"),
                requests.stream().map(SubscribeRequest::getAfterCursor).toList());
        assertTrue(requests.stream().allMatch(SubscribeRequest::getIncludeRaw));
        assertEquals(Optional.of("end"), events.cursor());
    }

    @Test
    void streamFromLatestResumesWhereItStarted() throws Exception {
        var client = serve(fail(unavailable()), fail(unavailable(), started("5")), end(started("5"), event("6")));
        assertEquals(List.of("6"), cursors(client.subscribe(LATEST)));
        assertEquals(
                List.of("", "", "5"),
                requests.stream().map(SubscribeRequest::getAfterCursor).toList());
    }

    @Test
    void sinceIsRequestedAgainUntilItsGapWasReported() throws Exception {
        SubscribeResponse atTheOldest = SubscribeResponse.newBuilder()
                .setStarted(started("5").getStarted().toBuilder().setOldestCursor("5"))
                .build();
        SubscribeRequest request = SubscribeRequest.newBuilder()
                .setSince(Timestamp.newBuilder().setSeconds(1))
                .setExpiredPolicy(ExpiredPolicy.EXPIRED_POLICY_SKIP_WITH_GAP)
                .build();
        var client = serve(
                fail(unavailable(), atTheOldest),
                fail(unavailable(), atTheOldest, gap("", "5")),
                end(started("5"), event("6")));
        List<String> observed = new ArrayList<>();
        assertEquals(
                List.of("6"),
                cursors(client.subscribe(
                        request, SubscribeOptions.defaults().onGap(gap -> observed.add(gap.getResumeCursor())))));
        assertEquals(List.of("5"), observed);
        assertEquals(List.of(request, request), requests.subList(0, 2));
        assertEquals("5", requests.get(2).getAfterCursor());
    }

    @Test
    void cursorIsAfterTheLastFinishedEvent() throws Exception {
        var client = serve(end(started("0"), event("1"), event("2"), heartbeat("5"), event("6")));
        try (EventStream events = client.subscribe(
                SubscribeRequest.newBuilder().setAfterCursor("saved").build())) {
            assertEquals(Optional.of("saved"), events.cursor());
            Iterator<Event> loop = events.iterator();
            assertTrue(loop.hasNext());
            assertEquals(Optional.of("0"), events.cursor());
            assertEquals("1", loop.next().getCursor());
            assertEquals(Optional.of("0"), events.cursor(), "the current event is not finished");
            assertTrue(loop.hasNext());
            assertTrue(loop.hasNext());
            assertEquals(Optional.of("1"), events.cursor());
            assertEquals("2", loop.next().getCursor());
            assertEquals(Optional.of("1"), events.cursor());
            assertEquals("6", loop.next().getCursor(), "next() without hasNext()");
            assertEquals(Optional.of("5"), events.cursor(), "a heartbeat advances the cursor");
            assertFalse(loop.hasNext());
            assertEquals(Optional.of("end"), events.cursor());
            assertThrows(NoSuchElementException.class, loop::next);
            assertThrows(IllegalStateException.class, events::iterator);
        }
        try (EventStream fresh = client.subscribe(LATEST)) {
            assertEquals(Optional.empty(), fresh.cursor());
        }
    }

    @ParameterizedTest
    @EnumSource(
            value = Status.Code.class,
            mode = EnumSource.Mode.EXCLUDE,
            names = {"OK", "UNAVAILABLE"})
    void permanentErrorEndsTheLoop(Status.Code code) throws Exception {
        var client = serve(fail(FakeServer.failure(code, "SCRIPTED", -1), started("0"), event("1")));
        EventStream events = client.subscribe(LATEST);
        Iterator<Event> loop = events.iterator();
        loop.next();
        SwitchboardException e = assertThrows(SwitchboardException.class, loop::hasNext);
        assertEquals(code, e.getCode());
        assertEquals("SCRIPTED", e.getReason());
        assertSame(e, assertThrows(SwitchboardException.class, loop::hasNext), "the failure is permanent");
        assertEquals(1, requests.size());
        assertEquals(Optional.of("1"), events.cursor());
    }

    /** HTTP/2 codes of a reset by an intermediary. */
    @ParameterizedTest
    @ValueSource(ints = {0, 1, 2, 5, 7, 8})
    void resetStreamIsReopened(int code) throws Exception {
        serve(end(started("0"), event("1")));
        try (Proxy proxy = new Proxy(server.getPort(), Proxy.Behavior.reset(code), Proxy.Behavior.FORWARD)) {
            assertEquals(List.of("1"), cursors(client(proxy.address()).subscribe(LATEST)));
            assertEquals(2, proxy.connections());
        }
    }

    @ParameterizedTest
    @EnumSource(
            value = Status.Code.class,
            names = {"INTERNAL", "UNKNOWN", "CANCELLED"})
    void sixthResetInARowEndsTheLoop(Status.Code code) throws Exception {
        var reset = FakeServer.bare(code);
        List<Script> scripts = new ArrayList<>(Collections.nCopies(5, fail(reset, started("0"))));
        scripts.add(fail(reset, started("0"), event("1")));
        scripts.addAll(Collections.nCopies(4, fail(reset, started("1"))));
        scripts.add(fail(reset, started("1"), heartbeat("2")));
        scripts.add(fail(reset, started("2")));
        EventStream events = serve(scripts.toArray(Script[]::new)).subscribe(LATEST);
        Iterator<Event> loop = events.iterator();
        assertEquals("1", loop.next().getCursor());
        SwitchboardException e = assertThrows(SwitchboardException.class, loop::hasNext);
        assertEquals(code, e.getCode());
        assertEquals(11 + 5, requests.size(), "the last stream with a response, and five more");
        assertEquals(Optional.of("2"), events.cursor());
    }

    @Test
    void unavailableNeverEndsTheLoop() throws Exception {
        List<Script> scripts = new ArrayList<>(Collections.nCopies(8, fail(unavailable(), started("0"))));
        scripts.add(end(started("0"), event("1")));
        assertEquals(List.of("1"), cursors(serve(scripts.toArray(Script[]::new)).subscribe(LATEST)));
    }

    @Test
    void unknownClosingReasonEndsTheLoop() throws Exception {
        SubscribeResponse unknown = SubscribeResponse.newBuilder()
                .setClosing(SubscribeClosing.newBuilder().setCursor("1").setReasonValue(99))
                .build();
        assertEquals(List.of(), cursors(serve(complete(started("0"), unknown)).subscribe(LATEST)));
        assertEquals(1, requests.size());
    }

    @Test
    void shutdownClosingWithOkStatusReopens() throws Exception {
        var client = serve(
                complete(started("0"), closing("1", ClosingReason.CLOSING_REASON_SHUTDOWN, 10)),
                end(started("1"), event("2")));
        assertEquals(List.of("2"), cursors(client.subscribe(LATEST)));
    }

    @Test
    void streamThatEndsWithoutClosingIsReopened() throws Exception {
        var client = serve(complete(started("0"), event("1")), end(started("1"), event("2")));
        assertEquals(List.of("1", "2"), cursors(client.subscribe(LATEST)));
    }

    @Test
    void closedConnectionIsReplaced() throws Exception {
        serve(end(started("0"), event("1")));
        try (Proxy proxy =
                new Proxy(server.getPort(), Proxy.Behavior.CLOSE, Proxy.Behavior.CLOSE, Proxy.Behavior.FORWARD)) {
            assertEquals(List.of("1"), cursors(client(proxy.address()).subscribe(LATEST)));
            assertEquals(3, proxy.connections());
        }
    }

    @Test
    void connectionThatNeverAnswersIsReplaced() throws Exception {
        serve(end(started("0"), event("1")));
        try (Proxy proxy = new Proxy(server.getPort(), Proxy.Behavior.SILENCE, Proxy.Behavior.FORWARD)) {
            assertEquals(
                    List.of("1"),
                    cursors(client(proxy.address(), java.time.Duration.ofSeconds(2))
                            .subscribe(LATEST)));
            assertEquals(2, proxy.connections());
        }
    }

    @Test
    void streamWithoutHeartbeatsIsReopened() throws Exception {
        var client = serve(send(started("0", 200), event("1")), end(started("1"), event("2")));
        long before = System.nanoTime();
        assertEquals(List.of("1", "2"), cursors(client.subscribe(LATEST)));
        long took = System.nanoTime() - before;
        assertTrue(took >= 400_000_000, "at least two intervals");
        assertTrue(took < 15_000_000_000L, "less than the connect timeout");
        assertEquals("1", requests.get(1).getAfterCursor());
    }

    @Test
    void slowLoopDoesNotBreakTheStream() throws Exception {
        ScheduledExecutorService timer = Executors.newSingleThreadScheduledExecutor();
        open.add(timer::shutdownNow);
        CountDownLatch beats = new CountDownLatch(60);
        var client = serve(stream -> {
            send(started("0", 1000), event("1")).accept(stream);
            timer.scheduleAtFixedRate(
                    () -> {
                        stream.onNext(heartbeat("beat"));
                        beats.countDown();
                        if (beats.getCount() == 0) {
                            end(event("2")).accept(stream);
                            timer.shutdown();
                        }
                    },
                    50,
                    50,
                    TimeUnit.MILLISECONDS);
        });
        EventStream events = client.subscribe(LATEST);
        Iterator<Event> loop = events.iterator();
        loop.next();
        assertTrue(beats.await(20, TimeUnit.SECONDS));
        assertEquals("2", loop.next().getCursor());
        assertEquals(Optional.of("beat"), events.cursor());
        assertFalse(loop.hasNext());
        assertEquals(1, requests.size(), "heartbeats were read throughout");
    }

    @Test
    void streamWaitsForTheDelayOfTheServer() throws Exception {
        var client = serve(
                fail(unavailable(), started("0"), closing("1", ClosingReason.CLOSING_REASON_SHUTDOWN, 900)),
                fail(FakeServer.failure(Status.Code.UNAVAILABLE, "STORE_UNAVAILABLE", 900)),
                end(started("1")));
        assertEquals(List.of(), cursors(client.subscribe(LATEST)));
        assertTrue(requestedAt.get(1) - requestedAt.get(0) >= 900_000_000, "after closing");
        assertTrue(requestedAt.get(2) - requestedAt.get(1) >= 900_000_000, "after a failure");
    }

    @Test
    void maxEventsSpansReopenedStreams() throws Exception {
        var client = serve(
                fail(unavailable(), started("0"), event("1"), event("2")),
                fail(unavailable(), started("2"), event("3")));
        assertEquals(
                List.of("1", "2", "3"),
                cursors(client.subscribe(
                        SubscribeRequest.newBuilder().setMaxEvents(3).build())));
        assertEquals(
                List.of(3L, 1L),
                requests.stream().map(SubscribeRequest::getMaxEvents).toList());
    }

    @Test
    void gapIsReportedInOrder() throws Exception {
        SubscribeRequest request = SubscribeRequest.newBuilder()
                .setAfterCursor("1")
                .setExpiredPolicy(ExpiredPolicy.EXPIRED_POLICY_SKIP_WITH_GAP)
                .build();
        var client = serve(fail(unavailable(), started("1"), event("2"), gap("2", "8")), end(started("8"), event("9")));
        assertThrows(IllegalArgumentException.class, () -> client.subscribe(request));

        List<String> observed = new ArrayList<>();
        for (Event event : client.subscribe(
                request,
                SubscribeOptions.defaults()
                        .onGap(gap -> observed.add(gap.getAfterCursor() + " to " + gap.getResumeCursor())))) {
            observed.add(event.getCursor());
        }
        assertEquals(List.of("2", "2 to 8", "9"), observed);
        assertEquals("8", requests.get(1).getAfterCursor());
    }

    @Test
    void unknownResponseIsIgnored() throws Exception {
        var client = serve(end(started("0"), SubscribeResponse.getDefaultInstance(), event("1")));
        assertEquals(List.of("1"), cursors(client.subscribe(LATEST)));
    }

    @Test
    void undecodableMessageEndsTheLoop() throws Exception {
        MethodDescriptor.Marshaller<byte[]> raw = new MethodDescriptor.Marshaller<>() {
            @Override
            public InputStream stream(byte[] value) {
                return new ByteArrayInputStream(value);
            }

            @Override
            public byte[] parse(InputStream stream) {
                try {
                    return stream.readAllBytes();
                } catch (IOException e) {
                    throw new UncheckedIOException(e);
                }
            }
        };
        var method = MethodDescriptor.<byte[], byte[]>newBuilder(raw, raw)
                .setType(MethodDescriptor.MethodType.SERVER_STREAMING)
                .setFullMethodName(EventServiceGrpc.getSubscribeMethod().getFullMethodName())
                .build();
        List<byte[]> received = new CopyOnWriteArrayList<>();
        server = Grpc.newServerBuilderForPort(0, InsecureServerCredentials.create())
                .addService(ServerServiceDefinition.builder(ServiceDescriptor.newBuilder("switchboard.v1.EventService")
                                .addMethod(method)
                                .build())
                        .addMethod(method, ServerCalls.asyncServerStreamingCall((request, stream) -> {
                            received.add(request);
                            stream.onNext(new byte[] {(byte) 0xff});
                        }))
                        .build())
                .build()
                .start();
        Iterator<Event> loop =
                client("127.0.0.1:" + server.getPort()).subscribe(LATEST).iterator();
        assertThrows(SwitchboardException.class, loop::hasNext);
        assertEquals(6, received.size(), "decoding is retried five times");
    }

    @Test
    void closeEndsTheLoop() throws Exception {
        var client = serve(send(started("0"), event("1")));
        EventStream events = client.subscribe(LATEST);
        Iterator<Event> loop = events.iterator();
        loop.next();
        CompletableFuture<Boolean> waiting = Threads.supply(loop::hasNext);
        assertThrows(java.util.concurrent.TimeoutException.class, () -> waiting.get(100, TimeUnit.MILLISECONDS));
        events.close();
        assertFalse(waiting.get(10, TimeUnit.SECONDS));
        events.close();

        EventStream another = client.subscribe(LATEST);
        client.close();
        assertEquals(List.of(), cursors(another), "closing the client closes its streams");
    }

    @Test
    void closeDuringBackoffEndsTheLoop() throws Exception {
        try (Proxy proxy = new Proxy(0, Proxy.Behavior.CLOSE)) {
            EventStream events = client(proxy.address()).subscribe(LATEST);
            CompletableFuture<List<String>> loop = Threads.supply(() -> cursors(events));
            while (proxy.connections() < 5) {
                Thread.onSpinWait();
            }
            events.close();
            assertEquals(List.of(), loop.get(10, TimeUnit.SECONDS));
        }
    }

    @Test
    void interruptEndsTheLoop() throws Exception {
        var client = serve(send(started("0")));
        EventStream events = client.subscribe(LATEST);
        CompletableFuture<SwitchboardException> ended = new CompletableFuture<>();
        Thread thread = new Thread(() -> {
            try {
                events.iterator().hasNext();
            } catch (SwitchboardException e) {
                ended.complete(Thread.currentThread().isInterrupted() ? e : null);
            }
        });
        thread.start();
        thread.interrupt();
        assertEquals(Status.Code.CANCELLED, ended.get(10, TimeUnit.SECONDS).getCode());
    }

    @Test
    void cancelledContextEndsTheLoop() throws Exception {
        var client = serve(send(started("0"), event("1")));
        Context.CancellableContext context = Context.current().withCancellation();
        Iterator<Event> loop = context.call(() -> client.subscribe(LATEST).iterator());
        loop.next();
        context.cancel(null);
        SwitchboardException e = assertThrows(SwitchboardException.class, loop::hasNext);
        assertEquals(Status.Code.CANCELLED, e.getCode());
        assertEquals(1, requests.size());
    }
}
