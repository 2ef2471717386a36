package switchboard.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.Duration;
import io.grpc.StatusRuntimeException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import switchboard.sandbox.v1.InjectMessageRequest;
import switchboard.sandbox.v1.SandboxServiceGrpc;
import switchboard.v1.Event;
import switchboard.v1.EventFilter;
import switchboard.v1.StartPosition;
import switchboard.v1.SubscribeRequest;

/** Event streams of the real server, which is killed and restarted while messages arrive. */
class RestartTest {
    private static final EventFilter RECEIVED =
            EventFilter.newBuilder().addTypes("message.received").build();

    private static final String LAST = "last";

    /** A loop in its own thread. It records the events up to a last message. */
    private static final class Reader {
        private final List<String> texts = new CopyOnWriteArrayList<>();
        private final CompletableFuture<Void> ended;

        Reader(EventStream events) {
            ended = Threads.run(() -> {
                for (Event event : events) {
                    String text = event.getMessageReceived().getText().getBody();
                    if (text.equals(LAST)) {
                        events.close();
                        continue;
                    }
                    synchronized (this) {
                        texts.add(text);
                        notifyAll();
                    }
                }
            });
        }

        synchronized void awaitMore(int more) throws InterruptedException {
            int count = texts.size() + more;
            long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(40);
            while (texts.size() < count) {
                long left = TimeUnit.NANOSECONDS.toMillis(end - System.nanoTime());
                assertTrue(left > 0 && !ended.isDone(), "only " + texts.size() + " of " + count + " arrived");
                wait(left);
            }
        }
    }

    /** A customer who writes continuously. It records the accepted messages. */
    static final class Writer implements Runnable {
        private final SwitchboardClient client;
        final List<String> accepted = new CopyOnWriteArrayList<>();
        volatile boolean stopped;

        Writer(SwitchboardClient client) {
            this.client = client;
        }

        @Override
        public void run() {
            for (int i = 0; !stopped; i++) {
                try {
                    if (write(client, "text " + i)) {
                        accepted.add("text " + i);
                    }
                } catch (StatusRuntimeException e) {
                    // Whether the server accepted it is unknown.
                }
            }
        }

        static boolean write(SwitchboardClient client, String text) {
            return SandboxServiceGrpc.newBlockingStub(client.channel())
                            .withWaitForReady()
                            .withDeadlineAfter(10, TimeUnit.SECONDS)
                            .injectMessage(InjectMessageRequest.newBuilder()
                                    .setAccount("demo-connectly")
                                    .setSender("+15550100009")
                                    .setText(text)
                                    .build())
                            .getWebhookStatus()
                    == 200;
        }
    }

    @Test
    void restartLosesNoEventAndDeliversNoneTwice(@TempDir Path folder) throws Exception {
        Path store = folder.resolve("journal.db");
        Sandbox sandbox = Sandbox.start(0, store);
        try (SwitchboardClient client = sandbox.client()) {
            Reader reader = new Reader(client.subscribe(SubscribeRequest.newBuilder()
                    .setPosition(StartPosition.START_POSITION_EARLIEST)
                    .setFilter(RECEIVED)
                    .build()));
            Writer writer = new Writer(client);
            CompletableFuture<Void> writing = Threads.run(writer);

            reader.awaitMore(30);
            sandbox.kill();
            sandbox = Sandbox.start(sandbox.port(), store);
            reader.awaitMore(30);
            sandbox.stop();
            sandbox = Sandbox.start(sandbox.port(), store);
            reader.awaitMore(30);
            writer.stopped = true;
            writing.get(20, TimeUnit.SECONDS);

            // A last message. All earlier messages arrive before it.
            assertTrue(Writer.write(client, LAST));
            reader.ended.get(20, TimeUnit.SECONDS);

            List<String> texts = reader.texts;
            assertEquals(new HashSet<>(texts).size(), texts.size(), "no duplicates");
            List<String> expected = new ArrayList<>(writer.accepted);
            List<String> got = new ArrayList<>(texts);
            got.retainAll(new HashSet<>(expected));
            assertEquals(expected, got, "all accepted messages arrived in order");
        } finally {
            sandbox.close();
        }
    }

    /** A network that drops all packets silently. */
    @Test
    void silentStreamIsReopened() throws Exception {
        try (Sandbox sandbox = Sandbox.start();
                Proxy proxy = new Proxy(sandbox.port(), Proxy.Behavior.FORWARD);
                SwitchboardClient direct = sandbox.client();
                SwitchboardClient client =
                        SwitchboardClient.builder(proxy.address()).plaintext().build()) {
            Reader reader = new Reader(client.subscribe(SubscribeRequest.newBuilder()
                    .setPosition(StartPosition.START_POSITION_EARLIEST)
                    .setFilter(RECEIVED)
                    .setHeartbeatInterval(Duration.newBuilder().setSeconds(1))
                    .build()));
            assertTrue(Writer.write(direct, "before"));
            reader.awaitMore(1 - reader.texts.size());
            proxy.freeze();
            assertTrue(Writer.write(direct, "during"));
            assertTrue(Writer.write(direct, LAST));
            reader.ended.get(20, TimeUnit.SECONDS);
            assertEquals(List.of("before", "during"), reader.texts);
            assertEquals(2, proxy.connections());
        }
    }
}
