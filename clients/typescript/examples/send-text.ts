// Sends a text and prints the state of the message.
import { createSwitchboardClient, SwitchboardError } from "@switchboard/client";
import { MessageState } from "@switchboard/client/v1";

const switchboard = createSwitchboardClient(process.env["SWITCHBOARD_ADDRESS"] ?? "127.0.0.1:50051");
try {
  const { message } = await switchboard.messages.sendMessage(
    {
      account: "demo-connectly",
      to: "+15550100001",
      content: { case: "text", value: { body: "Hello!" } },
    },
    { timeoutMs: 40_000 },
  );
  console.log(`${message?.messageId}: ${MessageState[message?.state ?? 0]}`);
} catch (error) {
  if (!(error instanceof SwitchboardError)) {
    throw error;
  }
  console.error(error.message);
  process.exitCode = 1;
} finally {
  switchboard.close();
}
