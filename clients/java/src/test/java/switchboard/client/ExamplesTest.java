package switchboard.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.Duration;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.MethodDescriptor;
import java.io.BufferedReader;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import switchboard.examples.Answer;
import switchboard.sandbox.v1.FaultKind;
import switchboard.sandbox.v1.InjectMessageRequest;
import switchboard.sandbox.v1.ListCallsRequest;
import switchboard.sandbox.v1.SetFaultRequest;
import switchboard.v1.GetSubscriptionRequest;
import switchboard.v1.ListSubscriptionsRequest;

/**
 * Runs each example as a process. If {@code consumer.class.path} is set, as {@code ./test} does, the examples run as the
 * program of a project that depends on the installed client.
 */
class ExamplesTest {
    @TempDir
    private Path folder;

    private Sandbox sandbox;
    private SwitchboardClient client;

    @BeforeEach
    void start() throws Exception {
        sandbox = Sandbox.start();
        client = sandbox.client();
    }

    @AfterEach
    void stop() {
        client.close();
        sandbox.close();
    }

    private Process run(String example) throws Exception {
        String here = System.getProperty("surefire.test.class.path", System.getProperty("java.class.path"));
        String classes = System.getProperty("consumer.class.path", here);
        ProcessBuilder builder = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-XX:TieredStopAtLevel=1",
                        "-XX:+UseSerialGC",
                        "-cp",
                        classes,
                        "switchboard.examples." + example)
                .directory(folder.toFile())
                .redirectErrorStream(true);
        builder.environment().put("SWITCHBOARD_ADDRESS", sandbox.address());
        return builder.start();
    }

    private List<String> output(String example) throws Exception {
        Process process = run(example);
        try (BufferedReader out = process.inputReader()) {
            List<String> lines = out.lines().toList();
            assertTrue(process.waitFor(10, TimeUnit.SECONDS));
            assertEquals(0, process.exitValue(), () -> String.join("\n", lines));
            return lines;
        } finally {
            process.destroyForcibly();
        }
    }

    private List<String> operations(String account) {
        return Sandbox.faults(client)
                .listCalls(ListCallsRequest.newBuilder().setAccount(account).build())
                .getCallsList()
                .stream()
                .map(call -> call.getOperation())
                .toList();
    }

    @Test
    void sendText() throws Exception {
        List<String> lines = output("SendText");
        assertTrue(lines.get(0).startsWith("accepted: msg_"), lines::toString);
        assertEquals(1, lines.size(), lines::toString);
        assertTrue(operations("demo-connectly").contains("send_message"));
    }

    @Test
    void sendTemplate() throws Exception {
        List<String> lines = output("SendTemplate");
        assertTrue(lines.get(0).startsWith("accepted: msg_"), lines::toString);
        assertTrue(operations("demo-connectby").contains("send_template"));
    }

    @Test
    void uploadMedia() throws Exception {
        List<String> lines = output("UploadMedia");
        assertTrue(lines.get(0).startsWith("accepted: msg_"), lines::toString);
        assertTrue(lines.get(1).startsWith("uploaded: http"), lines::toString);
    }

    @Test
    void answer() throws Exception {
        Process process = run("Answer");
        String first;
        try (BufferedReader out = process.inputReader()) {
            awaitSubscription(process);
            inject("Do you deliver on Sundays?");
            first = out.readLine();
        } finally {
            process.destroyForcibly();
        }
        assertTrue(first.startsWith("answered: evt_"), first);
        assertEquals(List.of("send_message"), operations("demo-connectly"));

        // A restart resumes. It answers no customer twice, even if the first event was not acknowledged.
        inject("And on Mondays?");
        String second = answered(first);
        assertTrue(second.startsWith("answered: evt_"), second);
        assertNotEquals(first, second);
        assertEquals(List.of("send_message", "send_message"), operations("demo-connectly"));
    }

    private void awaitSubscription(Process process) {
        while (subscriptions() == 0) {
            assertTrue(process.isAlive());
            LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(20));
        }
    }

    private void fault(int httpStatus, int times) {
        Sandbox.faults(client)
                .setFault(SetFaultRequest.newBuilder()
                        .setAccount("demo-connectly")
                        .setKind(FaultKind.FAULT_KIND_STATUS)
                        .setHttpStatus(httpStatus)
                        .setTimes(times)
                        .build());
    }

    @Test
    void answerWaitsOutThrottling() throws Exception {
        Process process = run("Answer");
        try (BufferedReader out = process.inputReader()) {
            awaitSubscription(process);
            fault(429, 1);
            inject("Do you deliver?");
            inject("And abroad?");
            assertTrue(out.readLine().startsWith("answered: evt_"));
            assertTrue(out.readLine().startsWith("answered: evt_"));
        } finally {
            process.destroyForcibly();
        }
    }

    @Test
    void answerKeepsTheEventIfAnOperatorMustAct() throws Exception {
        Process process = run("Answer");
        try (BufferedReader out = process.inputReader()) {
            awaitSubscription(process);
            fault(401, 1);
            inject("Is this one refused?");
            List<String> end = out.lines().toList();
            assertTrue(end.toString().contains("PROVIDER_CREDENTIALS_REJECTED"), end::toString);
            assertTrue(process.waitFor(20, TimeUnit.SECONDS));
            assertEquals(1, process.exitValue());
            assertTrue(answered("").startsWith("answered: evt_"), "redelivered after a restart");
        } finally {
            process.destroyForcibly();
        }
    }

    @Test
    void answerSurvivesARestartOfTheServer() throws Exception {
        sandbox.close();
        Path store = folder.resolve("journal.db");
        sandbox = Sandbox.start(sandbox.port(), store);
        Process process = run("Answer");
        try (BufferedReader out = process.inputReader()) {
            awaitSubscription(process);
            inject("Do you deliver?");
            String first = answer(out);
            inject("And on Sundays?");
            sandbox.kill();
            assertFalse(process.waitFor(4, TimeUnit.SECONDS), "the process has ended");
            sandbox = Sandbox.start(sandbox.port(), store);
            String second = answer(out);
            assertTrue(second.startsWith("answered: evt_"), second);
            assertNotEquals(first, second);
        } finally {
            process.destroyForcibly();
        }
    }

    /** Returns the next line that is not a record of the logger. */
    private static String answer(BufferedReader out) throws IOException {
        String line = out.readLine();
        while (line != null && !line.startsWith("answered: ") && !line.startsWith("no answer ")) {
            line = out.readLine();
        }
        return line;
    }

    /** A server that shuts down stops its threads by an interrupt, which also cancels the answer. */
    @Test
    void interruptedAnswerKeepsItsEvent() throws Exception {
        CountDownLatch sending = new CountDownLatch(1);
        try (SwitchboardClient answering = sandbox.client(channel -> channel.intercept(new ClientInterceptor() {
            @Override
            public <Q, R> ClientCall<Q, R> interceptCall(
                    MethodDescriptor<Q, R> method, CallOptions options, Channel next) {
                if ("SendMessage".equals(method.getBareMethodName())) {
                    sending.countDown();
                }
                return next.newCall(method, options);
            }
        }))) {
            Sandbox.faults(client)
                    .setFault(SetFaultRequest.newBuilder()
                            .setAccount("demo-connectly")
                            .setKind(FaultKind.FAULT_KIND_LATENCY)
                            .setLatency(Duration.newBuilder().setSeconds(20))
                            .build());
            inject("Do you deliver?");
            ExecutorService executor = Executors.newSingleThreadExecutor();
            var ended = executor.submit(() -> {
                Answer.run(answering);
                return null;
            });
            assertTrue(sending.await(20, TimeUnit.SECONDS));
            executor.shutdownNow();
            var e = assertThrows(ExecutionException.class, () -> ended.get(20, TimeUnit.SECONDS));
            assertInstanceOf(InterruptedException.class, e.getCause());
            var stored = client.subscriptions()
                    .withDeadlineAfter(20, TimeUnit.SECONDS)
                    .getSubscription(GetSubscriptionRequest.newBuilder()
                            .setSubscriptionId("answer")
                            .build())
                    .getSubscription();
            assertFalse(stored.hasAcknowledgeTime(), "the question is not acknowledged");
        }
    }

    /** Runs the example until it prints an answer other than {@code known}. */
    private String answered(String known) throws Exception {
        Process process = run("Answer");
        try (BufferedReader out = process.inputReader()) {
            String line = out.readLine();
            return line.equals(known) ? out.readLine() : line;
        } finally {
            process.destroyForcibly();
        }
    }

    private int subscriptions() {
        return client.subscriptions()
                .withDeadlineAfter(20, TimeUnit.SECONDS)
                .listSubscriptions(ListSubscriptionsRequest.getDefaultInstance())
                .getSubscriptionsCount();
    }

    private void inject(String text) {
        Sandbox.faults(client)
                .injectMessage(InjectMessageRequest.newBuilder()
                        .setAccount("demo-connectly")
                        .setSender("+15550100009")
                        .setText(text)
                        .build());
    }
}
