// Answers questions, until Ctrl-C. The server keeps the place: what was missed meanwhile comes at the next start.
import { createSwitchboardClient, SwitchboardError } from "@switchboard/client";

const switchboard = createSwitchboardClient(process.env["SWITCHBOARD_ADDRESS"] ?? "127.0.0.1:50051");
try {
  await switchboard.events.createSubscription({ subscription: "answers", filter: { types: ["message.received"] } });
} catch (error) {
  // It was made at an earlier start.
  if (!(error instanceof SwitchboardError && error.reason === "SUBSCRIPTION_EXISTS")) {
    throw error;
  }
}

const subscription = switchboard.subscribe(
  { start: { case: "subscription", value: "answers" } },
  { onReconnect: (error, delayMs) => console.error(`again in ${Math.ceil(delayMs)} ms: ${error.message}`) },
);
process.once("SIGINT", () => subscription.close());

for await (const { id, account, payload } of subscription) {
  if (payload.case === "messageReceived" && payload.value.sender) {
    const { content, sender } = payload.value;
    if (content.case === "text" && content.value.body.endsWith("?")) {
      await switchboard.messages.sendMessage({
        account,
        to: sender.address,
        // Made of the event, so that the answer is sent once even when the event comes again after a crash.
        requestId: `answer-${id}`,
        content: { case: "text", value: { body: "Yes, we do." } },
      });
      console.log(`answered ${id}`);
    }
  }
}
switchboard.close();
