package switchboard.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static switchboard.client.Conformance.isWord;
import static switchboard.client.Conformance.list;
import static switchboard.client.Conformance.map;
import static switchboard.client.Conformance.only;
import static switchboard.client.Conformance.text;
import static switchboard.client.Conformance.texts;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.protobuf.FieldMask;
import com.google.protobuf.Message;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.function.Function;
import java.util.stream.Stream;
import org.junit.jupiter.api.Named;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import switchboard.client.Conformance.ScriptedServer;
import switchboard.v1.CreateSubscriptionRequest;
import switchboard.v1.CreateSubscriptionResponse;
import switchboard.v1.EventFilter;
import switchboard.v1.GetSubscriptionRequest;
import switchboard.v1.GetSubscriptionResponse;
import switchboard.v1.StartPosition;
import switchboard.v1.Subscription;
import switchboard.v1.SubscriptionServiceGrpc;
import switchboard.v1.UpdateSubscriptionRequest;
import switchboard.v1.UpdateSubscriptionResponse;

/** {@code ensure_subscription.json} of the conformance table. */
@Execution(ExecutionMode.CONCURRENT)
class EnsureSubscriptionConformanceTest {
    static Stream<Named<JsonObject>> ensureSubscription() throws IOException {
        return Conformance.cases("ensure_subscription.json");
    }

    private static Subscription subscription(JsonElement element) {
        JsonObject fields = only(element, "subscription_id", "accounts", "types", "labels", "position", "update_mask");
        Subscription.Builder subscription = Subscription.newBuilder().putAllLabels(map(fields, "labels"));
        if (fields.has("accounts") || fields.has("types")) {
            subscription.setFilter(EventFilter.newBuilder()
                    .addAllAccounts(texts(fields, "accounts"))
                    .addAllTypes(texts(fields, "types")));
        }
        return subscription.build();
    }

    private static CreateSubscriptionRequest createRequest(JsonObject fields) {
        CreateSubscriptionRequest.Builder request = CreateSubscriptionRequest.newBuilder()
                .setSubscriptionId(text(fields, "subscription_id"))
                .setPosition(StartPosition.valueOf(text(fields, "position")));
        Subscription subscription = subscription(fields);
        if (!subscription.equals(Subscription.getDefaultInstance())) {
            request.setSubscription(subscription);
        }
        return request.build();
    }

    /** Returns the request that a call must have. */
    private static Message request(String method, JsonObject fields) {
        return switch (method) {
            case "CreateSubscription" -> createRequest(fields);
            case "GetSubscription" ->
                GetSubscriptionRequest.newBuilder()
                        .setSubscriptionId(text(only(fields, "subscription_id"), "subscription_id"))
                        .build();
            case "UpdateSubscription" ->
                UpdateSubscriptionRequest.newBuilder()
                        .setSubscription(
                                subscription(fields).toBuilder().setSubscriptionId(text(fields, "subscription_id")))
                        .setUpdateMask(FieldMask.newBuilder().addAllPaths(texts(fields, "update_mask")))
                        .build();
            default -> throw new AssertionError("unknown method: " + method);
        };
    }

    /** The server's side of a case. */
    private static final class Script extends SubscriptionServiceGrpc.SubscriptionServiceImplBase {
        private final List<JsonElement> left;
        private final List<String> unexpected = new ArrayList<>();

        Script(JsonObject each) {
            left = new ArrayList<>(list(each, "server"));
        }

        synchronized void check() {
            assertEquals(List.of(), unexpected);
            assertEquals(List.of(), left, "calls are missing");
        }

        private synchronized <R> void reply(Message got, StreamObserver<R> call, Function<Subscription, R> response) {
            String method = got.getDescriptorForType().getName().replaceAll("Request$", "");
            if (left.isEmpty() || !left.get(0).getAsJsonObject().has(method)) {
                unexpected.add(method + " " + got);
                call.onError(Status.FAILED_PRECONDITION.asRuntimeException());
                return;
            }
            JsonObject expected = only(left.remove(0), method, "reply");
            JsonObject fields = expected.getAsJsonObject(method);
            if (!got.equals(request(method, fields))) {
                unexpected.add(method + " " + got);
            }
            JsonElement reply = expected.get("reply");
            if (isWord(reply, "ok")) {
                call.onNext(response.apply(subscription(fields)));
                call.onCompleted();
            } else if (reply.getAsJsonObject().has("code")) {
                call.onError(Conformance.failure(reply));
            } else {
                call.onNext(response.apply(subscription(reply)));
                call.onCompleted();
            }
        }

        @Override
        public void createSubscription(
                CreateSubscriptionRequest request, StreamObserver<CreateSubscriptionResponse> call) {
            reply(request, call, stored -> CreateSubscriptionResponse.newBuilder()
                    .setSubscription(stored)
                    .build());
        }

        @Override
        public void getSubscription(GetSubscriptionRequest request, StreamObserver<GetSubscriptionResponse> call) {
            reply(request, call, stored -> GetSubscriptionResponse.newBuilder()
                    .setSubscription(stored)
                    .build());
        }

        @Override
        public void updateSubscription(
                UpdateSubscriptionRequest request, StreamObserver<UpdateSubscriptionResponse> call) {
            reply(request, call, stored -> UpdateSubscriptionResponse.newBuilder()
                    .setSubscription(stored)
                    .build());
        }
    }

    @ParameterizedTest
    @MethodSource
    void ensureSubscription(JsonObject each) throws Exception {
        only(each, "name", "why", "subscription", "server", "expect");
        Script script = new Script(each);
        JsonObject expected = each.getAsJsonObject("expect");
        CreateSubscriptionRequest wanted = createRequest(each.getAsJsonObject("subscription"));
        try (ScriptedServer server = new ScriptedServer(0, script);
                SwitchboardClient client =
                        SwitchboardClient.builder(server.address()).plaintext().build()) {
            if (expected.has("code")) {
                Conformance.checkError(
                        expected,
                        assertThrows(
                                StatusRuntimeException.class,
                                () -> client.ensureSubscription(wanted, Duration.ofSeconds(20))));
            } else {
                Subscription got = client.ensureSubscription(wanted, Duration.ofSeconds(20));
                only(expected, "accounts", "types", "labels");
                assertEquals(
                        Set.copyOf(texts(expected, "accounts")),
                        Set.copyOf(got.getFilter().getAccountsList()));
                assertEquals(
                        Set.copyOf(texts(expected, "types")),
                        Set.copyOf(got.getFilter().getTypesList()));
                assertEquals(map(expected, "labels"), got.getLabelsMap());
            }
        }
        script.check();
    }
}
