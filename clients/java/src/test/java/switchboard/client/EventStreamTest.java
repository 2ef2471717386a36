package switchboard.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.Duration;
import io.grpc.Context;
import io.grpc.Grpc;
import io.grpc.InsecureServerCredentials;
import io.grpc.MethodDescriptor;
import io.grpc.Server;
import io.grpc.ServerServiceDefinition;
import io.grpc.ServiceDescriptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ServerCalls;
import io.grpc.stub.StreamObserver;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.ArrayList;
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
import org.junit.jupiter.api.AfterEach;
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
import switchboard.v1.SubscribeGap;
import switchboard.v1.SubscribeHeartbeat;
import switchboard.v1.SubscribeRequest;
import switchboard.v1.SubscribeResponse;
import switchboard.v1.SubscribeStarted;

/** The loop over events, against a server that says what it is told. */
class EventStreamTest {
    /** What the server does with a stream. */
    private interface Script {
        void accept(StreamObserver<SubscribeResponse> stream);
    }

    private static final SubscribeRequest LATEST = SubscribeRequest.getDefaultInstance();

    private final List<SubscribeRequest> asked = new CopyOnWriteArrayList<>();
    private final List<Long> askedAt = new CopyOnWriteArrayList<>();
    private final List<AutoCloseable> open = new ArrayList<>();
    private List<Script> scripts = List.of();
    private Server server;

    @AfterEach
    void stop() throws Exception {
        for (AutoCloseable closeable : open) {
            closeable.close();
        }
        if (server != null) {
            server.shutdownNow();
        }
    }

    /** Starts a server that treats each stream in turn by a script, the last one for all that follow. */
    private SwitchboardClient serve(Script... scripts) throws IOException {
        this.scripts = List.of(scripts);
        server = Grpc.newServerBuilderForPort(0, InsecureServerCredentials.create())
                .addService(new EventServiceGrpc.EventServiceImplBase() {
                    @Override
                    public void subscribe(SubscribeRequest request, StreamObserver<SubscribeResponse> stream) {
                        script(request).accept(stream);
                    }
                })
                .build()
                .start();
        return client("127.0.0.1:" + server.getPort());
    }

    private synchronized Script script(SubscribeRequest request) {
        asked.add(request);
        askedAt.add(System.nanoTime());
        return scripts.get(Math.min(asked.size(), scripts.size()) - 1);
    }

    private SwitchboardClient client(String address) {
        return client(address, java.time.Duration.ofSeconds(20));
    }

    private SwitchboardClient client(String address, java.time.Duration connectTimeout) {
        SwitchboardClient client = SwitchboardClient.builder(address)
                .plaintext()
                .impatient(connectTimeout, java.time.Duration.ofMillis(20))
                .build();
        open.add(client);
        return client;
    }

    private static SubscribeResponse started(String cursor, long heartbeatMillis) {
        return SubscribeResponse.newBuilder()
                .setStarted(SubscribeStarted.newBuilder()
                        .setCursor(cursor)
                        .setHeartbeatInterval(Duration.newBuilder()
                                .setSeconds(heartbeatMillis / 1000)
                                .setNanos((int) (heartbeatMillis % 1000) * 1_000_000)))
                .build();
    }

    private static SubscribeResponse started(String cursor) {
        return started(cursor, 20_000);
    }

    private static SubscribeResponse event(String cursor) {
        return SubscribeResponse.newBuilder()
                .setEvent(Event.newBuilder().setId("evt_" + cursor).setCursor(cursor))
                .build();
    }

    private static SubscribeResponse heartbeat(String cursor) {
        return SubscribeResponse.newBuilder()
                .setHeartbeat(SubscribeHeartbeat.newBuilder().setCursor(cursor))
                .build();
    }

    private static SubscribeResponse closing(String cursor, ClosingReason reason, long millis) {
        return SubscribeResponse.newBuilder()
                .setClosing(SubscribeClosing.newBuilder()
                        .setCursor(cursor)
                        .setReason(reason)
                        .setRetryAfter(Duration.newBuilder().setNanos((int) millis * 1_000_000)))
                .build();
    }

