package switchboard.examples;

import io.grpc.StatusRuntimeException;
import java.time.Duration;
import switchboard.client.SwitchboardClient;
import switchboard.client.SwitchboardException;
import switchboard.v1.SendMessageRequest;
import switchboard.v1.SendMessageResponse;
import switchboard.v1.Text;

/** Sends a text message. */
public final class SendText {
    private SendText() {}

    /**
     * Sends the message.
     *
     * @param args not used
     */
    public static void main(String[] args) {
        String address = System.getenv().getOrDefault("SWITCHBOARD_ADDRESS", "127.0.0.1:50051");
        try (SwitchboardClient client =
                SwitchboardClient.builder(address).plaintext().build()) {
            SendMessageResponse sent = client.messages()
                    .withDeadlineAfter(Duration.ofSeconds(40))
                    .sendMessage(SendMessageRequest.newBuilder()
                            .setAccount("demo-connectly")
                            .setTo("+15550100001")
                            .setText(Text.newBuilder().setBody("Hello!"))
                            .build());
            System.out.println("accepted: " + sent.getMessage().getMessageId());
        } catch (StatusRuntimeException e) {
            SwitchboardException failure = SwitchboardException.of(e);
            System.err.println(failure.getMessage());
            failure.getFieldViolations()
                    .forEach(violation -> System.err.println(violation.getField() + ": " + violation.getDescription()));
            throw failure;
        }
    }
}
