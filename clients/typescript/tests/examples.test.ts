// Runs each example as a program against the real server.
import assert from "node:assert/strict";
import { join } from "node:path";
import { before, test } from "node:test";
import type { SwitchboardClient } from "@switchboard/client";
import { FaultKind } from "@switchboard/client/sandbox/v1";
import { SCRATCH } from "./support/paths.js";
import { clientOf, fileScope, run, sandboxOf, startSandbox } from "./support/sandbox.js";

const example = (name: string) => join(SCRATCH, "out/examples", `${name}.js`);

let address: string;
const scope = fileScope();
let client: SwitchboardClient;
before(async () => {
  ({ address } = await startSandbox(scope));
  client = clientOf(scope, address);
});

/** The bodies of the provider calls of an operation. */
async function calls(account: string, operation: string): Promise<string[]> {
  const listed = await sandboxOf(client).listCalls({ account });
  return listed.calls.filter((call) => call.operation === operation).map(({ body }) => body);
}

test("send-text sends a text", async () => {
  const { code, output } = await run(example("send-text"), { SWITCHBOARD_ADDRESS: address });
  assert.match(output, /^msg_\w{26}: ACCEPTED\n$/);
  assert.equal(code, 0);
  assert.equal((await calls("demo-connectly", "send_message")).filter((body) => body.includes("Hello!")).length, 1);
});

test("send-text prints an error if the send fails", async (t) => {
  const sandbox = sandboxOf(client);
  t.after(() => sandbox.clearFaults({ account: "demo-connectly" }));
  await sandbox.setFault({ account: "demo-connectly", kind: FaultKind.STATUS, httpStatus: 401, times: 1 });
  const { code, output } = await run(example("send-text"), { SWITCHBOARD_ADDRESS: address });
  assert.match(output, /^FAILED_PRECONDITION PROVIDER_CREDENTIALS_REJECTED: .+\n$/);
  assert.equal(code, 1);
});

test("send-template sends a template", async () => {
  const { code, output } = await run(example("send-template"), { SWITCHBOARD_ADDRESS: address });
  assert.match(output, /^msg_\w{26}: ACCEPTED\n$/);
  assert.equal(code, 0);
  const sent = await calls("demo-connectby", "send_template");
  assert.equal(sent.length, 1);
  assert.match(sent[0] ?? "", /dummy-image\.jpg/);
});

test("upload-media sends and uploads a file", async () => {
  const { code, output } = await run(example("upload-media"), { SWITCHBOARD_ADDRESS: address });
  assert.match(output, /^sent: msg_\w{26}\nuploaded: http.+\.png\n$/);
  assert.equal(code, 0);
});

test("answer replies to questions across restarts", async () => {
  const sandbox = sandboxOf(client);
  const inject = (text: string) => sandbox.injectMessage({ account: "demo-connectly", sender: "+15550100009", text });
  const answers = async () =>
    (await calls("demo-connectly", "send_message")).filter((body) => body.includes("Yes, we do."));
  const getSubscription = () =>
    client.subscriptions.getSubscription({ subscriptionId: "answers" }, { timeoutMs: 10_000 });

  let last = "";
  // The first question arrives while the program runs, the second while it does not.
  for (const [index, question] of ["Do you deliver on Sundays?", "And do you deliver at night?"].entries()) {
    const ask = async () => {
      await inject("Hello");
      await inject(question);
    };
    if (index > 0) {
      await ask();
    }
    let stopped = false;
    const running = run(example("answer"), { SWITCHBOARD_ADDRESS: address }, (soFar, child) => {
      if (!stopped && /^answered evt_\w+\n/.test(soFar)) {
        stopped = child.kill("SIGINT");
      }
    });
    if (index === 0) {
      // Wait until the example has created its subscription.
      while ((await getSubscription().catch(() => "none yet")) === "none yet") {
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      await ask();
    }
    const { code, output } = await running;
    assert.match(output, /^answered evt_\w{26}\n$/);
    last = output.trim().replace("answered ", "");
    assert.equal(code, 0);
    assert.equal((await answers()).length, index + 1);
  }
  const { events } = await client.events.listEvents({ filter: { types: ["message.received"] } }, { timeoutMs: 10_000 });
  const at = events.findIndex(({ eventId }) => eventId === last);
  assert.notEqual(at, -1);
  const { subscription } = await getSubscription();
  assert.ok(
    events.slice(at).some(({ cursor }) => cursor === subscription?.cursor),
    "the position is at or after the last question",
  );
});

test("answer skips refused sends and redelivers unavailable ones", async (t) => {
  const account = "demo-connectly";
  const sandbox = sandboxOf(client);
  t.after(() => sandbox.clearFaults({ account }));
  const inject = (text: string) => sandbox.injectMessage({ account, sender: "+15550100009", text });
  const running = (until: RegExp) => {
    let stopped = false;
    return run(example("answer"), { SWITCHBOARD_ADDRESS: address }, (soFar, child) => {
      if (!stopped && until.test(soFar)) {
        stopped = child.kill("SIGINT");
      }
    });
  };
  await sandbox.setFault({ account, kind: FaultKind.STATUS, httpStatus: 401, times: 1 });
  await inject("Is this one refused?");
  await inject("And this one?");
  const { code, output } = await running(/^answered/m);
  assert.match(
    output,
    /^no answer to evt_\w{26}: FAILED_PRECONDITION PROVIDER_CREDENTIALS_REJECTED: .+\nanswered evt_\w{26}\n$/,
  );
  assert.equal(code, 0);

  await sandbox.setFault({ account, kind: FaultKind.REFUSE });
  await inject("Is anybody there?");
  const failed = await running(/^answered/m);
  assert.match(failed.output, /UNAVAILABLE/);
  assert.equal(failed.code, 1);
  await sandbox.clearFaults({ account });
  const again = await running(/^answered/m);
  assert.match(again.output, /^answered evt_\w{26}\n$/);
});
