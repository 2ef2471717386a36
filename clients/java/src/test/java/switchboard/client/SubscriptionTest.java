package switchboard.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.grpc.Status;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.Iterator;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import switchboard.v1.CreateSubscriptionRequest;
import switchboard.v1.DeleteSubscriptionRequest;
import switchboard.v1.Event;
import switchboard.v1.EventFilter;
import switchboard.v1.GetSubscriptionRequest;
import switchboard.v1.SeekSubscriptionRequest;
import switchboard.v1.StartPosition;
import switchboard.v1.SubscribeRequest;
import switchboard.v1.Subscription;

/** Streams of a named subscription of the real server. */
class SubscriptionTest {
    private static final SubscribeRequest NAMED =
            SubscribeRequest.newBuilder().setSubscriptionId("billing").build();
    private static final Duration LONG = Duration.ofSeconds(20);

    @TempDir
    private Path folder;

    private Sandbox sandbox;
    private SwitchboardClient client;

    @BeforeEach
    void start() throws Exception {
        sandbox = Sandbox.start(0, folder.resolve("journal.db"));
        client = sandbox.client();
    }

    @AfterEach
    void stop() {
        client.close();
        sandbox.close();
    }

    private void create(String type) {
        client.subscriptions()
                .withDeadlineAfter(LONG)
                .createSubscription(CreateSubscriptionRequest.newBuilder()
                        .setSubscriptionId("billing")
                        .setPosition(StartPosition.START_POSITION_EARLIEST)
                        .setSubscription(Subscription.newBuilder()
                                .setFilter(EventFilter.newBuilder().addTypes(type)))
                        .build());
    }

    private void write(String... texts) {
        for (String text : texts) {
            assertTrue(RestartTest.Writer.write(client, text));
        }
    }

    private Subscription subscription() {
        return client.subscriptions()
                .withDeadlineAfter(LONG)
                .getSubscription(GetSubscriptionRequest.newBuilder()
                        .setSubscriptionId("billing")
                        .build())
                .getSubscription();
    }

