package switchboard.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.Context;
import io.grpc.ForwardingClientCall.SimpleForwardingClientCall;
import io.grpc.ForwardingClientCallListener.SimpleForwardingClientCallListener;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.StreamObserver;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.function.Predicate;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;
import switchboard.v1.AcknowledgeRequest;
import switchboard.v1.ClosingReason;
import switchboard.v1.Event;
import switchboard.v1.ExpiredPolicy;
import switchboard.v1.SubscribeRequest;
import switchboard.v1.SubscribeResponse;

/** Acknowledgements of a stream of a named subscription, with a scripted server. */
class AcknowledgementsTest extends ScriptedStreams {
    private static final SubscribeRequest NAMED =
            SubscribeRequest.newBuilder().setSubscriptionId("billing").build();
    private static final Duration LONG = Duration.ofSeconds(20);

    private static StatusRuntimeException stale() {
        return FakeServer.failure(Status.Code.FAILED_PRECONDITION, "SUBSCRIPTION_GENERATION_STALE", -1);
    }

    private static StatusRuntimeException changed() {
        return FakeServer.failure(Status.Code.UNAVAILABLE, "SUBSCRIPTION_CHANGED", -1);
    }

    private static StatusRuntimeException deleted() {
        return FakeServer.failure(Status.Code.NOT_FOUND, "SUBSCRIPTION_NOT_FOUND", -1);
    }

    /** Creates a client that counts down a latch for each awaited message. */
    private SwitchboardClient watching(String address, Predicate<SubscribeResponse> awaited, CountDownLatch read) {
        SwitchboardClient client = SwitchboardClient.builder(address)
                .plaintext()
                .connectionTimings(LONG, Duration.ofMillis(20))
                .configure(channel -> channel.intercept(new ClientInterceptor() {
                    @Override
                    public <Q, R> ClientCall<Q, R> interceptCall(
                            MethodDescriptor<Q, R> method, CallOptions options, Channel next) {
                        return new SimpleForwardingClientCall<>(next.newCall(method, options)) {
                            @Override
                            public void start(Listener<R> listener, Metadata headers) {
                                super.start(
                                        new SimpleForwardingClientCallListener<>(listener) {
                                            @Override
                                            public void onMessage(R message) {
                                                super.onMessage(message);
                                                if (message instanceof SubscribeResponse response
                                                        && awaited.test(response)) {
                                                    read.countDown();
                                                }
                                            }
                                        },
                                        headers);
                            }
                        };
                    }
                }))
                .build();
        open.add(client);
        return client;
    }

    /** Returns the next acknowledgement. */
    private String next() throws InterruptedException {
        AcknowledgeRequest request = acknowledged.poll(20, TimeUnit.SECONDS);
        assertNotNull(request, () -> "no further acknowledgement: " + log);
        assertEquals("billing", request.getSubscriptionId());
        return request.getCursor() + " of " + request.getGeneration();
    }

    @Test
    void reopeningAcknowledgesFinishedEventsFirst() throws Exception {
        var client = serve(
                fail(unavailable(), startedWithGeneration("0", 3), event("1"), event("2")),
                fail(unavailable()),
                fail(unavailable(), startedWithGeneration("2", 4), event("3")),
                end(startedWithGeneration("3", 4), event("4")));
        assertEquals(List.of("1", "2", "3", "4"), cursors(client.subscribe(NAMED)));
        assertTrue(requests.stream().allMatch(NAMED::equals), "no request has a cursor");
        int second = log.subList(1, log.size()).indexOf("opened") + 1;
        assertTrue(log.subList(0, second).contains("2 of 3"), log::toString);
        int fourth = log.lastIndexOf("opened");
        assertTrue(log.subList(0, fourth).contains("3 of 4"), log::toString);
        assertTrue(log.contains("end of 4"), log::toString);
    }

    @Test
    void finishedEventIsAcknowledgedWhileTheNextIsProcessed() throws Exception {
        var client = serve(send(startedWithGeneration("0", 1), event("1"), event("2"), event("3")));
        Iterator<Event> loop = client.subscribe(NAMED).iterator();
        loop.next();
        loop.next();
        assertEquals("1 of 1", next());
        long before = System.nanoTime();
        loop.next();
        assertEquals("2 of 1", next());
        assertTrue(System.nanoTime() - before < TimeUnit.SECONDS.toNanos(15));
        assertEquals(List.of("opened", "1 of 1", "2 of 1"), log, "the current event is not acknowledged");
    }

