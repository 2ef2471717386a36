package switchboard.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static switchboard.client.Conformance.checkBounds;
import static switchboard.client.Conformance.isWord;
import static switchboard.client.Conformance.list;
import static switchboard.client.Conformance.number;
import static switchboard.client.Conformance.only;
import static switchboard.client.Conformance.text;
import static switchboard.client.Conformance.texts;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import com.google.protobuf.Message;
import com.google.protobuf.Timestamp;
import com.google.protobuf.util.Durations;
import io.grpc.Context;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedList;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import switchboard.client.Conformance.ScriptedServer;
import switchboard.v1.AcknowledgeRequest;
import switchboard.v1.AcknowledgeResponse;
import switchboard.v1.ClosingReason;
import switchboard.v1.Event;
import switchboard.v1.EventServiceGrpc;
import switchboard.v1.ExpiredPolicy;
import switchboard.v1.Reason;
import switchboard.v1.StartPosition;
import switchboard.v1.SubscribeClosing;
import switchboard.v1.SubscribeGap;
import switchboard.v1.SubscribeHeartbeat;
import switchboard.v1.SubscribeRequest;
import switchboard.v1.SubscribeResponse;
import switchboard.v1.SubscribeStarted;
import switchboard.v1.SubscriptionServiceGrpc;

/** {@code streams.json} of the conformance table. */
@Execution(ExecutionMode.CONCURRENT)
class StreamsConformanceTest {
    private static final Duration LONG = Duration.ofSeconds(20);

    /** How a program cancels a loop. Only cases with a cancellation run for each. */
    private enum Cancel {
        CLOSE,
        CLIENT_CLOSE,
        INTERRUPT,
        CONTEXT
    }

    static Stream<Arguments> streams() throws IOException {
        return Conformance.cases("streams.json").flatMap(each -> {
            boolean cancels = each.getPayload().get("program").toString().contains("\"cancel\"");
            return Stream.of(Cancel.values())
                    .filter(way -> cancels || way == Cancel.CLOSE)
                    .map(way -> Arguments.of(each, way));
        });
    }

    private static SubscribeRequest subscribe(JsonElement element) {
        JsonObject fields = only(
                element,
                "subscription_id",
                "position",
                "after_cursor",
                "since_seconds",
                "max_events",
                "expired_policy");
        SubscribeRequest.Builder request = SubscribeRequest.newBuilder().setMaxEvents(number(fields, "max_events", 0));
        if (fields.has("subscription_id")) {
            request.setSubscriptionId(text(fields, "subscription_id"));
        }
        if (fields.has("position")) {
            request.setPosition(StartPosition.valueOf(text(fields, "position")));
        }
        if (fields.has("after_cursor")) {
            request.setAfterCursor(text(fields, "after_cursor"));
        }
        if (fields.has("since_seconds")) {
            request.setSince(Timestamp.newBuilder().setSeconds(number(fields, "since_seconds", 0)));
        }
        if (fields.has("expired_policy")) {
            request.setExpiredPolicy(ExpiredPolicy.valueOf(text(fields, "expired_policy")));
        }
        return request.build();
    }

    /** Returns the request of an expected call. */
    private static Message call(JsonElement element) {
        JsonObject call = only(element, "subscribe", "acknowledge");
        if (call.has("subscribe")) {
            return subscribe(call.get("subscribe"));
        }
        JsonObject fields = only(call.get("acknowledge"), "cursor", "generation");
        return AcknowledgeRequest.newBuilder()
                .setSubscriptionId("shop")
                .setCursor(text(fields, "cursor"))
                .setGeneration(number(fields, "generation", 0))
                .build();
    }

    private static SubscribeGap gap(JsonElement element) {
        JsonObject fields = only(element, "after_cursor", "resume_cursor", "missed");
        return SubscribeGap.newBuilder()
                .setAfterCursor(text(fields, "after_cursor"))
                .setResumeCursor(text(fields, "resume_cursor"))
                .setMissed(number(fields, "missed", 0))
                .build();
    }

    /** Returns the response that a step sends. */
    private static SubscribeResponse response(String step, JsonElement value) {
        SubscribeResponse.Builder response = SubscribeResponse.newBuilder();
        switch (step) {
            case "started" -> {
                JsonObject fields = only(value, "cursor", "oldest_cursor", "heartbeat_ms", "generation");
                response.setStarted(SubscribeStarted.newBuilder()
                        .setCursor(text(fields, "cursor"))
                        .setOldestCursor(text(fields, "oldest_cursor"))
                        .setHeartbeatInterval(Durations.fromMillis(number(fields, "heartbeat_ms", 15_000)))
                        .setGeneration(number(fields, "generation", 0)));
            }
            case "event" ->
                response.setEvent(
                        Event.newBuilder().setCursor(value.getAsString()).setEventId(value.getAsString()));
            case "heartbeat" ->
                response.setHeartbeat(SubscribeHeartbeat.newBuilder().setCursor(value.getAsString()));
            case "gap" -> response.setGap(gap(value));
            case "closing" -> {
                JsonObject fields = only(value, "reason", "cursor", "retry_delay_ms");
                SubscribeClosing.Builder closing = SubscribeClosing.newBuilder()
                        .setReason(ClosingReason.valueOf(text(fields, "reason")))
                        .setCursor(text(fields, "cursor"));
                if (fields.has("retry_delay_ms")) {
                    closing.setRetryDelay(Conformance.milliseconds(fields, "retry_delay_ms"));
                }
                response.setClosing(closing);
            }
            default -> throw new AssertionError("unknown step: " + step);
        }
        return response.build();
    }

