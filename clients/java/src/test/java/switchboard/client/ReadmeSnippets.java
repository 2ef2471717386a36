package switchboard.client;

import io.grpc.ChannelCredentials;
import io.grpc.StatusRuntimeException;
import io.grpc.TlsChannelCredentials;
import java.io.File;
import java.io.IOException;
import java.time.Duration;
import switchboard.v1.Event;
import switchboard.v1.ExpiredPolicy;
import switchboard.v1.MessageServiceGrpc;
import switchboard.v1.SendMessageRequest;
import switchboard.v1.SubscribeGap;
import switchboard.v1.SubscribeRequest;

/** The snippets of the README that are not part of an example. They are compiled, but not run. */
final class ReadmeSnippets {
    private ReadmeSnippets() {}

    static SwitchboardClient secured(String token) {
        SwitchboardClient client = SwitchboardClient.builder("switchboard.example.com:443")
                .token(token)
                .build();
        return client;
    }

    static SwitchboardClient privateAuthority() throws IOException {
        ChannelCredentials credentials = TlsChannelCredentials.newBuilder()
                .trustManager(new File("ca.pem"))
                .keyManager(new File("client.pem"), new File("client.key"))
                .build();
        return SwitchboardClient.builder("switchboard.example.com:443")
                .credentials(credentials)
                .build();
    }

    static void failures(SwitchboardClient client, SendMessageRequest request) {
        try {
            client.messages().withDeadlineAfter(Duration.ofSeconds(40)).sendMessage(request);
        } catch (StatusRuntimeException e) {
            SwitchboardException failure = SwitchboardException.of(e);
            switch (Reasons.parse(failure.getReason())) {
                case REASON_RECIPIENT_OPTED_OUT -> unsubscribe(request.getTo());
                case REASON_SEND_OUTCOME_UNKNOWN ->
                    decide(failure.getRequestId(), failure.getMetadata().get("attempt"));
                default -> throw failure;
            }
        }
    }

    static void gaps(SwitchboardClient client, String cursor) {
        SubscribeRequest request = SubscribeRequest.newBuilder()
                .setAfterCursor(cursor)
                .setExpiredPolicy(ExpiredPolicy.EXPIRED_POLICY_SKIP_WITH_GAP)
                .build();
        try (EventStream events =
                client.subscribe(request, SubscribeOptions.defaults().onGap(gap -> repair(gap)))) {
            for (Event event : events) {
                handle(event);
            }
        }
    }

    static void ownCursor(SwitchboardClient client, SubscribeRequest.Builder request) {
        try (EventStream events =
                client.subscribe(request.setAfterCursor(loadCursor()).build())) {
            for (Event event : events) {
                handle(event);
                saveCursor(event.getCursor());
            }
        }
    }

    static MessageServiceGrpc.MessageServiceFutureStub futures(SwitchboardClient client) {
        return MessageServiceGrpc.newFutureStub(client.channel());
    }

    private static void unsubscribe(String customer) {}

    private static void decide(String requestId, String attempt) {}

    private static void repair(SubscribeGap gap) {}

    private static String loadCursor() {
        return "";
    }

    private static void saveCursor(String cursor) {}

    private static void handle(Event event) {}
}
