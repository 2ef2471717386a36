// Errors, deadlines, stalled connections and restarts with the real server.
import assert from "node:assert/strict";
import { join } from "node:path";
import { before, test } from "node:test";
import { Code, parseReason, type SwitchboardClient, SwitchboardError } from "@switchboard/client";
import { FaultKind } from "@switchboard/client/sandbox/v1";
import { type Event, Reason, StartPosition } from "@switchboard/client/v1";
import { Deferred, take } from "./support/deferred.js";
import { health, reflection } from "./support/grpc.js";
import { proxyTo } from "./support/proxy.js";
import { clientOf, fileScope, sandboxOf, startSandbox, temporaryFolder } from "./support/sandbox.js";

const CONNECTBY = "demo-connectby";
const CONNECTLY = "demo-connectly";
const CUSTOMER = "+15550100001";
const EARLIEST = { case: "position", value: StartPosition.EARLIEST } as const;
const text = { case: "text", value: { body: "Hello!" } } as const;

let address: string;
const scope = fileScope();
let client: SwitchboardClient;
before(async () => {
  ({ address } = await startSandbox(scope));
  client = clientOf(scope, address);
});

async function failureOf(call: Promise<unknown>): Promise<SwitchboardError> {
  const error = await call.then(
    () => assert.fail("the call did not fail"),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof SwitchboardError);
  return error;
}

test("an invalid request reports every field violation", async () => {
  const error = await failureOf(
    client.messages.sendMessage({
      account: CONNECTBY,
      to: "nobody",
      sender: "+15550100002",
      content: { case: "text", value: { body: "" } },
    }),
  );
  assert.deepEqual([error.code, error.reason, error.domain], [Code.InvalidArgument, "REQUEST_INVALID", "switchboard"]);
  assert.deepEqual(
    error.fieldViolations.map(({ field, reason }) => [field, reason]),
    [
      ["to", "MALFORMED"],
      ["text.body", "REQUIRED"],
      ["sender", "UNSUPPORTED"],
    ],
  );
  assert.ok(error.fieldViolations.every(({ description }) => description.length > 0));
});

test("an invalid file is refused during the upload", async () => {
  const file = new Uint8Array(3_000_000);
  const error = await failureOf(client.sendMedia({ account: CONNECTBY, to: CUSTOMER }, file, { timeoutMs: 20_000 }));
  assert.deepEqual([error.code, error.reason], [Code.InvalidArgument, "REQUEST_INVALID"]);
  assert.equal(error.fieldViolations[0]?.field, "chunk");
});

test("an error carries its metadata", async () => {
  const error = await failureOf(client.accounts.getAccount({ account: "nobody" }));
  assert.deepEqual([error.code, error.reason], [Code.NotFound, "ACCOUNT_NOT_FOUND"]);
  assert.deepEqual(error.metadata, { account: "nobody" });
});

test("an unknown outcome carries request_id and attempt", async (t) => {
  const sandbox = sandboxOf(client);
  t.after(() => sandbox.clearFaults({ account: CONNECTBY }));
  await sandbox.setFault({ account: CONNECTBY, kind: FaultKind.CUT_AFTER_READING, operation: "send_text", times: 1 });
  const request = { account: CONNECTBY, to: CUSTOMER, content: text };
  let open: { requestId: string; attempt: number } | undefined;
  try {
    await client.messages.sendMessage(request);
  } catch (error) {
    if (!(error instanceof SwitchboardError && parseReason(error.reason) === Reason.SEND_OUTCOME_UNKNOWN)) {
      throw error;
    }
    // The message may or may not have been sent. Use these values to query its state, or to resend it explicitly.
    open = { requestId: error.requestId ?? "", attempt: Number(error.metadata["attempt"]) };
  }
  assert.ok(open);
  const { requestId, attempt } = open;
  const repeated = await failureOf(client.messages.sendMessage({ ...request, requestId }));
  assert.equal(repeated.code, Code.FailedPrecondition);
  assert.equal(repeated.reason, "SEND_OUTCOME_UNKNOWN", "the client does not resend by itself");
  const { message } = await client.messages.sendMessage({ ...request, requestId, resendAfterAttempt: attempt });
  assert.deepEqual([message?.attempt, message?.requestId], [2, requestId]);
});