    @Test
    void manyEventsNeedFewAcknowledgements() throws Exception {
        SubscribeResponse[] events = new SubscribeResponse[2000];
        events[0] = startedWithGeneration("0", 1);
        for (int i = 1; i < events.length; i++) {
            events[i] = event("" + i);
        }
        long before = System.nanoTime();
        assertEquals(
                events.length - 1, cursors(serve(end(events)).subscribe(NAMED)).size());
        long seconds = TimeUnit.NANOSECONDS.toSeconds(System.nanoTime() - before);
        assertTrue(log.contains("end of 1"), log::toString);
        assertTrue(acknowledged.size() <= seconds + 3, () -> acknowledged.size() + " in " + seconds + " s");
    }

    @Test
    void heartbeatIsAcknowledgedOnce() throws Exception {
        CompletableFuture<StreamObserver<SubscribeResponse>> stream = new CompletableFuture<>();
        var client = serve(s -> {
            send(startedWithGeneration("0", 1), heartbeat("0"), heartbeat("5")).accept(s);
            stream.complete(s);
        });
        EventStream events = client.subscribe(NAMED);
        CompletableFuture<List<String>> loop = Threads.supply(() -> cursors(events));
        assertEquals("5 of 1", next());
        send(heartbeat("5"), heartbeat("7")).accept(stream.get());
        assertEquals("7 of 1", next());
        end(event("8")).accept(stream.get());
        assertEquals(List.of("8"), loop.get(20, TimeUnit.SECONDS));
        assertEquals(List.of("opened", "5 of 1", "7 of 1"), log.subList(0, 3));
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void failedEventIsNotAcknowledged(boolean thrown) throws Exception {
        var client = serve(send(startedWithGeneration("0", 1), event("1"), event("2"), event("3")));
        try (EventStream events = client.subscribe(NAMED)) {
            for (Event event : events) {
                if (event.getCursor().equals("3") && thrown) {
                    throw new IllegalStateException("handling failed");
                } else if (event.getCursor().equals("3")) {
                    break;
                }
            }
        } catch (IllegalStateException e) {
            assertTrue(thrown);
        }
        assertTrue(log.contains("2 of 1"), "acknowledged before close returns");
        client.close();
        assertFalse(log.contains("3 of 1"), log::toString);
    }

    /** The close also ends the body's own work, so the body may not have handled the event. */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void eventIsNotFinishedAfterClose(boolean byClient) throws Exception {
        var client = serve(send(startedWithGeneration("0", 1), event("1"), event("2")));
        EventStream events = client.subscribe(NAMED);
        Iterator<Event> loop = events.iterator();
        loop.next();
        (byClient ? client : (AutoCloseable) events).close(); // From outside, while the body runs.
        assertFalse(loop.hasNext());
        assertFalse(loop.hasNext());
        assertEquals("0", events.cursor().orElseThrow());
        assertEquals(List.of("opened"), log);
    }

    @Test
    void eventIsNotFinishedAfterAnInterrupt() throws Exception {
        var client = serve(send(startedWithGeneration("0", 1), event("1"), event("2")));
        EventStream events = client.subscribe(NAMED);
        Iterator<Event> loop = events.iterator();
        loop.next();
        loop.next();
        Thread.currentThread().interrupt();
        SwitchboardException e = assertThrows(SwitchboardException.class, loop::hasNext);
        assertEquals(Status.Code.CANCELLED, e.getCode());
        assertTrue(Thread.interrupted());
        assertThrows(SwitchboardException.class, loop::hasNext, "the stream is closed");
        assertEquals("1", events.cursor().orElseThrow());
        assertEquals(List.of("opened", "1 of 1"), log, "finished events are acknowledged");
    }

    @Test
    void clientCloseAcknowledgesFinishedEvents() throws Exception {
        var client = serve(send(startedWithGeneration("0", 1), event("1"), event("2")));
        Iterator<Event> loop = client.subscribe(NAMED).iterator();
        loop.next();
        loop.next();
        client.close();
        assertEquals("1 of 1", log.get(log.size() - 1));
    }

    @Test
    void eventIsNotFinishedAfterACancelledContext() throws Exception {
        var client = serve(send(startedWithGeneration("0", 1), event("1"), event("2")));
        Context.CancellableContext context = Context.current().withCancellation();
        Iterator<Event> loop = context.call(() -> client.subscribe(NAMED).iterator());
        loop.next();
        loop.next();
        context.cancel(null);
        SwitchboardException e = assertThrows(SwitchboardException.class, loop::hasNext);
        assertEquals(Status.Code.CANCELLED, e.getCode());
        assertEquals(List.of("opened", "1 of 1"), log, "finished events are acknowledged");
    }

    @Test
    void closeDoesNotWaitForASilentServer() throws Exception {
        serve(send(startedWithGeneration("0", 1), event("1"), event("2")));
        CountDownLatch both = new CountDownLatch(2);
        try (Proxy proxy = new Proxy(server.getPort(), Proxy.Behavior.FORWARD)) {
            EventStream events =
                    watching(proxy.address(), SubscribeResponse::hasEvent, both).subscribe(NAMED);
            Iterator<Event> loop = events.iterator();
            loop.next();
            await(both);
            proxy.freeze();
            loop.next();
            long before = System.nanoTime();
            events.close();
            long took = System.nanoTime() - before;
            assertTrue(took < TimeUnit.SECONDS.toNanos(15), () -> took + " ns");
            assertTrue(acknowledged.isEmpty());
        }
    }

    @Test
    void unavailableAcknowledgementIsRetried() throws Exception {
        acknowledgeFailures =
                number -> number == 1 ? FakeServer.failure(Status.Code.UNAVAILABLE, "STORE_UNAVAILABLE", 1500) : null;
        var client = serve(send(startedWithGeneration("0", 1), event("1"), event("2")));
        Iterator<Event> loop = client.subscribe(NAMED).iterator();
        loop.next();
        loop.next();
        assertEquals("1 of 1", next());
        long before = System.nanoTime();
        assertEquals("1 of 1", next());
        assertTrue(System.nanoTime() - before > TimeUnit.MILLISECONDS.toNanos(1300), "after the requested delay");
        assertEquals(1, requests.size(), "the stream stays open");
    }

    @Test
    void unacknowledgedEventsDelayReopening() throws Exception {
        CountDownLatch acknowledgements = new CountDownLatch(4);
        acknowledgeFailures = number -> {
            acknowledgements.countDown();
            return acknowledgements.getCount() > 0 ? unavailable() : null;
        };
        var client = serve(
                fail(unavailable(), startedWithGeneration("0", 1), event("1")), end(startedWithGeneration("1", 1)));
        assertEquals(List.of("1"), cursors(client.subscribe(NAMED)));
        List<String> before = log.subList(1, log.lastIndexOf("opened"));
        assertTrue(before.size() >= 4 && before.stream().allMatch("1 of 1"::equals), log::toString);
    }

    @ParameterizedTest
    @EnumSource(
            value = Status.Code.class,
            names = {"INTERNAL", "UNKNOWN", "CANCELLED", "DEADLINE_EXCEEDED"})
    void interruptedAcknowledgementIsRetried(Status.Code code) throws Exception {
        acknowledgeFailures = number -> number <= 2 ? FakeServer.bare(code) : null;
        var client = serve(send(startedWithGeneration("0", 1), event("1"), event("2")));
        Iterator<Event> loop = client.subscribe(NAMED).iterator();
        loop.next();
        loop.next();
        for (int i = 0; i < 3; i++) {
            assertEquals("1 of 1", next());
        }
        assertEquals(List.of("opened", "1 of 1", "1 of 1", "1 of 1"), log, "the stream stays open");
    }

    @ParameterizedTest
    @EnumSource(
            value = Status.Code.class,
            names = {"INTERNAL", "UNKNOWN", "CANCELLED", "DEADLINE_EXCEEDED"})
    void interruptedAcknowledgementIsRetriedBeforeReopening(Status.Code code) throws Exception {
        CountDownLatch acknowledgements = new CountDownLatch(8);
        acknowledgeFailures = number -> {
            acknowledgements.countDown();
            return acknowledgements.getCount() > 0 ? FakeServer.bare(code) : null;
        };
        var client = serve(
                fail(unavailable(), startedWithGeneration("0", 1), event("1")), end(startedWithGeneration("1", 1)));
        assertEquals(List.of("1"), cursors(client.subscribe(NAMED)));
        List<String> before = log.subList(1, log.lastIndexOf("opened"));
        assertTrue(before.size() >= 8 && before.stream().allMatch("1 of 1"::equals), log::toString);
    }

    @ParameterizedTest
    @EnumSource(
            value = Status.Code.class,
            mode = EnumSource.Mode.EXCLUDE,
            names = {"OK", "UNAVAILABLE", "DEADLINE_EXCEEDED"})
    void rejectedAcknowledgementEndsTheLoop(Status.Code code) throws Exception {
        CountDownLatch delivered = new CountDownLatch(1);
        acknowledgeFailures = number -> {
            await(delivered);
            return FakeServer.failure(code, "SCRIPTED", -1);
        };
        var client = serve(send(startedWithGeneration("0", 1), event("1"), event("2")));
        EventStream events = client.subscribe(NAMED);
        Iterator<Event> loop = events.iterator();
        loop.next();
        loop.next();
        delivered.countDown(); // Only now, because a rejection drops events that are not delivered yet.
        assertEquals("1 of 1", next());
        SwitchboardException e = assertThrows(SwitchboardException.class, loop::hasNext);
        assertEquals(code, e.getCode());
        assertEquals("SCRIPTED", e.getReason());
        assertEquals(List.of("opened", "1 of 1"), log, "no retry");
    }

    /** Changes or deletes a subscription while its stream has a current event and a prefetched one. */
    private Iterator<Event> revoked(ClosingReason reason, StatusRuntimeException failure, Script then)
            throws Exception {
        return revoked(reason, failure, then, events -> {});
    }

    private Iterator<Event> revoked(
            ClosingReason reason, StatusRuntimeException failure, Script then, Consumer<EventStream> opened)
            throws Exception {
        serve(fail(failure, startedWithGeneration("4", 1), event("5"), event("6"), closing("6", reason, 0)), then);
        CountDownLatch closing = new CountDownLatch(1);
        CountDownLatch delivered = new CountDownLatch(1);
        SwitchboardClient client = watching(
                "127.0.0.1:" + server.getPort(),
                response -> {
                    if (response.hasEvent() && response.getEvent().getCursor().equals("5")) {
                        await(delivered);
                    }
                    return response.hasClosing();
                },
                closing);
        EventStream events = client.subscribe(NAMED);
        opened.accept(events);
        Iterator<Event> loop = events.iterator();
        assertEquals("5", loop.next().getCursor());
        delivered.countDown();
        await(closing);
        return loop;
    }

    @Test
    void deletedSubscriptionEndsTheLoopWithoutAcknowledging() throws Exception {
        Iterator<Event> loop = revoked(ClosingReason.CLOSING_REASON_SUBSCRIPTION_DELETED, deleted(), end());
        SwitchboardException e = assertThrows(SwitchboardException.class, loop::hasNext);
        assertEquals("SUBSCRIPTION_NOT_FOUND", e.getReason());
        assertEquals(List.of("opened"), log, "a new subscription with the same id would accept an acknowledgement");
    }

    @Test
    void changedSubscriptionContinuesWithItsNewState() throws Exception {
        Iterator<Event> loop = revoked(
                ClosingReason.CLOSING_REASON_SUBSCRIPTION_CHANGED,
                changed(),
                end(startedWithGeneration("2", 2), event("3"), event("5")));
        assertEquals("3", loop.next().getCursor(), "prefetched events are dropped");
        assertEquals(List.of("opened", "opened"), log);
        assertEquals("5", loop.next().getCursor());
        assertFalse(loop.hasNext());
        assertEquals(List.of(NAMED, NAMED), requests);
        assertTrue(log.contains("end of 2"), "with its new generation");
    }

    @Test
    void staleAcknowledgementDoesNotFailTheLoop() throws Exception {
        acknowledgeFailures = number -> requests.size() == 1 || number == 1 ? stale() : null;
        var client = serve(
                // The connection breaks before the server can report the change.
                fail(unavailable(), startedWithGeneration("0", 1), event("1")),
                end(startedWithGeneration("0", 2), event("1")));
        assertEquals(List.of("1", "1"), cursors(client.subscribe(NAMED)));
        assertTrue(log.contains("end of 2"), log::toString);
    }

    @Test
    void newGenerationAcknowledgesTheSameCursorAgain() throws Exception {
        CountDownLatch first = new CountDownLatch(1);
        var client = serve(
                stream -> Threads.run(() -> {
                    send(startedWithGeneration("0", 1), heartbeat("1")).accept(stream);
                    await(first);
                    fail(changed()).accept(stream);
                }),
                send(startedWithGeneration("0", 2), heartbeat("1")));
        EventStream events = client.subscribe(NAMED);
        CompletableFuture<List<String>> loop = Threads.supply(() -> cursors(events));
        assertEquals("1 of 1", next());
        first.countDown();
        String then = next();
        while (then.equals("1 of 1")) {
            then = next(); // The stream ended before the response arrived.
        }
        assertEquals("1 of 2", then);
        events.close();
        assertEquals(List.of(), loop.get(20, TimeUnit.SECONDS));
    }

    @Test
    void gapIsAcknowledgedAfterItsCallback() throws Exception {
        var client = serve(send(startedWithGeneration("1", 1), gap("1", "8"), event("9")));
        List<String> observed = new ArrayList<>();
        EventStream events = client.subscribe(
                NAMED.toBuilder()
                        .setExpiredPolicy(ExpiredPolicy.EXPIRED_POLICY_SKIP_WITH_GAP)
                        .build(),
                SubscribeOptions.defaults().onGap(gap -> {
                    observed.addAll(log);
                    observed.add(gap.getResumeCursor());
                }));
        assertEquals("9", events.iterator().next().getCursor());
        assertEquals("8 of 1", next());
        assertEquals(List.of("opened", "8"), observed);
    }

    @Test
    void acknowledgeFinishesTheCurrentEvent() throws Exception {
        var client = serve(
                fail(unavailable(), startedWithGeneration("0", 1), event("1"), event("2")),
                end(startedWithGeneration("2", 1)));
        EventStream events = client.subscribe(NAMED);
        Iterator<Event> loop = events.iterator();
        Event first = loop.next();
        events.acknowledge(first, LONG);
        assertEquals(List.of("opened", "1 of 1"), log, "acknowledged before the call returns");
        assertEquals("1", events.cursor().orElseThrow());
        events.acknowledge(first, LONG);
        Event second = loop.next();
        assertEquals("2", second.getCursor());
        events.acknowledge(second, LONG);
        assertEquals(List.of("opened", "1 of 1", "2 of 1"), log, "no delay and no duplicate");
        assertFalse(loop.hasNext());
        assertEquals(List.of("opened", "1 of 1", "2 of 1", "opened", "end of 1"), log.subList(0, 5));

        EventStream unnamed = client.subscribe(LATEST);
        assertThrows(IllegalStateException.class, () -> unnamed.acknowledge(first, LONG));
    }

    @Test
    void acknowledgeAfterTheEndOpensAConnection() throws Exception {
        var client = serve(send(startedWithGeneration("0", 1), event("1")));
        EventStream events = client.subscribe(NAMED);
        Event event = events.iterator().next();
        events.close();
        events.acknowledge(event, LONG);
        assertEquals(List.of("opened", "1 of 1"), log);
    }

    @Test
    void failedAcknowledgeThrowsTheReason() throws Exception {
        acknowledgeFailures = number -> number == 1 ? unavailable() : log.contains("2 of 1") ? stale() : null;
        var client = serve(send(startedWithGeneration("0", 1), event("1"), event("2")));
        EventStream events = client.subscribe(NAMED);
        Iterator<Event> loop = events.iterator();
        Event first = loop.next();
        SwitchboardException e = assertThrows(SwitchboardException.class, () -> events.acknowledge(first, LONG));
        assertEquals("SERVER_STOPPING", e.getReason());
        assertEquals("1 of 1", next());
        assertEquals("1 of 1", next(), "the stream retries by itself");
        Event second = loop.next();
        e = assertThrows(SwitchboardException.class, () -> events.acknowledge(second, LONG));
        assertEquals("SUBSCRIPTION_GENERATION_STALE", e.getReason());
        e = assertThrows(
                SwitchboardException.class,
                () -> events.acknowledge(second, LONG),
                "a second call does not hide the failure");
        assertEquals("SUBSCRIPTION_GENERATION_STALE", e.getReason());
    }

    @Test
    void acknowledgeAfterAChangeThrowsStale() throws Exception {
        acknowledgeFailures = number -> stale();
        CompletableFuture<EventStream> events = new CompletableFuture<>();
        Iterator<Event> loop = revoked(
                ClosingReason.CLOSING_REASON_SUBSCRIPTION_CHANGED,
                changed(),
                end(startedWithGeneration("2", 2), event("3")),
                events::complete);
        SwitchboardException e = assertThrows(SwitchboardException.class, () -> events.join()
                .acknowledge(event("5").getEvent(), LONG));
        assertEquals("SUBSCRIPTION_GENERATION_STALE", e.getReason());
        assertEquals(List.of("opened", "5 of 1"), log);
        assertEquals("3", loop.next().getCursor());
    }

    @Test
    void streamWithoutSubscriptionAcknowledgesNothing() throws Exception {
        var client =
                serve(fail(unavailable(), started("0"), event("1"), heartbeat("3")), end(started("3"), event("4")));
        assertEquals(List.of("1", "4"), cursors(client.subscribe(LATEST)));
        assertNull(acknowledged.poll());
    }

    private static void await(CountDownLatch latch) {
        try {
            assertTrue(latch.await(20, TimeUnit.SECONDS));
        } catch (InterruptedException e) {
            throw new AssertionError(e);
        }
    }
}
