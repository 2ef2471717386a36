// The script of a web page. It tells the server that it came from what it sees, one thing after the other.
import { Code, createSwitchboardClient, SwitchboardError } from "@switchboard/client/web";

const ACCOUNT = "demo-connectly";
const CUSTOMER = "+15550100001";

async function tell(...what: unknown[]): Promise<void> {
  await fetch("/told", { method: "POST", body: JSON.stringify(what) });
}

async function failureOf(call: Promise<unknown>) {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof SwitchboardError)) {
    return ["no SwitchboardError", String(error)];
  }
  const { code, reason, domain, fieldViolations } = error;
  return [Code[code], reason, domain, fieldViolations.map(({ field, reason }) => `${field} ${reason}`)];
}

async function run(): Promise<void> {
  const address = new URLSearchParams(location.search).get("server") ?? "";
  const client = createSwitchboardClient(address, { maxAttempts: 1 });
  const text = { case: "text", value: { body: "Hello from a page!" } } as const;

  const refused = await failureOf(client.messages.sendMessage({ account: ACCOUNT, to: "nobody", content: text }));
  await tell("a failure", ...refused);
  await tell("another", ...(await failureOf(client.accounts.getAccount({ account: "nobody" }))));
  if (refused[0] === "Unavailable") {
    return;
  }

  const subscription = "page";
  await client.events.createSubscription({ subscription, filter: { types: ["message.accepted", "message.received"] } });
  const { message } = await client.messages.sendMessage({ account: ACCOUNT, to: CUSTOMER, content: text });
  await tell("sent", message?.messageId);
  for await (const { payload } of client.subscribe({ start: { case: "subscription", value: subscription } })) {
    if (payload.case === "messageAccepted") {
      await tell("accepted", payload.value.message?.messageId);
    } else if (payload.case === "messageReceived" && payload.value.content.case === "text") {
      await tell("received", payload.value.content.value.body);
      break;
    }
  }
  const left = await client.events.getSubscription({ subscription });
  await tell("unfinished", Number(left.subscription?.lagEvents));

  const picture = await (await fetch("/picture.png")).blob();
  await tell("a file of", picture.size);
  const sent = await client.sendMedia({ account: "demo-connectby", to: CUSTOMER, fileName: "a.png" }, picture, {
    timeoutMs: 60_000,
  });
  await tell("sent a file", sent.message?.messageId);
  const { url } = await client.uploadTemplateMedia({ account: "demo-connectby" }, picture);
  await tell("uploaded", url);
}

run()
  .catch((reason: unknown) => tell("broke", String(reason)))
  .finally(() => tell("done"));