test("a deadline ends a stream", async () => {
  const startTime = performance.now();
  const error = await failureOf(take(client.events.subscribe({}, { timeoutMs: 500 }), 9));
  assert.equal(error.code, Code.DeadlineExceeded);
  assert.ok(performance.now() - startTime < 10_000);
});

test("a cancel ends a call and a stream", async (t) => {
  const sandbox = sandboxOf(client);
  t.after(() => sandbox.clearFaults({ account: CONNECTBY }));
  await sandbox.setFault({ account: CONNECTBY, kind: FaultKind.LATENCY, latency: { seconds: 20n } });
  const startTime = performance.now();
  const canceling = new AbortController();
  const { signal } = canceling;
  const call = failureOf(client.templates.listTemplates({ account: CONNECTBY }, { signal }));
  const stream = failureOf(
    (async () => {
      for await (const { response } of client.events.subscribe({}, { signal })) {
        assert.equal(response.case, "started");
        canceling.abort();
      }
    })(),
  );
  assert.deepEqual([(await call).code, (await stream).code], [Code.Canceled, Code.Canceled]);
  assert.ok(performance.now() - startTime < 10_000);
});

test("health and reflection work over the same transport", async () => {
  assert.equal(await health(client.transport, "switchboard.v1.EventService"), "SERVING");
  await assert.rejects(health(client.transport, "nobody"), { name: "SwitchboardError", code: Code.NotFound });
  const services = await reflection(client.transport);
  assert.ok(services.includes("switchboard.v1.MessageService"));
  assert.ok(services.includes("grpc.health.v1.Health"));
});

test("server restarts lose and repeat no event", async (t) => {
  const store = join(await temporaryFolder(t), "journal.db");
  let server = await startSandbox(t, { store });
  const { address } = server;
  const port = Number(address.split(":")[1]);
  const switchboard = clientOf(t, address);
  const sandbox = sandboxOf(switchboard);

  // Customers keep sending messages.
  const accepted: string[] = [];
  let up = new Deferred();
  up.resolve();
  let writing = true;
  const customers = (async () => {
    for (let number = 1; writing; number++) {
      try {
        const answer = await sandbox.injectMessage({ account: CONNECTLY, sender: CUSTOMER, text: `number ${number}` });
        if (answer.webhookStatus === 200) {
          accepted.push(answer.providerMessageId);
        }
      } catch {
        await up.promise;
      }
    }
  })();

  const reconnects: SwitchboardError[] = [];
  const stream = switchboard.subscribe({ start: EARLIEST }, { onReconnect: (error) => reconnects.push(error) });
  const events: Event[] = [];
  let last: string | undefined;
  // Kill, orderly shutdown, kill.
  const signals = ["SIGKILL", "SIGTERM", "SIGKILL"] as const;
  let restarts = 0;
  let next = 30;
  let reconnectsAtStop: number | undefined;
  for await (const event of stream) {
    events.push(event);
    if (event.eventId === last) {
      break;
    }
    // Events that arrived before a stop may follow it, so wait until the stream was reopened.
    if (last !== undefined || events.length < next || reconnects.length === reconnectsAtStop) {
      continue;
    }
    await up.promise;
    const signal = signals[restarts];
    if (signal !== undefined) {
      restarts++;
      next = events.length + 30;
      reconnectsAtStop = reconnects.length;
      up = new Deferred();
      // Do not await it: the loop must continue while the server stops.
      void server.stop(signal).then(async () => {
        server = await startSandbox(t, { port, store });
        up.resolve();
      });
    } else {
      writing = false;
      await customers;
      last = (await switchboard.events.listEvents({}, { timeoutMs: 20_000 })).events.at(-1)?.eventId;
      if (event.eventId === last) {
        break;
      }
    }
  }

  const journal: Event[] = [];
  for (let anchor: Parameters<typeof switchboard.events.listEvents>[0]["anchor"] = EARLIEST; ; ) {
    const page = await switchboard.events.listEvents({ anchor }, { timeoutMs: 20_000 });
    journal.push(...page.events);
    if (page.reachedNewest) {
      break;
    }
    anchor = { case: "afterCursor", value: page.nextCursor };
  }
  const ids = (some: Event[]) => some.map(({ eventId }) => eventId);
  assert.ok(events.length >= 120, `${events.length}`);
  assert.deepEqual(ids(events), ids(journal), "the loop delivered exactly the events of the journal");
  const received = events.map(({ payload }) =>
    payload.case === "messageReceived" ? payload.value.providerMessageId : "",
  );
  assert.deepEqual(
    received.filter((id) => accepted.includes(id)),
    accepted,
    "the loop delivered every accepted message in order",
  );
  assert.ok(reconnects.length >= 3);
  assert.ok(reconnects.every(({ code }) => code === Code.Unavailable));

  const middle = events[40];
  const rest = switchboard.subscribe({ start: { case: "afterCursor", value: middle?.cursor ?? "" } });
  assert.deepEqual(
    ids(await take(rest, events.length - 41)),
    ids(events.slice(41)),
    "the loop can resume after any cursor",
  );
});