    private static void await(String what, BooleanSupplier condition) {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(40);
        while (!condition.getAsBoolean()) {
            assertTrue(System.nanoTime() < end, what);
            LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(20));
        }
    }

    private static String text(Event event) {
        return event.getMessageReceived().getText().getBody();
    }

    @Test
    void unfinishedEventIsRedeliveredToTheNextStream() {
        create("message.received");
        write("one", "two", "three", "four");
        List<String> seen = new ArrayList<>();
        try (EventStream events = client.subscribe(NAMED)) {
            String second = "";
            for (Event event : events) {
                seen.add(text(event));
                if (text(event).equals("two")) {
                    second = event.getCursor();
                } else if (text(event).equals("three")) {
                    String finished = second;
                    await(
                            "finished events are acknowledged during the next one",
                            () -> subscription().getCursor().equals(finished));
                    break;
                }
            }
        }
        assertEquals(List.of("one", "two", "three"), seen);
        try (EventStream events = client.subscribe(NAMED)) {
            Iterator<Event> loop = events.iterator();
            Event third = loop.next();
            assertEquals("three", text(third));
            events.acknowledge(third, LONG);
            assertEquals(1, subscription().getLagEvents());
            Event last = loop.next();
            assertEquals("four", text(last));
            events.acknowledge(last, LONG);
            assertEquals(last.getCursor(), subscription().getCursor());
        }
    }

    @Test
    void restartLosesNoEvent() throws Exception {
        create("message.received");
        RestartTest.Writer writer = new RestartTest.Writer(client);
        CompletableFuture<Void> writing = Threads.run(writer);

        List<String> first = new ArrayList<>();
        try (EventStream events = client.subscribe(NAMED)) {
            for (Event event : events) {
                first.add(text(event));
                if (first.size() == 30) {
                    sandbox.kill();
                    sandbox = Sandbox.start(sandbox.port(), folder.resolve("journal.db"));
                } else if (first.size() == 60) {
                    sandbox.kill(); // Neither pending acknowledgements nor the final one of this loop reach the server.
                    break;
                }
            }
        }
        sandbox = Sandbox.start(sandbox.port(), folder.resolve("journal.db"));
        List<String> second = new ArrayList<>();
        try (SwitchboardClient another = sandbox.client();
                EventStream events = another.subscribe(NAMED)) {
            for (Event event : events) {
                if (text(event).equals("last")) {
                    break;
                }
                second.add(text(event));
                if (second.size() == 30) {
                    sandbox.stop();
                    sandbox = Sandbox.start(sandbox.port(), folder.resolve("journal.db"));
                } else if (second.size() == 60) {
                    writer.stopped = true;
                    writing.get(20, TimeUnit.SECONDS);
                    write("last"); // All earlier messages arrive before it.
                }
            }
        }
        assertEquals(new HashSet<>(first).size(), first.size(), "no duplicates in one stream");
        assertEquals(new HashSet<>(second).size(), second.size(), "no duplicates in one stream");
        Set<String> all = new LinkedHashSet<>(first);
        all.addAll(second);
        all.retainAll(new HashSet<>(writer.accepted));
        assertEquals(writer.accepted, List.copyOf(all), "all accepted messages arrived in order");
        assertTrue(second.contains(first.get(first.size() - 1)), "the unfinished event is redelivered");
    }

    @Test
    void seekBackReplaysEvents() {
        create("message.received");
        write("one", "two");
        List<String> seen = new ArrayList<>();
        try (EventStream events = client.subscribe(NAMED)) {
            for (Event event : events) {
                seen.add(text(event));
                if (seen.size() == 2) {
                    client.subscriptions()
                            .withDeadlineAfter(LONG)
                            .seekSubscription(SeekSubscriptionRequest.newBuilder()
                                    .setSubscriptionId("billing")
                                    .setPosition(StartPosition.START_POSITION_EARLIEST)
                                    .build());
                } else if (seen.size() == 4) {
                    events.acknowledge(event, LONG);
                    assertEquals(event.getCursor(), subscription().getCursor(), "with its new generation");
                    break;
                }
            }
        }
        assertEquals(List.of("one", "two", "one", "two"), seen);
    }

    @Test
    void deletedSubscriptionEndsTheLoop() {
        create("message.received");
        write("one");
        try (EventStream events = client.subscribe(NAMED)) {
            Iterator<Event> loop = events.iterator();
            assertEquals("one", text(loop.next()));
            client.subscriptions()
                    .withDeadlineAfter(LONG)
                    .deleteSubscription(DeleteSubscriptionRequest.newBuilder()
                            .setSubscriptionId("billing")
                            .build());
            SwitchboardException e = assertThrows(SwitchboardException.class, loop::hasNext);
            assertEquals(Status.Code.NOT_FOUND, e.getCode());
            assertEquals("SUBSCRIPTION_NOT_FOUND", e.getReason());
        }
        try (EventStream events = client.subscribe(NAMED)) {
            assertThrows(SwitchboardException.class, () -> events.iterator().hasNext());
        }
    }

    @Test
    void heartbeatsBringTheLagToZero() throws Exception {
        create("message.echo");
        write("one", "two", "three");
        assertTrue(subscription().getLagEvents() > 0);
        CompletableFuture<Boolean> loop;
        try (EventStream events = client.subscribe(NAMED.toBuilder()
                .setHeartbeatInterval(com.google.protobuf.Duration.newBuilder().setSeconds(1))
                .build())) {
            loop = Threads.supply(() -> events.iterator().hasNext());
            await("heartbeats are acknowledged", () -> subscription().getLagEvents() == 0);
            write("four");
            assertTrue(subscription().getLagEvents() <= 1);
            await("later heartbeats are acknowledged too", () -> subscription().getLagEvents() == 0);
        }
        assertFalse(loop.get(20, TimeUnit.SECONDS));
    }
}
