// Runs each example as a program against the real server.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { before, type TestContext, test } from "node:test";
import type { SwitchboardClient } from "@switchboard/client";
import { FaultKind } from "@switchboard/client/sandbox/v1";
import { EventService, MessageService, SubscriptionService } from "@switchboard/client/v1";
import { statusError } from "./support/conformance.js";
import { Deferred, until } from "./support/deferred.js";
import { fakeServer } from "./support/fake.js";
import { SCRATCH } from "./support/paths.js";
import { clientOf, fileScope, run, sandboxOf, startSandbox, temporaryFolder } from "./support/sandbox.js";

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

const account = "demo-connectly";
const customer = "+15550100009";

/** The running example `answer`. */
class Answer {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #ended: Promise<unknown[]>;
  errors = "";

  constructor(scope: TestContext, server: string) {
    const env = { ...process.env, NODE_TEST_CONTEXT: "", SWITCHBOARD_ADDRESS: server };
    const child = spawn(process.execPath, [example("answer")], { env, stdio: ["ignore", "pipe", "pipe"] });
    this.#child = child;
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    this.#ended = once(child, "close");
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
      this.errors += chunk;
    });
    scope.after(() => void child.kill("SIGKILL"));
  }

  /** The id of the next answered event. */
  async answered(): Promise<string> {
    const { value } = await this.#lines.next();
    const [, id] = /^answered (evt_\w{26})$/.exec(value ?? "") ?? [];
    assert.ok(id, `${value}\n${this.errors}`);
    return id;
  }

  /** Waits for the end. The program must not answer anything more. */
  async end(): Promise<number> {
    assert.deepEqual(await this.#lines.next(), { done: true, value: undefined });
    const [code] = await this.#ended;
    return code as number;
  }

  async stop(signal: NodeJS.Signals): Promise<void> {
    this.#child.kill(signal);
    assert.equal(await this.end(), 0, this.errors);
  }
}

const inject = (of: SwitchboardClient, text: string) =>
  sandboxOf(of).injectMessage({ account, sender: customer, text }, { timeoutMs: 20_000 });

/** The provider replies to sends with this status: so often, or until the sandbox restarts. */
const failSends = (of: SwitchboardClient, httpStatus: number, times = 0) =>
  sandboxOf(of).setFault({
    account,
    kind: FaultKind.STATUS,
    operation: "send_message",
    httpStatus,
    times,
  });

