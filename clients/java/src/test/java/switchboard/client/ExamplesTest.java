package switchboard.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.BufferedReader;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import switchboard.sandbox.v1.ClearFaultsRequest;
import switchboard.sandbox.v1.FaultKind;
import switchboard.sandbox.v1.InjectMessageRequest;
import switchboard.sandbox.v1.ListCallsRequest;
import switchboard.sandbox.v1.SetFaultRequest;
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
            while (subscriptions() == 0) {
                assertTrue(process.isAlive());
                LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(20));
            }
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

    @Test
    void answerContinuesAfterARefusedReply() throws Exception {
        SetFaultRequest.Builder fault = SetFaultRequest.newBuilder().setAccount("demo-connectly");
        Process process = run("Answer");
        try (BufferedReader out = process.inputReader()) {
            while (subscriptions() == 0) {
                assertTrue(process.isAlive());
                LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(20));
            }
            Sandbox.faults(client)
                    .setFault(fault.setKind(FaultKind.FAULT_KIND_STATUS)
                            .setHttpStatus(401)
                            .setTimes(1)
                            .build());
            inject("Is this one refused?");
            inject("And this one?");
            String refused = out.readLine();
            assertTrue(refused.startsWith("no answer to evt_"), refused);
            assertTrue(refused.contains("PROVIDER_CREDENTIALS_REJECTED"), refused);
            String answered = out.readLine();
            assertTrue(answered.startsWith("answered: evt_"), answered);

            Sandbox.faults(client)
                    .setFault(fault.setKind(FaultKind.FAULT_KIND_REFUSE)
                            .clearHttpStatus()
                            .clearTimes()
                            .build());
            inject("Are you open today?");
            List<String> end = out.lines().toList();
            assertTrue(end.get(0).contains("UNAVAILABLE"), end::toString);
            assertTrue(process.waitFor(20, TimeUnit.SECONDS));
            assertEquals(1, process.exitValue());
            Sandbox.faults(client)
                    .clearFaults(ClearFaultsRequest.newBuilder()
                            .setAccount("demo-connectly")
                            .build());
            assertTrue(answered(answered).startsWith("answered: evt_"));
        } finally {
            process.destroyForcibly();
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
