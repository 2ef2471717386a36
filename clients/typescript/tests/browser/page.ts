// The script of a web page. It reports its results, one by one, to the server that served the page.
import { Code, createSwitchboardClient, SwitchboardError } from "@switchboard/client/web";

const ACCOUNT = "demo-connectly";
const CUSTOMER = "+15550100001";

async function report(...values: unknown[]): Promise<void> {
  await fetch("/report", { method: "POST", body: JSON.stringify(values) });
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
  await report("invalid", ...refused);
  await report("not found", ...(await failureOf(client.accounts.getAccount({ account: "nobody" }))));
  if (refused[0] === "Unavailable") {
    return;
  }

  const filter = { types: ["message.accepted", "message.received"] };
  await client.subscriptions.createSubscription({ subscriptionId: "page", subscription: { filter } });
  const { message } = await client.messages.sendMessage({ account: ACCOUNT, to: CUSTOMER, content: text });
  await report("sent", message?.messageId);
  const stream = client.subscribe({ start: { case: "subscriptionId", value: "page" } });
  for await (const { payload } of stream) {
    if (payload.case === "messageAccepted") {
      await report("accepted", payload.value.message?.messageId);
    } else if (payload.case === "messageReceived" && payload.value.content.case === "text") {
      // The sandbox's customers also reply on their own.
      const { body } = payload.value.content.value;
      if (body.startsWith("Hello, page!")) {
        await report("received", body);
        break;
      }
    }
  }
  const { subscription } = await client.subscriptions.getSubscription({ subscriptionId: "page" });
  await report("acknowledged", subscription?.acknowledgeTime !== undefined && subscription.cursor === stream.cursor);

  const picture = await (await fetch("/picture.png")).blob();
  await report("file size", picture.size);
  const sent = await client.sendMedia({ account: "demo-connectby", to: CUSTOMER, fileName: "a.png" }, picture, {
    timeoutMs: 60_000,
  });
  await report("sent file", sent.message?.messageId);
  const { url } = await client.uploadTemplateMedia({ account: "demo-connectby" }, picture);
  await report("uploaded", url);
}

run()
  .catch((reason: unknown) => report("failed", String(reason)))
  .finally(() => report("done"));