    private record Received(Message request, boolean accepted) {}

    /** The server's side of a case. */
    private static final class Script {
        private final List<JsonElement> streams;
        private final List<JsonElement> replies;
        final List<Received> calls = new ArrayList<>();
        final List<Long> opened = new ArrayList<>();
        final List<Long> ended = new ArrayList<>();
        final List<Throwable> failures = new ArrayList<>();
        private int acknowledgements;

        Script(JsonObject each) {
            streams = list(each, "streams");
            replies = list(each, "acknowledge");
        }

        ScriptedServer serve() throws IOException {
            return new ScriptedServer(
                    0,
                    new EventServiceGrpc.EventServiceImplBase() {
                        @Override
                        public void subscribe(SubscribeRequest request, StreamObserver<SubscribeResponse> stream) {
                            ((ServerCallStreamObserver<SubscribeResponse>) stream).setOnCancelHandler(() -> {});
                            try {
                                open(request, stream);
                            } catch (InterruptedException | RuntimeException | AssertionError e) {
                                synchronized (Script.this) {
                                    failures.add(e);
                                }
                            }
                        }
                    },
                    new SubscriptionServiceGrpc.SubscriptionServiceImplBase() {
                        @Override
                        public void acknowledge(AcknowledgeRequest request, StreamObserver<AcknowledgeResponse> call) {
                            reply(request, call);
                        }
                    });
        }

        private void open(SubscribeRequest request, StreamObserver<SubscribeResponse> stream)
                throws InterruptedException {
            JsonElement steps;
            synchronized (this) {
                calls.add(new Received(request, false));
                opened.add(System.nanoTime());
                assertTrue(opened.size() <= streams.size(), "an unexpected stream");
                steps = streams.get(opened.size() - 1);
            }
            for (JsonElement element : steps.getAsJsonArray()) {
                assertEquals(1, element.getAsJsonObject().size());
                String step = element.getAsJsonObject().keySet().iterator().next();
                JsonElement value = element.getAsJsonObject().get(step);
                switch (step) {
                    case "await_acknowledgements" -> awaitAcknowledgements(value.getAsInt());
                    case "end" -> {
                        if (!isWord(value, "silence")) {
                            synchronized (this) {
                                ended.add(System.nanoTime());
                            }
                        }
                        if (isWord(value, "ok")) {
                            stream.onCompleted();
                        } else if (!isWord(value, "silence")) {
                            stream.onError(Conformance.failure(value));
                        }
                    }
                    default -> stream.onNext(response(step, value));
                }
            }
        }

        private synchronized void awaitAcknowledgements(int count) throws InterruptedException {
            long end = System.nanoTime() + LONG.toNanos();
            while (acknowledgements < count) {
                long left = TimeUnit.NANOSECONDS.toMillis(end - System.nanoTime());
                assertTrue(left > 0, "acknowledgements are missing");
                wait(left);
            }
        }

        private synchronized void reply(AcknowledgeRequest request, StreamObserver<AcknowledgeResponse> call) {
            JsonElement reply =
                    acknowledgements < replies.size() ? replies.get(acknowledgements) : new JsonPrimitive("ok");
            acknowledgements++;
            boolean accepted = isWord(reply, "ok");
            calls.add(new Received(request, accepted));
            notifyAll();
            if (accepted) {
                call.onNext(AcknowledgeResponse.newBuilder()
                        .setCursor(request.getCursor())
                        .build());
                call.onCompleted();
            } else {
                call.onError(Conformance.failure(reply));
            }
        }

        /** Checks the calls. Between the expected ones, optional calls and repetitions of accepted ones are permitted. */
        synchronized void check(JsonObject expected) {
            assertEquals(List.of(), failures);
            List<Message> left = new LinkedList<>(list(expected, "calls").stream()
                    .map(StreamsConformanceTest::call)
                    .toList());
            List<Message> optional = list(expected, "optional").stream()
                    .map(StreamsConformanceTest::call)
                    .toList();
            for (int i = 0; i < calls.size(); i++) {
                Message got = calls.get(i).request;
                if (!left.isEmpty() && left.get(0).equals(got)) {
                    left.remove(0);
                } else {
                    boolean repeated =
                            calls.subList(0, i).stream().anyMatch(call -> call.accepted && call.request.equals(got));
                    assertTrue(repeated || optional.contains(got), () -> "unexpected " + got + " in " + calls);
                }
            }
            assertEquals(List.of(), left, () -> "calls are missing in " + calls);
            List<JsonElement> pauses = list(expected, "pauses");
            for (int i = 0; i < pauses.size(); i++) {
                long pause = TimeUnit.NANOSECONDS.toMillis(opened.get(i + 1) - ended.get(i));
                checkBounds("the pause", pauses.get(i), pause);
            }
        }
    }

