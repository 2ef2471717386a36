package switchboard.examples;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import switchboard.client.EventStream;
import switchboard.client.SwitchboardClient;
import switchboard.v1.Event;
import switchboard.v1.EventFilter;
import switchboard.v1.SendMessageRequest;
import switchboard.v1.SubscribeRequest;
import switchboard.v1.Text;

/** Answers what customers ask, from now on, and goes on where it was when it is started again. */
public final class Answer {
    private Answer() {}

    /**
     * Answers until it is stopped.
     *
     * @param args not used
     * @throws IOException if the place where it was cannot be read or written
     */
    public static void main(String[] args) throws IOException {
        String address = System.getenv().getOrDefault("SWITCHBOARD_ADDRESS", "127.0.0.1:50051");
        Path place = Path.of("answer.cursor");
        SubscribeRequest.Builder request =
                SubscribeRequest.newBuilder().setFilter(EventFilter.newBuilder().addTypes("message.received"));
        if (Files.exists(place)) {
            request.setAfterCursor(Files.readString(place));
        }
        try (SwitchboardClient client =
                        SwitchboardClient.builder(address).plaintext().build();
                EventStream events = client.subscribe(request.build())) {
            for (Event event : events) {
                if (event.getMessageReceived().getText().getBody().endsWith("?")) {
                    answer(client, event);
                }
                keep(event.getCursor(), place);
            }
        }
    }

    /** Writes it down, whole or not at all. */
    private static void keep(String cursor, Path place) throws IOException {
        Path fresh = Files.writeString(Path.of(place + ".new"), cursor);
        Files.move(fresh, place, StandardCopyOption.ATOMIC_MOVE);
    }

    private static void answer(SwitchboardClient client, Event question) {
        client.messages()
                .withDeadlineAfter(Duration.ofSeconds(40))
                .sendMessage(SendMessageRequest.newBuilder()
                        .setAccount(question.getAccount())
                        .setTo(question.getMessageReceived().getSender().getAddress())
                        // The same for the same question: it is answered once, however often this is run.
                        .setRequestId("answer-" + question.getId())
                        .setText(Text.newBuilder().setBody("Yes, we do."))
                        .build());
        System.out.println("answered: " + question.getId());
    }
}
