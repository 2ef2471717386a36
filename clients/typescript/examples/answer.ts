// Replies to questions until Ctrl-C. The server stores the position, so the next start receives the messages missed
// meanwhile.
import { Code, createSwitchboardClient, parseReason, SwitchboardError } from "@switchboard/client";
import { type Event, Reason } from "@switchboard/client/v1";

const switchboard = createSwitchboardClient(process.env["SWITCHBOARD_ADDRESS"] ?? "127.0.0.1:50051");
try {
  await switchboard.subscriptions.createSubscription(
    { subscriptionId: "answers", subscription: { filter: { types: ["message.received"] } } },
    { timeoutMs: 10_000 },
  );
} catch (error) {
  // An earlier start created it.
  if (!(error instanceof SwitchboardError && parseReason(error.reason) === Reason.SUBSCRIPTION_EXISTS)) {
    throw error;
  }
}

const stream = switchboard.subscribe(
  { start: { case: "subscriptionId", value: "answers" } },
  { onReconnect: (error, delayMs) => console.error(`reconnecting in ${Math.ceil(delayMs)} ms: ${error.message}`) },
);
process.once("SIGINT", () => stream.close());

for await (const event of stream) {
  try {
    await answer(event);
  } catch (error) {
    // After UNAVAILABLE, the event is redelivered at the next start. A refused reply would be refused again: continue.
    if (!(error instanceof SwitchboardError) || error.code === Code.Unavailable) {
      throw error;
    }
    console.error(`no answer to ${event.eventId}: ${error.message}`);
  }
}
switchboard.close();

async function answer({ eventId, account, payload }: Event): Promise<void> {
  if (payload.case !== "messageReceived" || payload.value.sender === undefined) {
    return;
  }
  const { content, sender } = payload.value;
  if (content.case === "text" && content.value.body.endsWith("?")) {
    await switchboard.messages.sendMessage(
      {
        account,
        to: sender.address,
        // Derived from the event: if a crash causes a redelivery, the reply is still sent only once.
        requestId: `answer-${eventId}`,
        content: { case: "text", value: { body: "Yes, we do." } },
      },
      { timeoutMs: 40_000 },
    );
    console.log(`answered ${eventId}`);
  }
}
