package switchboard.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static switchboard.client.Conformance.checkBounds;
import static switchboard.client.Conformance.isWord;
import static switchboard.client.Conformance.list;
import static switchboard.client.Conformance.number;
import static switchboard.client.Conformance.only;
import static switchboard.client.Conformance.text;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.Stream;
import org.junit.jupiter.api.Named;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import switchboard.client.Conformance.ScriptedServer;
import switchboard.v1.ContactServiceGrpc;
import switchboard.v1.GetMessageRequest;
import switchboard.v1.GetMessageResponse;
import switchboard.v1.MessageServiceGrpc;
import switchboard.v1.SendMessageRequest;
import switchboard.v1.SendMessageResponse;
import switchboard.v1.UpdateContactRequest;
import switchboard.v1.UpdateContactResponse;

/** {@code calls.json} of the conformance table. */
@Execution(ExecutionMode.CONCURRENT)
class CallsConformanceTest {
    static Stream<Named<JsonObject>> calls() throws IOException {
        return Conformance.cases("calls.json");
    }

    /** The server's side of a case. */
    private static final class Script {
        private final List<JsonElement> replies;
        final List<String> methods = new ArrayList<>();
        final List<String> requestIds = new ArrayList<>();
        final List<Long> arrivals = new ArrayList<>();
        final List<Long> ends = new ArrayList<>();

        Script(JsonObject each) {
            replies = list(each, "server");
        }

        synchronized <R> void reply(String method, String requestId, StreamObserver<R> call, R response) {
            arrivals.add(System.nanoTime());
            methods.add(method);
            requestIds.add(requestId);
            JsonElement reply = replies.get(Math.min(arrivals.size(), replies.size()) - 1);
            if (isWord(reply, "ok")) {
                call.onNext(response);
                call.onCompleted();
            } else if (!isWord(reply, "silence")) {
                call.onError(Conformance.failure(reply));
            }
            ends.add(System.nanoTime());
        }

        ScriptedServer serve(int port) throws IOException {
            return new ScriptedServer(
                    port,
                    new MessageServiceGrpc.MessageServiceImplBase() {
                        @Override
                        public void getMessage(GetMessageRequest request, StreamObserver<GetMessageResponse> call) {
                            reply("GetMessage", "", call, GetMessageResponse.getDefaultInstance());
                        }

                        @Override
                        public void sendMessage(SendMessageRequest request, StreamObserver<SendMessageResponse> call) {
                            reply(
                                    "SendMessage",
                                    request.getRequestId(),
                                    call,
                                    SendMessageResponse.getDefaultInstance());
                        }
                    },
                    new ContactServiceGrpc.ContactServiceImplBase() {
                        @Override
                        public void updateContact(
                                UpdateContactRequest request, StreamObserver<UpdateContactResponse> call) {
                            reply("UpdateContact", "", call, UpdateContactResponse.getDefaultInstance());
                        }
                    });
        }
    }

    @ParameterizedTest
    @MethodSource
    void calls(JsonObject each) throws Exception {
        only(each, "name", "why", "call", "request_id", "timeout_ms", "server_starts_after_ms", "server", "expect");
        Script script = new Script(each);
        long startsAfter = number(each, "server_starts_after_ms", 0);
        if (startsAfter == 0) {
            try (ScriptedServer server = script.serve(0)) {
                run(each, script, server.address());
            }
            return;
        }
        int port;
        try (ServerSocket unused = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            port = unused.getLocalPort();
        }
        CompletableFuture<ScriptedServer> later = Threads.supply(() -> {
            LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(startsAfter));
            try {
                return script.serve(port);
            } catch (IOException e) {
                throw new AssertionError(e);
            }
        });
        try {
            run(each, script, "127.0.0.1:" + port);
        } finally {
            later.get(20, TimeUnit.SECONDS).close();
        }
    }

    private static void run(JsonObject each, Script script, String address) {
        JsonObject expected = only(each.get("expect"), "result", "attempts", "request_id", "pauses", "elapsed");
        StatusRuntimeException failure = null;
        long begun;
        long elapsed;
        try (SwitchboardClient client =
                SwitchboardClient.builder(address).plaintext().build()) {
            begun = System.nanoTime();
            try {
                call(client, each);
            } catch (StatusRuntimeException e) {
                failure = e;
            }
            elapsed = millis(System.nanoTime() - begun);
        }
        synchronized (script) {
            assertEquals(Set.of(text(each, "call")), Set.copyOf(script.methods));
            List<String> ids = new ArrayList<>(script.requestIds);
            if (isWord(expected.get("result"), "ok")) {
                assertNull(failure);
            } else {
                Conformance.checkError(expected.get("result"), failure);
                ids.add(SwitchboardException.of(failure).getRequestId());
            }
            checkBounds("the number of attempts", expected.get("attempts"), script.arrivals.size());
            switch (text(expected, "request_id")) {
                case "none" -> assertEquals(Set.of(""), Set.copyOf(ids));
                case "generated" -> {
                    assertEquals(1, Set.copyOf(ids).size(), ids::toString);
                    assertNotEquals("", ids.get(0));
                }
                default -> assertEquals(Set.of(text(expected, "request_id")), Set.copyOf(ids));
            }
            List<JsonElement> pauses = list(expected, "pauses");
            for (int i = 0; i < pauses.size(); i++) {
                checkBounds("the pause", pauses.get(i), millis(script.arrivals.get(i + 1) - script.ends.get(i)));
            }
            if (expected.has("elapsed")) {
                checkBounds("the time of the call", expected.get("elapsed"), elapsed);
            }
        }
    }

    private static long millis(long nanos) {
        return TimeUnit.NANOSECONDS.toMillis(nanos);
    }

    private static void call(SwitchboardClient client, JsonObject each) {
        var messages = client.messages();
        var contacts = client.contacts();
        if (each.has("timeout_ms")) {
            Duration timeout = Duration.ofMillis(number(each, "timeout_ms", 0));
            messages = messages.withDeadlineAfter(timeout);
            contacts = contacts.withDeadlineAfter(timeout);
        }
        switch (text(each, "call")) {
            case "GetMessage" -> messages.getMessage(GetMessageRequest.getDefaultInstance());
            case "SendMessage" ->
                messages.sendMessage(SendMessageRequest.newBuilder()
                        .setRequestId(text(each, "request_id"))
                        .build());
            case "UpdateContact" -> contacts.updateContact(UpdateContactRequest.getDefaultInstance());
            default -> throw new AssertionError("unknown call: " + each);
        }
    }
}
