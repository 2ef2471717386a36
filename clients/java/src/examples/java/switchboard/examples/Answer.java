package switchboard.examples;

import io.grpc.StatusRuntimeException;
import java.time.Duration;
import java.util.concurrent.ThreadLocalRandom;
import switchboard.client.EventStream;
import switchboard.client.Reasons;
import switchboard.client.SwitchboardClient;
import switchboard.client.SwitchboardException;
import switchboard.v1.CreateSubscriptionRequest;
import switchboard.v1.Event;
import switchboard.v1.EventFilter;
import switchboard.v1.SendMessageRequest;
import switchboard.v1.StartPosition;
import switchboard.v1.SubscribeRequest;
import switchboard.v1.Subscription;
import switchboard.v1.Text;

/** Answers questions of customers. The server stores the position, so a restart resumes after the last answer. */
public final class Answer {
    /** The named subscription. Use one per program: two programs that share one both receive every event. */
    private static final String SUBSCRIPTION = "answer";

    private static final Duration MAX_PAUSE = Duration.ofSeconds(30);

    private Answer() {}

    /**
     * Answers questions until the process stops.
     *
     * @param args not used
     * @throws InterruptedException if the thread is interrupted
     */
    public static void main(String[] args) throws InterruptedException {
        String address = System.getenv().getOrDefault("SWITCHBOARD_ADDRESS", "127.0.0.1:50051");
        try (SwitchboardClient client =
                SwitchboardClient.builder(address).plaintext().build()) {
            run(client);
        }
    }

    /**
     * Answers questions until the client is closed or the thread is interrupted.
     *
     * @param client the client
     * @throws InterruptedException if the thread is interrupted while an answer waits
     */
    public static void run(SwitchboardClient client) throws InterruptedException {
        // The first start creates the subscription. A later one changes its filter, if the program has another one now.
        client.ensureSubscription(
                CreateSubscriptionRequest.newBuilder()
                        .setSubscriptionId(SUBSCRIPTION)
                        .setSubscription(Subscription.newBuilder()
                                .setFilter(EventFilter.newBuilder().addTypes("message.received")))
                        .setPosition(StartPosition.START_POSITION_EARLIEST)
                        .build(),
                Duration.ofMinutes(1));
        SubscribeRequest request =
                SubscribeRequest.newBuilder().setSubscriptionId(SUBSCRIPTION).build();
        try (EventStream events = client.subscribe(request)) {
            for (Event event : events) {
                if (event.getMessageReceived().getText().getBody().endsWith("?")) {
                    answer(client, event);
                }
            }
        }
    }

    /** Answers a question. An exception leaves the event unfinished, so the server redelivers it at the next start. */
    private static void answer(SwitchboardClient client, Event question) throws InterruptedException {
        SendMessageRequest reply = SendMessageRequest.newBuilder()
                .setAccount(question.getAccount())
                .setTo(question.getMessageReceived().getSender().getAddress())
                // If the event is redelivered, this id prevents a second answer. With the subscription in it, another
                // service can answer the same event.
                .setRequestId(SUBSCRIPTION + ":" + question.getEventId())
                .setText(Text.newBuilder().setBody("Yes, we do."))
                .build();
        for (Duration pause = Duration.ofSeconds(1); ; pause = shorter(pause.multipliedBy(2), MAX_PAUSE)) {
            try {
                client.messages().withDeadlineAfter(Duration.ofSeconds(40)).sendMessage(reply);
                System.out.println("answered: " + question.getEventId());
                return;
            } catch (StatusRuntimeException e) {
                SwitchboardException failure = SwitchboardException.of(e);
                switch (decide(failure)) {
                    case SKIP -> {
                        System.out.println("no answer to " + question.getEventId() + ": " + failure.getMessage());
                        return;
                    }
                    case END -> throw failure;
                    case WAIT -> {
                        Duration asked = failure.getRetryDelay().orElse(Duration.ZERO);
                        long millis = Math.max(pause.toMillis(), asked.toMillis());
                        // Throws if the thread was interrupted, also during the call.
                        Thread.sleep(millis + ThreadLocalRandom.current().nextLong(1000));
                    }
                }
            }
        }
    }

    private static Duration shorter(Duration a, Duration b) {
        return a.compareTo(b) < 0 ? a : b;
    }

    /** What to do after a failed answer. */
    public enum Decision {
        /** Try again later: this message can still be sent. */
        WAIT,
        /** This message will never be accepted, or an earlier attempt may have sent it. */
        SKIP,
        /** An operator must repair something. Keep the event. */
        END
    }

    /**
     * Decides what to do after a failed answer.
     *
     * @param failure the failure
     * @return the decision
     */
    public static Decision decide(SwitchboardException failure) {
        switch (Reasons.parse(failure.getReason())) {
            case REASON_REQUEST_INVALID,
                    REASON_REQUEST_ID_REUSED,
                    REASON_PROVIDER_UNSUPPORTED,
                    REASON_SEND_OUTCOME_UNKNOWN,
                    REASON_PROVIDER_CAPPED,
                    REASON_PROVIDER_REFUSED,
                    REASON_SESSION_WINDOW_CLOSED,
                    REASON_RECIPIENT_NOT_REACHABLE,
                    REASON_RECIPIENT_OPTED_OUT,
                    REASON_RECIPIENT_INVALID,
                    REASON_CONTENT_REJECTED -> {
                return Decision.SKIP;
            }
            default -> {
                // The delay or the code decides.
            }
        }
        if (failure.getRetryDelay().isPresent()) {
            return Decision.WAIT;
        }
        return switch (failure.getCode()) {
            // The server's timer may end a call before the client's does. The code is then CANCELLED.
            case UNAVAILABLE, RESOURCE_EXHAUSTED, DEADLINE_EXCEEDED, CANCELLED -> Decision.WAIT;
            default -> Decision.END;
        };
    }
}