    private static SubscribeResponse gap(String after, String resume) {
        return SubscribeResponse.newBuilder()
                .setGap(SubscribeGap.newBuilder()
                        .setAfterCursor(after)
                        .setResumeCursor(resume)
                        .setMissed(3))
                .build();
    }

    /** Says these, and leaves the stream open. */
    private static Script say(SubscribeResponse... responses) {
        return stream -> List.of(responses).forEach(stream::onNext);
    }

    private static Script fail(Throwable failure, SubscribeResponse... responses) {
        return stream -> {
            say(responses).accept(stream);
            stream.onError(failure);
        };
    }

    private static Script complete(SubscribeResponse... responses) {
        return stream -> {
            say(responses).accept(stream);
            stream.onCompleted();
        };
    }

    private static StatusRuntimeException unavailable() {
        return FakeServer.failure(Status.Code.UNAVAILABLE, "SERVER_STOPPING", -1);
    }

    /** Ends a loop: the server sent as many as were wanted. */
    private static Script end(SubscribeResponse... responses) {
        return stream -> {
            say(responses).accept(stream);
            complete(closing("end", ClosingReason.CLOSING_REASON_MAX_EVENTS, 0)).accept(stream);
        };
    }

    private static List<String> cursors(EventStream events) {
        List<String> cursors = new ArrayList<>();
        for (Event event : events) {
            cursors.add(event.getCursor());
        }
        return cursors;
    }

