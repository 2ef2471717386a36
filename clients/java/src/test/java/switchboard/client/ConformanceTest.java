package switchboard.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static switchboard.client.Conformance.list;
import static switchboard.client.Conformance.map;
import static switchboard.client.Conformance.only;
import static switchboard.client.Conformance.text;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import io.grpc.StatusRuntimeException;
import java.io.IOException;
import java.time.Duration;
import java.util.Locale;
import java.util.stream.Stream;
import org.junit.jupiter.api.Named;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import switchboard.examples.Answer;
import switchboard.v1.Failure;
import switchboard.v1.FieldViolation;
import switchboard.v1.GetMessageRequest;
import switchboard.v1.Provider;

/** The files of the conformance table that need no scripted server of their own. */
class ConformanceTest {
    static Stream<Named<JsonObject>> failures() throws IOException {
        return Conformance.cases("failures.json");
    }

    @ParameterizedTest
    @MethodSource
    void failures(JsonObject each) throws Exception {
        only(each, "name", "why", "status", "failure", "error");
        if (each.has("status")) {
            StatusRuntimeException failure = Conformance.failure(each.get("status"));
            try (FakeServer server = new FakeServer();
                    SwitchboardClient client = SwitchboardClient.builder(server.address())
                            .plaintext()
                            .maxAttempts(1)
                            .build()) {
                server.failures = number -> failure;
                var e = assertThrows(StatusRuntimeException.class, () -> client.messages()
                        .withDeadlineAfter(Duration.ofSeconds(20))
                        .getMessage(GetMessageRequest.getDefaultInstance()));
                check(each.getAsJsonObject("error"), SwitchboardException.of(e));
            }
        }
        if (each.has("failure")) {
            check(each.getAsJsonObject("error"), SwitchboardException.of(message(each.get("failure"))));
        }
    }

    private static Failure message(JsonElement element) {
        Failure.Builder failure = Failure.newBuilder();
        element.getAsJsonObject().entrySet().forEach(entry -> {
            String key = entry.getKey();
            JsonElement value = entry.getValue();
            switch (key) {
                case "code" -> failure.setCode(value.getAsInt());
                case "provider" -> failure.setProvider(Provider.valueOf(value.getAsString()));
                case "retry_delay_ms" ->
                    failure.setRetryDelay(Conformance.milliseconds(element.getAsJsonObject(), key));
                case "metadata" -> failure.putAllMetadata(map(element.getAsJsonObject(), key));
                case "field_violations" -> {
                    for (JsonElement each : list(element.getAsJsonObject(), key)) {
                        JsonObject violation = only(each, "field", "reason", "description");
                        failure.addFieldViolations(FieldViolation.newBuilder()
                                .setField(text(violation, "field"))
                                .setReason(text(violation, "reason"))
                                .setDescription(text(violation, "description")));
                    }
                }
                default -> {
                    var field = Failure.getDescriptor().findFieldByName(key);
                    failure.setField(field, value.getAsString());
                }
            }
        });
        return failure.build();
    }

    private static void check(JsonObject expected, SwitchboardException got) {
        JsonObject actual = new JsonObject();
        actual.addProperty("code", got.getCode().name());
        actual.addProperty("message", got.getStatus().getDescription());
        actual.addProperty("reason", got.getReason());
        actual.addProperty("domain", got.getDomain());
        actual.addProperty("constant", Reasons.parse(got.getReason()).name());
        JsonObject metadata = new JsonObject();
        got.getMetadata().forEach(metadata::addProperty);
        actual.add("metadata", metadata);
        actual.addProperty("provider_message", got.getProviderMessage());
        var violations = new JsonArray();
        for (FieldViolation each : got.getFieldViolations()) {
            JsonObject violation = new JsonObject();
            violation.addProperty("field", each.getField());
            violation.addProperty("reason", each.getReason());
            violation.addProperty("description", each.getDescription());
            violations.add(violation);
        }
        actual.add("field_violations", violations);
        actual.add(
                "retry_delay_ms",
                got.getRetryDelay()
                        .<JsonElement>map(delay -> new JsonPrimitive(delay.toMillis()))
                        .orElse(JsonNull.INSTANCE));
        assertEquals(expected, actual);
        String providerMessage = text(expected, "provider_message");
        assertFalse(!providerMessage.isEmpty() && got.toString().contains(providerMessage), got::toString);
    }

    static Stream<Named<JsonObject>> answers() throws IOException {
        return Conformance.cases("answers.json");
    }

    @ParameterizedTest
    @MethodSource
    void answers(JsonObject each) {
        only(each, "name", "why", "status", "then");
        SwitchboardException failure = SwitchboardException.of(Conformance.failure(each.get("status")));
        assertEquals(Answer.Decision.valueOf(text(each, "then").toUpperCase(Locale.ROOT)), Answer.decide(failure));
    }
}
