package switchboard.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.MethodDescriptor;
import java.time.Duration;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;
import java.util.logging.Handler;
import java.util.logging.Level;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import org.junit.jupiter.api.Test;
import switchboard.v1.Event;
import switchboard.v1.SubscribeRequest;

/** What a stream does around the code of the program: interceptors, listeners and loggers. */
class InterceptorsTest extends ScriptedStreams {
    private static final SubscribeRequest NAMED =
            SubscribeRequest.newBuilder().setSubscriptionId("billing").build();

    /** Creates a client whose interceptor runs the action in each call, on the thread that makes the call. */
    private SwitchboardClient intercepted(Consumer<String> action) {
        SwitchboardClient client = SwitchboardClient.builder("127.0.0.1:" + server.getPort())
                .plaintext()
                .connectionTimings(Duration.ofSeconds(20), Duration.ofMillis(20))
                .configure(channel -> channel.intercept(new ClientInterceptor() {
                    @Override
                    public <Q, R> ClientCall<Q, R> interceptCall(
                            MethodDescriptor<Q, R> method, CallOptions options, Channel next) {
                        action.accept(method.getBareMethodName());
                        return next.newCall(method, options);
                    }
                }))
                .build();
        open.add(client);
        return client;
    }

    private static void await(CountDownLatch latch) {
        try {
            assertTrue(latch.await(20, TimeUnit.SECONDS));
        } catch (InterruptedException e) {
            throw new AssertionError(e);
        }
    }

    @Test
    void blockedAcknowledgementDelaysNeitherLoopNorJvm() throws Exception {
        serve(send(startedWithGeneration("0", 1), event("1"), event("2"), event("3")));
        CountDownLatch blocked = new CountDownLatch(1);
        CountDownLatch release = new CountDownLatch(1);
        AtomicReference<String> thread = new AtomicReference<>();
        SwitchboardClient client = intercepted(method -> {
            if (method.equals("Acknowledge")) {
                thread.set(Thread.currentThread().getName());
                blocked.countDown();
                await(release);
            }
        });
        try {
            EventStream events = client.subscribe(NAMED);
            Iterator<Event> loop = events.iterator();
            loop.next();
            loop.next();
            await(blocked);
            assertEquals("switchboard-worker", thread.get());
            // The loop, the cursor and the delays of the JVM do not wait for the interceptor.
            CompletableFuture<String> third = Threads.supply(() -> loop.next().getCursor());
            assertEquals("3", third.get(10, TimeUnit.SECONDS));
            assertEquals("2", events.cursor().orElseThrow());
            CompletableFuture<Void> delayed = new CompletableFuture<>();
            CompletableFuture.delayedExecutor(10, TimeUnit.MILLISECONDS, Runnable::run)
                    .execute(() -> delayed.complete(null));
            delayed.get(10, TimeUnit.SECONDS);
            long before = System.nanoTime();
            events.close();
            long took = System.nanoTime() - before;
            assertTrue(took < TimeUnit.SECONDS.toNanos(15), () -> took + " ns, not about two seconds");
            assertEquals(1, release.getCount(), "the interceptor is still blocked");
        } finally {
            release.countDown();
        }
    }

    @Test
    void blockedSubscribeDoesNotBlockClose() throws Exception {
        serve(fail(unavailable(), started("0")), end(started("0")));
        CountDownLatch blocked = new CountDownLatch(2);
        CountDownLatch release = new CountDownLatch(1);
        SwitchboardClient client = intercepted(method -> {
            blocked.countDown();
            if (blocked.getCount() == 0) {
                await(release);
            }
        });
        EventStream events = client.subscribe(LATEST);
        CompletableFuture<List<String>> loop = Threads.supply(() -> cursors(events));
        try {
            await(blocked);
            Threads.run(events::close).get(10, TimeUnit.SECONDS);
            assertFalse(loop.isDone());
        } finally {
            release.countDown();
        }
        assertEquals(List.of(), loop.get(10, TimeUnit.SECONDS));
    }

    @Test
    void reconnectIsReportedAndLoggedWithItsCause() throws Exception {
        List<String> records = new CopyOnWriteArrayList<>();
        Handler handler = new Handler() {
            @Override
            public void publish(LogRecord record) {
                if (record.getLevel() == Level.WARNING && record.getMessage().contains("subscription reported ")) {
                    records.add(record.getMessage());
                }
            }

            @Override
            public void flush() {}

            @Override
            public void close() {}
        };
        Logger logger = Logger.getLogger("switchboard.client");
        logger.addHandler(handler);
        try {
            var client = serve(fail(unavailable(), startedWithGeneration("0", 1)), end(startedWithGeneration("0", 1)));
            List<SwitchboardException> causes = new CopyOnWriteArrayList<>();
            EventStream events = client.subscribe(
                    SubscribeRequest.newBuilder().setSubscriptionId("reported").build(),
                    SubscribeOptions.defaults().onReconnect(causes::add));
            assertEquals(List.of(), cursors(events));
            assertEquals(
                    List.of("SERVER_STOPPING"),
                    causes.stream().map(SwitchboardException::getReason).toList());
        } finally {
            logger.removeHandler(handler);
        }
        assertEquals(1, records.size(), records::toString);
        String record = records.get(0).replaceAll("\\d+", "N");
        assertEquals(
                "event stream of subscription reported broke, reconnecting in N ms: "
                        + "SERVER_STOPPING: UNAVAILABLE: scripted failure",
                record);
    }

    @Test
    void unreachableServerIsReported() throws Exception {
        CompletableFuture<SwitchboardException> cause = new CompletableFuture<>();
        try (Proxy proxy = new Proxy(0, Proxy.Behavior.CLOSE)) {
            EventStream events = client(proxy.address())
                    .subscribe(LATEST, SubscribeOptions.defaults().onReconnect(cause::complete));
            CompletableFuture<List<String>> loop = Threads.supply(() -> cursors(events));
            assertEquals("", cause.get(20, TimeUnit.SECONDS).getReason());
            events.close();
            assertEquals(List.of(), loop.get(10, TimeUnit.SECONDS));
        }
    }
}