    private static final class ProgramFailure extends RuntimeException {
        private static final long serialVersionUID = 1;
    }

    /** The program's side of a case. */
    private static final class Program {
        private final Queue<JsonElement> left;
        private final Cancel way;
        private final Context.CancellableContext context = Context.current().withCancellation();
        private SwitchboardClient client;
        private EventStream events;
        private Event previous;
        boolean byItself;
        long reconnects;

        Program(JsonObject each, Cancel way) {
            left = new LinkedList<>(list(each, "program"));
            this.way = way;
        }

        void run(SwitchboardClient client, SubscribeRequest request) throws Exception {
            this.client = client;
            SubscribeOptions options =
                    SubscribeOptions.defaults().onGap(this::handle).onReconnect(cause -> reconnects++);
            try (EventStream opened = context.call(() -> client.subscribe(request, options))) {
                events = opened;
                for (Event event : opened) {
                    if (!handle(event)) {
                        break;
                    }
                    previous = event;
                }
            } finally {
                Thread.interrupted();
                context.cancel(null);
            }
        }

        private void handle(SubscribeGap gap) {
            JsonObject step = only(left.remove(), "gap", "do");
            assertEquals(gap(step.get("gap")), gap);
            assertEquals(List.of("finish"), texts(step, "do"));
        }

        /** The loop's body. Returns whether the loop continues. */
        private boolean handle(Event event) throws Exception {
            assertFalse(byItself, () -> "got " + event.getCursor() + " after the program had ended");
            JsonObject step = only(left.remove(), "event", "do");
            assertEquals(text(step, "event"), event.getCursor());
            for (String action : texts(step, "do")) {
                switch (action) {
                    case "finish" -> {}
                    case "leave" -> {
                        byItself = true;
                        return false;
                    }
                    case "fail" -> {
                        byItself = true;
                        throw new ProgramFailure();
                    }
                    case "cancel" -> {
                        byItself = true;
                        cancel();
                    }
                    case "acknowledge" -> events.acknowledge(event, LONG);
                    case "acknowledge_stale" -> {
                        var e = assertThrows(SwitchboardException.class, () -> events.acknowledge(event, LONG));
                        assertEquals(Reason.REASON_SUBSCRIPTION_GENERATION_STALE, Reasons.parse(e.getReason()));
                    }
                    case "acknowledge_previous" -> events.acknowledge(previous, LONG);
                    case "acknowledge_foreign" ->
                        events.acknowledge(
                                Event.newBuilder().setCursor("foreign").build(), LONG);
                    default -> throw new AssertionError("unknown action: " + action);
                }
            }
            return true;
        }

        private void cancel() throws Exception {
            switch (way) {
                case CLOSE -> Threads.run(events::close).get(20, TimeUnit.SECONDS);
                case CLIENT_CLOSE -> Threads.run(client::close).get(20, TimeUnit.SECONDS);
                case INTERRUPT -> Thread.currentThread().interrupt();
                case CONTEXT -> context.cancel(null);
            }
        }
    }

    @ParameterizedTest
    @MethodSource
    void streams(JsonObject each, Cancel way) throws Exception {
        only(each, "name", "why", "request", "streams", "acknowledge", "program", "expect");
        JsonObject expected = only(each.get("expect"), "end", "calls", "optional", "pauses", "reconnects");
        Script script = new Script(each);
        Program program = new Program(each, way);
        Exception end = null;
        try (ScriptedServer server = script.serve();
                SwitchboardClient client = SwitchboardClient.builder(server.address())
                        .plaintext()
                        .finalAcknowledgeTimeout(LONG)
                        .build()) {
            program.run(client, subscribe(each.get("request")));
        } catch (StatusRuntimeException | ProgramFailure e) {
            end = e;
        }
        script.check(expected);
        assertTrue(program.left.isEmpty(), () -> "the program did not get " + program.left);
        if (isWord(expected.get("end"), "done")) {
            assertNull(end);
            assertFalse(program.byItself);
        } else if (isWord(expected.get("end"), "program")) {
            assertTrue(program.byItself);
            boolean cancelled = end instanceof SwitchboardException e && e.getCode() == Status.Code.CANCELLED;
            assertTrue(end == null || end instanceof ProgramFailure || cancelled, "" + end);
        } else {
            Conformance.checkError(expected.get("end"), end);
        }
        JsonElement reconnects =
                expected.has("reconnects") ? expected.get("reconnects") : new JsonPrimitive(script.opened.size() - 1);
        checkBounds("the number of reconnects", reconnects, program.reconnects);
    }
}
