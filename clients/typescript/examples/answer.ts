// Replies to questions until Ctrl-C. The server stores the position, so the next start receives the messages missed
// meanwhile.
import { Console } from "node:console";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Code, createSwitchboardClient, parseReason, SwitchboardError } from "@switchboard/client";
import { type Event, Reason } from "@switchboard/client/v1";

const SUBSCRIPTION = "answers";

const switchboard = createSwitchboardClient(process.env["SWITCHBOARD_ADDRESS"] ?? "127.0.0.1:50051", {
  logger: new Console(process.stderr),
});

async function main(signal: AbortSignal): Promise<void> {
  // The first start creates the subscription. A later one changes its filter, if the program has another one now.
  await switchboard.ensureSubscription(
    { subscriptionId: SUBSCRIPTION, subscription: { filter: { types: ["message.received"] } } },
    { signal },
  );
  const stream = switchboard.subscribe({ start: { case: "subscriptionId", value: SUBSCRIPTION } }, { signal });
  for await (const event of stream) {
    // An error leaves the loop. The event is then unfinished, and the server delivers it again after a restart.
    await answer(event, signal);
  }
}

/** Replies to a question. While the provider throttles or the server restarts, it waits and tries again. */
async function answer({ eventId, account, payload }: Event, signal: AbortSignal): Promise<void> {
  if (payload.case !== "messageReceived" || payload.value.sender === undefined) {
    return;
  }
  const { content, sender } = payload.value;
  if (content.case !== "text" || !content.value.body.endsWith("?")) {
    return;
  }
  for (let pauseMs = 1000; ; pauseMs = Math.min(2 * pauseMs, 30_000)) {
    try {
      await switchboard.messages.sendMessage(
        {
          account,
          to: sender.address,
          // If the event is delivered again, this idempotency key prevents a second reply. It contains the
          // subscription, so another service can reply to the same event.
          requestId: `${SUBSCRIPTION}:${eventId}`,
          content: { case: "text", value: { body: "Yes, we do." } },
        },
        { timeoutMs: 40_000, signal },
      );
      console.log(`answered ${eventId}`);
      return;
    } catch (error) {
      if (signal.aborted || !(error instanceof SwitchboardError)) {
        throw error;
      }
      const decision = decide(error);
      if (decision === "end") {
        throw error;
      }
      console.error(`${decision} ${eventId}: ${error.message}`);
      if (decision === "skip") {
        return;
      }
      await setTimeout(Math.max(pauseMs, error.retryDelayMs ?? 0) + 1000 * Math.random(), undefined, { signal });
    }
  }
}

/** The message will never be accepted, or an earlier attempt may have sent it. */
const SKIPPED: ReadonlySet<Reason> = new Set([
  Reason.REQUEST_INVALID,
  Reason.REQUEST_ID_REUSED,
  Reason.PROVIDER_UNSUPPORTED,
  Reason.SEND_OUTCOME_UNKNOWN,
  Reason.PROVIDER_CAPPED,
  Reason.PROVIDER_REFUSED,
  Reason.SESSION_WINDOW_CLOSED,
  Reason.RECIPIENT_NOT_REACHABLE,
  Reason.RECIPIENT_OPTED_OUT,
  Reason.RECIPIENT_INVALID,
  Reason.CONTENT_REJECTED,
]);

/** The message can still be sent. The server's timer may end a call before the client's; the code is then CANCELED. */
const RETRIED: ReadonlySet<Code> = new Set([
  Code.Unavailable,
  Code.ResourceExhausted,
  Code.DeadlineExceeded,
  Code.Canceled,
]);

/** What to do after a failed reply. `end` means that an operator must repair something. */
export function decide(error: SwitchboardError): "wait" | "skip" | "end" {
  if (SKIPPED.has(parseReason(error.reason))) {
    return "skip";
  }
  return error.retryDelayMs !== undefined || RETRIED.has(error.code) ? "wait" : "end";
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const stopping = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const) {
    process.once(name, () => stopping.abort());
  }
  try {
    await main(stopping.signal);
  } catch (error) {
    if (!stopping.signal.aborted) {
      console.error(error instanceof SwitchboardError ? error.message : error);
      process.exitCode = 1;
    }
  } finally {
    switchboard.close();
  }
}
