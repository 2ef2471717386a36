package switchboard.examples;

import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.time.Duration;
import switchboard.client.EventStream;
import switchboard.client.Reasons;
import switchboard.client.SwitchboardClient;
import switchboard.client.SwitchboardException;
import switchboard.v1.CreateSubscriptionRequest;
import switchboard.v1.Event;
import switchboard.v1.EventFilter;
import switchboard.v1.Reason;
import switchboard.v1.SendMessageRequest;
import switchboard.v1.SubscribeRequest;
import switchboard.v1.Subscription;
import switchboard.v1.Text;

/** Answers questions of customers. The server stores the position, so a restart resumes after the last answer. */
public final class Answer {
    private static final String SUBSCRIPTION = "answer";

    private Answer() {}

    /**
     * Answers questions until the process stops.
     *
     * @param args not used
     */
    public static void main(String[] args) {
        String address = System.getenv().getOrDefault("SWITCHBOARD_ADDRESS", "127.0.0.1:50051");
        try (SwitchboardClient client =
                SwitchboardClient.builder(address).plaintext().build()) {
            createSubscription(client);
            SubscribeRequest request = SubscribeRequest.newBuilder()
                    .setSubscriptionId(SUBSCRIPTION)
                    .build();
            try (EventStream events = client.subscribe(request)) {
                for (Event event : events) {
                    if (event.getMessageReceived().getText().getBody().endsWith("?")) {
                        answerOrSkip(client, event);
                    }
                }
            }
        }
    }

    private static void createSubscription(SwitchboardClient client) {
        try {
            client.subscriptions()
                    .withDeadlineAfter(Duration.ofSeconds(10))
                    .createSubscription(CreateSubscriptionRequest.newBuilder()
                            .setSubscriptionId(SUBSCRIPTION)
                            .setSubscription(Subscription.newBuilder()
                                    .setFilter(EventFilter.newBuilder().addTypes("message.received")))
                            .build());
        } catch (StatusRuntimeException e) {
            // An earlier run created the subscription.
            if (Reasons.parse(SwitchboardException.of(e).getReason()) != Reason.REASON_SUBSCRIPTION_EXISTS) {
                throw e;
            }
        }
    }

    private static void answerOrSkip(SwitchboardClient client, Event question) {
        try {
            answer(client, question);
        } catch (StatusRuntimeException e) {
            if (e.getStatus().getCode() == Status.Code.UNAVAILABLE) {
                throw e; // The event stays unfinished, so the server redelivers it at the next start.
            }
            System.out.println("no answer to " + question.getEventId() + ": "
                    + SwitchboardException.of(e).getMessage());
        }
    }

    private static void answer(SwitchboardClient client, Event question) {
        client.messages()
                .withDeadlineAfter(Duration.ofSeconds(40))
                .sendMessage(SendMessageRequest.newBuilder()
                        .setAccount(question.getAccount())
                        .setTo(question.getMessageReceived().getSender().getAddress())
                        // Derived from the event, so a redelivered question is answered only once.
                        .setRequestId("answer-" + question.getEventId())
                        .setText(Text.newBuilder().setBody("Yes, we do."))
                        .build());
        System.out.println("answered: " + question.getEventId());
    }
}
