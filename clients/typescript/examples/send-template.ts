// Sends a template with a picture in its header. Before a customer has written, you can send only templates.
import { createSwitchboardClient } from "@switchboard/client";
import { MessageState } from "@switchboard/client/v1";

const switchboard = createSwitchboardClient(process.env["SWITCHBOARD_ADDRESS"] ?? "127.0.0.1:50051");
const { message } = await switchboard.messages.sendMessage(
  {
    account: "demo-connectby",
    to: "+15550100001",
    content: {
      case: "template",
      value: {
        name: "summer_sale",
        language: "en_US",
        header: {
          header: { case: "image", value: { source: { case: "url", value: "https://example.com/dummy-image.jpg" } } },
        },
        body: [{ value: { case: "text", value: "Asha" } }],
        buttons: [{ index: 1, value: { case: "urlSuffix", value: "summer" } }],
      },
    },
  },
  { timeoutMs: 40_000 },
);
console.log(`${message?.messageId}: ${MessageState[message?.state ?? 0]}`);
switchboard.close();
