package switchboard.examples;

import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import switchboard.client.SwitchboardClient;
import switchboard.client.Upload;
import switchboard.v1.MediaHeader;
import switchboard.v1.SendMediaResponse;
import switchboard.v1.UploadTemplateMediaHeader;
import switchboard.v1.UploadTemplateMediaResponse;

/** Sends a file to a customer, and uploads it for template headers. */
public final class UploadMedia {
    private UploadMedia() {}

    /**
     * Uploads a file.
     *
     * @param args the path of the file; by default a short letter is sent
     */
    public static void main(String[] args) {
        String address = System.getenv().getOrDefault("SWITCHBOARD_ADDRESS", "127.0.0.1:50051");
        byte[] letter = "Dear Ada, thank you.\n".getBytes(StandardCharsets.UTF_8);
        Upload file = args.length > 0 ? Upload.of(Path.of(args[0])) : Upload.of(letter);
        String name = args.length > 0 ? Path.of(args[0]).getFileName().toString() : "letter.txt";
        try (SwitchboardClient client =
                SwitchboardClient.builder(address).plaintext().build()) {
            MediaHeader header = MediaHeader.newBuilder()
                    .setAccount("demo-connectby")
                    .setTo("+15550100001")
                    .setFileName(name)
                    .build();
            SendMediaResponse sent = client.sendMedia(header, file, Duration.ofMinutes(1));
            System.out.println("accepted: " + sent.getMessage().getMessageId());

            UploadTemplateMediaHeader forTemplates = UploadTemplateMediaHeader.newBuilder()
                    .setAccount("demo-connectby")
                    .setFileName(name)
                    .build();
            UploadTemplateMediaResponse uploaded =
                    client.uploadTemplateMedia(forTemplates, file, Duration.ofMinutes(1));
            System.out.println("uploaded: " + uploaded.getUrl());
        }
    }
}