test("a stalled connection is replaced without losing events", async (t) => {
  const proxy = await proxyTo(t, address);
  const errors: string[] = [];
  const stream = clientOf(t, proxy.address).subscribe(
    { filter: { types: ["message.received"] }, start: EARLIEST, heartbeatInterval: { seconds: 1n } },
    { onReconnect: ({ message }) => errors.push(message) },
  );
  const sandbox = sandboxOf(client);
  const inject = (words: string) => sandbox.injectMessage({ account: CONNECTLY, sender: "+15550100070", text: words });
  await inject("before");
  const seen: string[] = [];
  for await (const { payload } of stream) {
    const words =
      payload.case === "messageReceived" && payload.value.content.case === "text"
        ? payload.value.content.value.body
        : "";
    if (words === "before") {
      proxy.stall();
      await inject("meanwhile");
    }
    seen.push(words);
    if (words === "meanwhile") {
      break;
    }
  }
  assert.deepEqual(seen.slice(-2), ["before", "meanwhile"]);
  assert.deepEqual(errors, ["UNAVAILABLE: no response for 2000 ms"]);
  assert.equal(proxy.connections(), 2);
});

test("a malformed cursor ends the loop", async () => {
  const stream = client.subscribe({ start: { case: "afterCursor", value: "made up" } });
  const error = await failureOf(take(stream, 1));
  assert.deepEqual([error.code, error.reason], [Code.InvalidArgument, "CURSOR_MALFORMED"]);
  assert.equal(error.fieldViolations[0]?.field, "after_cursor");
});

// Keep this test last: the provider's delay pauses the account from now on.
test("a provider's delay is passed on", async (t) => {
  const sandbox = sandboxOf(client);
  t.after(() => sandbox.clearFaults({ account: CONNECTBY }));
  await sandbox.setFault({ account: CONNECTBY, kind: FaultKind.STATUS, httpStatus: 429, retryAfter: "77" });
  const error = await failureOf(client.templates.listTemplates({ account: CONNECTBY }, { timeoutMs: 5_000 }));
  assert.equal(error.code, Code.ResourceExhausted);
  assert.ok((error.retryDelayMs ?? 0) > 60_000 && (error.retryDelayMs ?? 0) <= 77_000, `${error.retryDelayMs}`);
});