/** Polls until the condition holds. */
async function poll(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function sends(of: SwitchboardClient): Promise<string[]> {
  const listed = await sandboxOf(of).listCalls({ account });
  return listed.calls.filter(({ operation }) => operation === "send_message").map(({ body }) => body);
}

const position = async (of: SwitchboardClient) =>
  (await of.subscriptions.getSubscription({ subscriptionId: "answers" }, { timeoutMs: 20_000 })).subscription;

/** Waits until the event is acknowledged. */
async function acknowledged(of: SwitchboardClient, eventId: string): Promise<void> {
  const { events } = await of.events.listEvents({ filter: { types: ["message.received"] } }, { timeoutMs: 20_000 });
  const later = events.slice(events.findIndex((event) => event.eventId === eventId)).map(({ cursor }) => cursor);
  await poll(async () => later.includes((await position(of))?.cursor ?? ""));
}

/** A sandbox whose subscription exists before the first start, so that no question is missed. */
async function answerScene(t: TestContext, options: Parameters<typeof startSandbox>[1] = {}) {
  const server = await startSandbox(t, options);
  const of = clientOf(t, server.address);
  await of.ensureSubscription({
    subscriptionId: "answers",
    subscription: { filter: { types: ["message.received"] } },
  });
  return { server, of };
}

test("answer resumes after the last answered question", async (t) => {
  const { server, of } = await answerScene(t);
  await inject(of, "I like Sundays.");
  await inject(of, "Do you deliver on Sundays?");
  const first = new Answer(t, server.address);
  const one = await first.answered();
  await acknowledged(of, one);
  await first.stop("SIGINT");
  await inject(of, "And do you deliver at night?");
  const second = new Answer(t, server.address);
  const two = await second.answered();
  assert.notEqual(two, one);
  await second.stop("SIGTERM");
  assert.equal((await sends(of)).length, 2);
  for (const id of [one, two]) {
    const key = { case: "requestId", value: `answers:${id}` } as const;
    assert.equal((await of.messages.getMessage({ account, key })).message?.to, customer);
  }
});

test("answer waits while it is throttled, with the same request_id", async (t) => {
  const requestIds: string[] = [];
  const acknowledged = new Deferred();
  const server = await fakeServer(t, ({ service }) => {
    service(SubscriptionService, {
      createSubscription: () => ({}),
      acknowledge: () => {
        assert.equal(requestIds.length, 3);
        acknowledged.resolve();
        return {};
      },
    });
    service(EventService, {
      async *subscribe(_, { signal }) {
        const eventId = `evt_${"0".repeat(26)}`;
        const text = { sender: { address: customer }, content: { case: "text", value: { body: "Why?" } } } as const;
        yield { response: { case: "started", value: { cursor: "c0", generation: 1n } } };
        yield {
          response: {
            case: "event",
            value: { eventId, cursor: "c1", account, payload: { case: "messageReceived", value: text } },
          },
        };
        await until(signal);
      },
    });
    service(MessageService, {
      sendMessage: ({ requestId }) => {
        if (requestIds.push(requestId) < 3) {
          throw statusError({ code: "RESOURCE_EXHAUSTED", reason: "ACCOUNT_BUSY", retry_delay_ms: 200 });
        }
        return {};
      },
    });
  });
  const program = new Answer(t, server.address);
  const id = await program.answered();
  await acknowledged.promise;
  await program.stop("SIGINT");
  assert.deepEqual(requestIds, Array(3).fill(`answers:${id}`));
  assert.match(program.errors, /^wait evt_\w{26}: RESOURCE_EXHAUSTED ACCOUNT_BUSY/m);
});

test("answer stopped while it waits keeps the question", async (t) => {
  const { server, of } = await answerScene(t);
  await failSends(of, 429);
  await inject(of, "Do you deliver on Sundays?");
  const program = new Answer(t, server.address);
  await poll(async () => (await sends(of)).length > 0);
  await program.stop("SIGINT");
  assert.notEqual((await position(of))?.lagEvents, 0n);
  await sandboxOf(of).clearFaults({ account });
  const again = new Answer(t, server.address);
  await again.answered();
  await again.stop("SIGINT");
});

test("rejected credentials end answer and keep the question", async (t) => {
  const { server, of } = await answerScene(t);
  await failSends(of, 401, 1);
  await inject(of, "Do you deliver on Sundays?");
  const program = new Answer(t, server.address);
  assert.equal(await program.end(), 1);
  assert.match(program.errors, /^FAILED_PRECONDITION PROVIDER_CREDENTIALS_REJECTED: .+$/m);
  const again = new Answer(t, server.address);
  await again.answered();
  await again.stop("SIGINT");
});

test("answer survives a server restart", async (t) => {
  const store = join(await temporaryFolder(t), "store");
  const { server, of } = await answerScene(t, { store });
  // The throttling provider keeps the question unanswered.
  await failSends(of, 429);
  await inject(of, "Do you deliver on Sundays?");
  const program = new Answer(t, server.address);
  await poll(async () => (await sends(of)).length > 0);
  await server.stop("SIGTERM");
  // The program notices that the server is away. The restarted sandbox has no fault.
  await poll(async () => program.errors.includes("retrying"));
  await startSandbox(t, { store, port: Number(server.address.split(":")[1]) });
  await program.answered();
  await program.stop("SIGINT");
});