    @Test
    void goesOnBehindWhatWasSeen() throws Exception {
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
                asked.stream().map(SubscribeRequest::getAfterCursor).toList());
        assertTrue(asked.stream().allMatch(SubscribeRequest::getIncludeRaw));
        assertEquals(Optional.of("end"), events.cursor());
    }

    @Test
    void latestGoesOnWhereItStarted() throws Exception {
        var client = serve(fail(unavailable()), fail(unavailable(), started("5")), end(started("5"), event("6")));
        assertEquals(List.of("6"), cursors(client.subscribe(LATEST)));
        assertEquals(
                List.of("", "", "5"),
                asked.stream().map(SubscribeRequest::getAfterCursor).toList());
    }

    @Test
    void theCursorIsThatOfWhatTheLoopHasFinished() throws Exception {
        var client = serve(end(started("0"), event("1"), event("2"), heartbeat("5"), event("6")));
        try (EventStream events = client.subscribe(
                SubscribeRequest.newBuilder().setAfterCursor("kept").build())) {
            assertEquals(Optional.of("kept"), events.cursor());
            Iterator<Event> loop = events.iterator();
            assertTrue(loop.hasNext());
            assertEquals(Optional.of("0"), events.cursor());
            assertEquals("1", loop.next().getCursor());
            assertEquals(Optional.of("0"), events.cursor(), "it is being dealt with");
            assertTrue(loop.hasNext());
            assertTrue(loop.hasNext());
            assertEquals(Optional.of("1"), events.cursor());
            assertEquals("2", loop.next().getCursor());
            assertEquals(Optional.of("1"), events.cursor());
            assertEquals("6", loop.next().getCursor(), "without asking whether there is one");
            assertEquals(Optional.of("5"), events.cursor(), "a heartbeat moves it");
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
    void whatTheServerRefusesEndsTheLoop(Status.Code code) throws Exception {
        var client = serve(fail(FakeServer.failure(code, "TOLD", -1), started("0"), event("1")));
        EventStream events = client.subscribe(LATEST);
        Iterator<Event> loop = events.iterator();
        loop.next();
        SwitchboardException e = assertThrows(SwitchboardException.class, loop::hasNext);
        assertEquals(code, e.getCode());
        assertEquals("TOLD", e.getReason());
        assertSame(e, assertThrows(SwitchboardException.class, loop::hasNext), "and it stays so");
        assertEquals(1, asked.size());
        assertEquals(Optional.of("1"), events.cursor());
    }

    /** What gRPC makes of a stream that something on the way resets, by HTTP/2's codes. */
    @ParameterizedTest
    @ValueSource(ints = {0, 1, 2, 5, 7, 8})
    void aStreamThatIsResetIsOpenedAnew(int code) throws Exception {
        serve(end(started("0"), event("1")));
        try (Proxy proxy = new Proxy(server.getPort(), Proxy.Fate.reset(code), Proxy.Fate.FORWARD)) {
            assertEquals(List.of("1"), cursors(client(proxy.address()).subscribe(LATEST)));
            assertEquals(2, proxy.connections());
        }
    }

    @Test
    void aStreamThatEndsWithoutAWordIsOpenedAnew() throws Exception {
        var client = serve(complete(started("0"), event("1")), end(started("1"), event("2")));
        assertEquals(List.of("1", "2"), cursors(client.subscribe(LATEST)));
    }

    @Test
    void aConnectionThatIsClosedIsMadeAnew() throws Exception {
        serve(end(started("0"), event("1")));
        try (Proxy proxy = new Proxy(server.getPort(), Proxy.Fate.CLOSE, Proxy.Fate.CLOSE, Proxy.Fate.FORWARD)) {
            assertEquals(List.of("1"), cursors(client(proxy.address()).subscribe(LATEST)));
            assertEquals(3, proxy.connections());
        }
    }

    @Test
    void aConnectionThatNeverAnswersIsGivenUp() throws Exception {
        serve(end(started("0"), event("1")));
        try (Proxy proxy = new Proxy(server.getPort(), Proxy.Fate.SILENCE, Proxy.Fate.FORWARD)) {
            assertEquals(
                    List.of("1"),
                    cursors(client(proxy.address(), java.time.Duration.ofSeconds(2))
                            .subscribe(LATEST)));
            assertEquals(2, proxy.connections());
        }
    }

    @Test
    void aStreamThatFallsSilentIsDead() throws Exception {
        var client = serve(say(started("0", 200), event("1")), end(started("1"), event("2")));
        long before = System.nanoTime();
        assertEquals(List.of("1", "2"), cursors(client.subscribe(LATEST)));
        long took = System.nanoTime() - before;
        assertTrue(took >= 400_000_000, "two intervals, not less");
        assertTrue(took < 15_000_000_000L, "and not the time to connect");
        assertEquals("1", asked.get(1).getAfterCursor());
    }

    @Test
    void aSlowLoopIsNotADeadStream() throws Exception {
        ScheduledExecutorService timer = Executors.newSingleThreadScheduledExecutor();
        open.add(timer::shutdownNow);
        CountDownLatch beats = new CountDownLatch(60);
        var client = serve(stream -> {
            say(started("0", 1000), event("1")).accept(stream);
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
        assertEquals(1, asked.size(), "heartbeats were read all the time");
    }

    @Test
    void theServerIsGivenItsTime() throws Exception {
        var client = serve(
                fail(unavailable(), started("0"), closing("1", ClosingReason.CLOSING_REASON_SHUTDOWN, 900)),
                fail(FakeServer.failure(Status.Code.UNAVAILABLE, "STORE_UNAVAILABLE", 900)),
                end(started("1")));
        assertEquals(List.of(), cursors(client.subscribe(LATEST)));
        assertTrue(askedAt.get(1) - askedAt.get(0) >= 900_000_000, "after closing");
        assertTrue(askedAt.get(2) - askedAt.get(1) >= 900_000_000, "after a refusal");
    }

    @Test
    void noMoreEventsThanWereAskedFor() throws Exception {
        var client = serve(
                fail(unavailable(), started("0"), event("1"), event("2")),
                fail(unavailable(), started("2"), event("3")));
        assertEquals(
                List.of("1", "2", "3"),
                cursors(client.subscribe(
                        SubscribeRequest.newBuilder().setMaxEvents(3).build())));
        assertEquals(
                List.of(3L, 1L),
                asked.stream().map(SubscribeRequest::getMaxEvents).toList());
    }

    @Test
    void aGapIsToldInItsPlace() throws Exception {
        SubscribeRequest request = SubscribeRequest.newBuilder()
                .setAfterCursor("1")
                .setExpiredPolicy(ExpiredPolicy.EXPIRED_POLICY_SKIP_WITH_GAP)
                .build();
        var client = serve(fail(unavailable(), started("1"), event("2"), gap("2", "8")), end(started("8"), event("9")));
        assertThrows(IllegalArgumentException.class, () -> client.subscribe(request));

        List<String> told = new ArrayList<>();
        for (Event event :
                client.subscribe(request, gap -> told.add(gap.getAfterCursor() + " to " + gap.getResumeCursor()))) {
            told.add(event.getCursor());
        }
        assertEquals(List.of("2", "2 to 8", "9"), told);
        assertEquals("8", asked.get(1).getAfterCursor());
    }

    @Test
    void whatALaterVersionSaysIsPassedOver() throws Exception {
        var client = serve(end(started("0"), SubscribeResponse.getDefaultInstance(), event("1")));
        assertEquals(List.of("1"), cursors(client.subscribe(LATEST)));
    }

    @Test
    void whatCannotBeReadEndsTheLoop() throws Exception {
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
        List<byte[]> came = new CopyOnWriteArrayList<>();
        server = Grpc.newServerBuilderForPort(0, InsecureServerCredentials.create())
                .addService(ServerServiceDefinition.builder(ServiceDescriptor.newBuilder("switchboard.v1.EventService")
                                .addMethod(method)
                                .build())
                        .addMethod(method, ServerCalls.asyncServerStreamingCall((request, stream) -> {
                            came.add(request);
                            stream.onNext(new byte[] {(byte) 0xff});
                        }))
                        .build())
                .build()
                .start();
        Iterator<Event> loop =
                client("127.0.0.1:" + server.getPort()).subscribe(LATEST).iterator();
        assertThrows(SwitchboardException.class, loop::hasNext);
        assertEquals(1, came.size());
    }

    @Test
    void aCloseEndsTheLoop() throws Exception {
        var client = serve(say(started("0"), event("1")));
        EventStream events = client.subscribe(LATEST);
        Iterator<Event> loop = events.iterator();
        loop.next();
        CompletableFuture<Boolean> waiting = CompletableFuture.supplyAsync(loop::hasNext);
        assertThrows(java.util.concurrent.TimeoutException.class, () -> waiting.get(100, TimeUnit.MILLISECONDS));
        events.close();
        assertFalse(waiting.get(10, TimeUnit.SECONDS));
        events.close();

        EventStream another = client.subscribe(LATEST);
        client.close();
        assertEquals(List.of(), cursors(another), "the client's end is its streams' end");
    }

    @Test
    void aCloseEndsTheWaitForAServerThatIsNotThere() throws Exception {
        try (Proxy proxy = new Proxy(0, Proxy.Fate.CLOSE)) {
            EventStream events = client(proxy.address()).subscribe(LATEST);
            CompletableFuture<List<String>> loop = CompletableFuture.supplyAsync(() -> cursors(events));
            while (proxy.connections() < 5) {
                Thread.onSpinWait();
            }
            events.close();
            assertEquals(List.of(), loop.get(10, TimeUnit.SECONDS));
        }
    }

    @Test
    void anInterruptEndsTheLoop() throws Exception {
        var client = serve(say(started("0")));
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
    void theSurroundingsCancelEndsTheLoop() throws Exception {
        var client = serve(say(started("0"), event("1")));
        Context.CancellableContext context = Context.current().withCancellation();
        Iterator<Event> loop = context.call(() -> client.subscribe(LATEST).iterator());
        loop.next();
        context.cancel(null);
        SwitchboardException e = assertThrows(SwitchboardException.class, loop::hasNext);
        assertEquals(Status.Code.CANCELLED, e.getCode());
        assertEquals(1, asked.size());
    }
}
