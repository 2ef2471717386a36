// Answers questions, until Ctrl-C. It goes on where it stopped: the place is kept in a file.
import { readFile, writeFile } from "node:fs/promises";
import { createSwitchboardClient } from "@switchboard/client";
import { StartPosition } from "@switchboard/client/v1";

const place = process.env["PLACE_FILE"] ?? "answer.cursor";
const kept = await readFile(place, "utf8").catch(() => undefined);

const switchboard = createSwitchboardClient(process.env["SWITCHBOARD_ADDRESS"] ?? "127.0.0.1:50051");
const subscription = switchboard.subscribe(
  {
    filter: { types: ["message.received"] },
    start: kept ? { case: "afterCursor", value: kept } : { case: "position", value: StartPosition.LATEST },
  },
  { onReconnect: (error, delayMs) => console.error(`again in ${Math.ceil(delayMs)} ms: ${error.message}`) },
);
process.once("SIGINT", () => subscription.close());

for await (const event of subscription) {
  const { payload } = event;
  if (payload.case === "messageReceived" && payload.value.sender) {
    const { content, sender } = payload.value;
    if (content.case === "text" && content.value.body.endsWith("?")) {
      await switchboard.messages.sendMessage({
        account: event.account,
        to: sender.address,
        // Made of the event, so that the answer is sent once even when the event comes again after a crash.
        requestId: `answer-${event.id}`,
        content: { case: "text", value: { body: "Yes, we do." } },
      });
      console.log(`answered ${event.id}`);
    }
  }
  await writeFile(place, event.cursor);
}
switchboard.close();
