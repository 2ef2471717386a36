package switchboard.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.protobuf.Any;
import com.google.protobuf.Duration;
import com.google.protobuf.util.Durations;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.grpc.BindableService;
import io.grpc.Grpc;
import io.grpc.InsecureServerCredentials;
import io.grpc.Server;
import io.grpc.ServerBuilder;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.io.IOException;
import java.nio.file.Files;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.Named;

/** The conformance table, {@code clients/conformance}. Its README.md describes the format. */
final class Conformance {
    private Conformance() {}

    /** Returns the cases of a file by their names. */
    static Stream<Named<JsonObject>> cases(String file) throws IOException {
        String text = Files.readString(Sandbox.REPOSITORY.resolve("clients/conformance/" + file));
        JsonArray cases = JsonParser.parseString(text).getAsJsonArray();
        assertTrue(cases.size() >= 5, () -> file + " has only " + cases.size() + " cases");
        return elements(cases).map(JsonElement::getAsJsonObject).map(each -> Named.of(text(each, "name"), each));
    }

    /** Returns the object after checking that it has no other keys than these. */
    static JsonObject only(JsonElement element, String... known) {
        JsonObject object = element.getAsJsonObject();
        Set<String> unknown = new HashSet<>(object.keySet());
        unknown.removeAll(Set.of(known));
        assertEquals(Set.of(), unknown, () -> "unknown keys in " + object);
        return object;
    }

    /** Returns a text; empty if the key is absent. */
    static String text(JsonObject object, String key) {
        return object.has(key) ? object.get(key).getAsString() : "";
    }

    static long number(JsonObject object, String key, long absent) {
        return object.has(key) ? object.get(key).getAsLong() : absent;
    }

    /** Returns the elements of a list; none if the key is absent. */
    static List<JsonElement> list(JsonObject object, String key) {
        return object.has(key) ? elements(object.getAsJsonArray(key)).toList() : List.of();
    }

    static List<String> texts(JsonObject object, String key) {
        return list(object, key).stream().map(JsonElement::getAsString).toList();
    }

    static Map<String, String> map(JsonObject object, String key) {
        Map<String, String> map = new LinkedHashMap<>();
        if (object.has(key)) {
            object.getAsJsonObject(key)
                    .entrySet()
                    .forEach(e -> map.put(e.getKey(), e.getValue().getAsString()));
        }
        return map;
    }

    private static Stream<JsonElement> elements(JsonArray array) {
        return StreamSupport.stream(array.spliterator(), false);
    }

    /** Whether an element is this word, and not an object such as a status. */
    static boolean isWord(JsonElement element, String word) {
        return element.isJsonPrimitive() && element.getAsString().equals(word);
    }

    static Duration milliseconds(JsonObject object, String key) {
        return Durations.fromMillis(object.get(key).getAsLong());
    }

    /** Returns a status as the exception with which a server fails a call. */
    static StatusRuntimeException failure(JsonElement element) {
        JsonObject status =
                only(element, "code", "message", "reason", "metadata", "retry_delay_ms", "field_violations");
        var made = com.google.rpc.Status.newBuilder()
                .setCode(Status.Code.valueOf(text(status, "code")).value())
                .setMessage(text(status, "message"));
        if (status.has("reason")) {
            made.addDetails(Any.pack(ErrorInfo.newBuilder()
                    .setDomain("switchboard")
                    .setReason(text(status, "reason"))
                    .putAllMetadata(map(status, "metadata"))
                    .build()));
        }
        if (status.has("field_violations")) {
            BadRequest.Builder request = BadRequest.newBuilder();
            for (JsonElement each : list(status, "field_violations")) {
                JsonObject violation = only(each, "field", "reason", "description");
                request.addFieldViolationsBuilder()
                        .setField(text(violation, "field"))
                        .setReason(text(violation, "reason"))
                        .setDescription(text(violation, "description"));
            }
            made.addDetails(Any.pack(request.build()));
        }
        if (status.has("retry_delay_ms")) {
            made.addDetails(Any.pack(RetryInfo.newBuilder()
                    .setRetryDelay(milliseconds(status, "retry_delay_ms"))
                    .build()));
        }
        return StatusProto.toStatusRuntimeException(made.build());
    }

    /** Checks the code and the reason of an error. */
    static void checkError(JsonElement element, Throwable error) {
        JsonObject expected = only(element, "code", "reason");
        List<String> codes =
                expected.get("code").isJsonArray() ? texts(expected, "code") : List.of(text(expected, "code"));
        assertTrue(error instanceof StatusRuntimeException, () -> "got " + error);
        SwitchboardException failure = SwitchboardException.of(error);
        assertTrue(codes.contains(failure.getCode().name()), failure::toString);
        assertEquals(text(expected, "reason"), failure.getReason());
    }

    /** Checks a number, or a time in milliseconds. The bounds are one number, or an object. */
    static void checkBounds(String what, JsonElement bounds, long got) {
        if (bounds.isJsonPrimitive()) {
            assertEquals(bounds.getAsLong(), got, what);
            return;
        }
        JsonObject object = only(bounds, "at_least", "at_most");
        long atLeast = object.get("at_least").getAsLong();
        long atMost = object.get("at_most").getAsLong();
        assertTrue(got >= atLeast && got <= atMost, () -> what + " is " + got + ", not in " + object);
    }

    /** The server of a case. */
    static final class ScriptedServer implements AutoCloseable {
        private final Server server;

        ScriptedServer(int port, BindableService... services) throws IOException {
            ServerBuilder<?> builder = Grpc.newServerBuilderForPort(port, InsecureServerCredentials.create());
            for (BindableService service : services) {
                builder.addService(service);
            }
            server = builder.build().start();
        }

        String address() {
            return "127.0.0.1:" + server.getPort();
        }

        @Override
        public void close() {
            server.shutdownNow();
        }
    }
}
