package switchboard.examples;

import java.time.Duration;
import switchboard.client.SwitchboardClient;
import switchboard.v1.HeaderMedia;
import switchboard.v1.Parameter;
import switchboard.v1.SendMessageRequest;
import switchboard.v1.SendMessageResponse;
import switchboard.v1.TemplateButton;
import switchboard.v1.TemplateHeader;
import switchboard.v1.TemplateMessage;

/** Sends a template with an image header. */
public final class SendTemplate {
    private SendTemplate() {}

    /**
     * Sends the template.
     *
     * @param args not used
     */
    public static void main(String[] args) {
        String address = System.getenv().getOrDefault("SWITCHBOARD_ADDRESS", "127.0.0.1:50051");
        try (SwitchboardClient client =
                SwitchboardClient.builder(address).plaintext().build()) {
            TemplateMessage template = TemplateMessage.newBuilder()
                    .setName("summer_sale")
                    .setLanguage("en_US")
                    .setHeader(TemplateHeader.newBuilder()
                            .setImage(HeaderMedia.newBuilder().setUrl("https://example.com/dummy-image.jpg")))
                    .addBody(Parameter.newBuilder().setText("Asha"))
                    .addButtons(TemplateButton.newBuilder().setIndex(1).setUrlSuffix("summer"))
                    .build();
            SendMessageResponse sent = client.messages()
                    .withDeadlineAfter(Duration.ofSeconds(40))
                    .sendMessage(SendMessageRequest.newBuilder()
                            .setAccount("demo-connectby")
                            .setTo("+15550100001")
                            .setTemplate(template)
                            .build());
            System.out.println("accepted: " + sent.getMessage().getMessageId());
        }
    }
}
