// The examples, each as a program of its own against the real server.
import assert from "node:assert/strict";
import { join } from "node:path";
import { before, test } from "node:test";
import type { SwitchboardClient } from "@switchboard/client";
import { FaultKind } from "@switchboard/client/sandbox/v1";
import { Later } from "./support/later.js";
import { SCRATCH } from "./support/paths.js";
import { clientOf, run, sandboxOf, startSandbox, wholeFile } from "./support/sandbox.js";

const example = (name: string) => join(SCRATCH, "out/examples", `${name}.js`);

let address: string;
const scope = wholeFile();
let client: SwitchboardClient;
before(async () => {
  ({ address } = await startSandbox(scope));
  client = clientOf(scope, address);
});

/** The bodies of the calls that reached a provider at an operation. */
async function calls(account: string, operation: string): Promise<string[]> {
  const listed = await sandboxOf(client).listCalls({ account });
  return listed.calls.filter((call) => call.operation === operation).map(({ body }) => body);
}

test("send-text", async () => {
  const { code, said } = await run(example("send-text"), { SWITCHBOARD_ADDRESS: address });
  assert.match(said, /^msg_\w{26}: ACCEPTED\n$/);
  assert.equal(code, 0);
  assert.equal((await calls("demo-connectly", "send_message")).filter((body) => body.includes("Hello!")).length, 1);
});

test("send-text says what went wrong", async (t) => {
  const sandbox = sandboxOf(client);
  t.after(() => sandbox.clearFaults({ account: "demo-connectly" }));
  await sandbox.setFault({ account: "demo-connectly", kind: FaultKind.STATUS, httpStatus: 401, times: 1 });
  const { code, said } = await run(example("send-text"), { SWITCHBOARD_ADDRESS: address });
  assert.match(said, /^FAILED_PRECONDITION PROVIDER_CREDENTIALS_REJECTED: .+\n$/);
  assert.equal(code, 1);
});

test("send-template", async () => {
  const { code, said } = await run(example("send-template"), { SWITCHBOARD_ADDRESS: address });
  assert.match(said, /^msg_\w{26}: ACCEPTED\n$/);
  assert.equal(code, 0);
  const sent = await calls("demo-connectby", "send_template");
  assert.equal(sent.length, 1);
  assert.match(sent[0] ?? "", /dummy-image\.jpg/);
});

test("upload-media", async () => {
  const { code, said } = await run(example("upload-media"), { SWITCHBOARD_ADDRESS: address });
  assert.match(said, /^sent: msg_\w{26}\nuploaded: http.+\.png\n$/);
  assert.equal(code, 0);
});

test("answer", async () => {
  const sandbox = sandboxOf(client);
  const inject = (text: string) => sandbox.injectMessage({ account: "demo-connectly", sender: "+15550100009", text });
  const answers = async () =>
    (await calls("demo-connectly", "send_message")).filter((body) => body.includes("Yes, we do."));
  const place = () => client.events.getSubscription({ subscription: "answers" }, { timeoutMs: 10_000 });

  // Twice: a question comes while it runs, and one while it does not.
  for (const [index, question] of ["Do you deliver on Sundays?", "And do you deliver at night?"].entries()) {
    const ask = async () => {
      await inject("Hello");
      await inject(question);
    };
    if (index > 0) {
      await ask();
    }
    const answered = new Later();
    const running = run(example("answer"), { SWITCHBOARD_ADDRESS: address }, (so_far, child) => {
      if (/^answered evt_\w+\n/.test(so_far)) {
        answered.resolve();
        child.kill("SIGINT");
      }
    });
    if (index === 0) {
      // Made by the example itself.
      while ((await place().catch(() => "none yet")) === "none yet") {
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      await ask();
    }
    const { code, said } = await running;
    await answered.promise;
    assert.match(said, /^answered evt_\w{26}\n$/);
    assert.equal(code, 0);
    assert.equal((await answers()).length, index + 1);
  }
  const { events } = await client.events.listEvents({ filter: { types: ["message.received"] } }, { timeoutMs: 10_000 });
  assert.equal((await place()).subscription?.cursor, events.at(-1)?.cursor, "the last question was acknowledged");
});
