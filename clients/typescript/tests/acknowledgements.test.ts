// Loops over a named subscription, against scripted servers.
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { SwitchboardError } from "@switchboard/client";
import {
  type AcknowledgeRequest,
  ClosingReason,
  type Event,
  EventService,
  ExpiredPolicy,
  type SubscribeRequest,
  type SubscribeResponseSchema,
  SubscriptionService,
} from "@switchboard/client/v1";
import { Deferred, take, until } from "./support/deferred.js";
import { fakeServer, serverError } from "./support/fake.js";
import { clientOf } from "./support/sandbox.js";

type Response = MessageInitShape<typeof SubscribeResponseSchema>;
type Script = (signal: AbortSignal) => AsyncIterable<Response>;
type Answer = (request: AcknowledgeRequest, signal: AbortSignal) => Promise<void> | void;

const NAMED = { start: { case: "subscriptionId", value: "billing" } } as const;

const started = (cursor: string, generation = 1n): Response => ({
  response: { case: "started", value: { cursor, generation } },
});
const event = (number: number): Response => ({
  response: { case: "event", value: { eventId: `evt_${number}`, cursor: `c${number}` } },
});
const heartbeat = (cursor: string): Response => ({ response: { case: "heartbeat", value: { cursor } } });
const closing = (cursor: string, reason: ClosingReason): Response => ({
  response: { case: "closing", value: { cursor, reason } },
});

const unavailable = () => new ConnectError("try again later", Code.Unavailable);
const notFound = () => new ConnectError("no such subscription", Code.NotFound);
const stale = () => serverError(Code.FailedPrecondition, "SUBSCRIPTION_GENERATION_STALE");
const changed = () => serverError(Code.Unavailable, "SUBSCRIPTION_CHANGED");

/** A server that runs one script per stream and one per acknowledgement, in order. The last one repeats. */
async function server(t: TestContext, scripts: Script[], answers: Answer[] = []) {
  const log: string[] = [];
  const requests: SubscribeRequest[] = [];
  const awaited = new Map<string, Deferred>();
  let acknowledged = 0;
  const note = (what: string) => {
    log.push(what);
    awaited.get(what)?.resolve();
  };
  const fake = await fakeServer(t, ({ service }) => {
    service(EventService, {
      async *subscribe(request, { signal }) {
        const script = scripts[Math.min(requests.length, scripts.length - 1)];
        requests.push(request);
        note(`subscribe ${request.start.value}`);
        yield* script?.(signal) ?? [];
      },
    });
    service(SubscriptionService, {
      acknowledge: async (request, { signal }) => {
        const answer = answers[Math.min(acknowledged++, answers.length - 1)];
        assert.equal(request.subscriptionId, "billing");
        note(`${request.cursor} of ${request.generation}`);
        await answer?.(request, signal);
        return { cursor: request.cursor };
      },
    });
  });
  return {
    ...fake,
    client: clientOf(t, fake.address),
    log,
    requests,
    /** Waits until the log contains this entry. */
    async seen(what: string): Promise<void> {
      if (!log.includes(what)) {
        const deferred = new Deferred();
        awaited.set(what, deferred);
        await deferred.promise;
      }
    },
  };
}

const open = (...responses: Response[]): Script =>
  async function* (signal) {
    yield* responses;
    await until(signal);
  };
const failing = (...responses: Response[]): Script =>
  async function* () {
    yield* responses;
    throw unavailable();
  };

/** Reads the stream in the background. */
function readInBackground<T extends { eventId: string }>(stream: AsyncIterable<T>) {
  const ids: string[] = [];
  const ended = (async () => {
    for await (const { eventId: id } of stream) {
      ids.push(id);
    }
  })();
  // The caller awaits it later.
  ended.catch(() => undefined);
  return { ids, ended };
}

test("finished events are acknowledged in one batch", async (t) => {
  const { client, log, seen } = await server(t, [open(started("c0", 7n), event(1), event(2), event(3))]);
  const stream = client.subscribe(NAMED);
  const { ids, ended } = readInBackground(stream);
  await seen("c3 of 7");
  assert.deepEqual(ids, ["evt_1", "evt_2", "evt_3"]);
  stream.close();
  await ended;
  // A position may be acknowledged twice, if the first response had not arrived.
  assert.deepEqual([...new Set(log)], ["subscribe billing", "c3 of 7"]);
});

test("a slow loop keeps acknowledging finished events", async (t) => {
  const first = new Deferred();
  const { client, log, seen } = await server(t, [
    async function* (signal) {
      yield started("c0");
      yield event(1);
      yield event(2);
      await first.promise;
      yield event(3);
      await until(signal);
    },
  ]);
  const stream = client.subscribe(NAMED);
  for await (const { eventId: id } of stream) {
    if (id === "evt_2") {
      // The unfinished event is not acknowledged.
      await seen("c1 of 1");
      first.resolve();
    } else if (id === "evt_3") {
      await seen("c2 of 1");
      break;
    }
  }
  assert.deepEqual([...new Set(log)], ["subscribe billing", "c1 of 1", "c2 of 1"]);
});

test("heartbeats are acknowledged immediately, each position once", async (t) => {
  // Mock the timers, so only a heartbeat can cause the acknowledgement.
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const second = new Deferred();
  const { client, log, seen } = await server(t, [
    async function* (signal) {
      yield started("c0");
      yield event(1);
      yield heartbeat("c5");
      await second.promise;
      yield heartbeat("c5");
      yield heartbeat("c5");
      yield heartbeat("c6");
      await until(signal);
    },
  ]);
  const stream = client.subscribe(NAMED);
  const { ended } = readInBackground(stream);
  await seen("c5 of 1");
  // The response to the first acknowledgement has arrived too.
  assert.equal(await stream.acknowledge(), true);
  second.resolve();
  await seen("c6 of 1");
  stream.close();
  await ended;
  assert.deepEqual(log.slice(0, 4), ["subscribe billing", "c5 of 1", "c5 of 1", "c6 of 1"]);
});

test("a reconnect acknowledges first, then resumes by name", async (t) => {
  const { client, log, requests } = await server(t, [
    failing(started("c0"), event(1), event(2)),
    failing(started("c2"), closing("c4", ClosingReason.SHUTDOWN)),
    failing(),
    open(started("c4"), event(5)),
  ]);
  const ids = (await take(client.subscribe(NAMED), 3)).map(({ eventId }) => eventId);
  assert.deepEqual(ids, ["evt_1", "evt_2", "evt_5"]);
  assert.deepEqual(log, [
    "subscribe billing",
    "c2 of 1",
    "subscribe billing",
    "c4 of 1",
    "subscribe billing",
    "subscribe billing",
  ]);
  assert.ok(requests.every(({ start }) => start.case === "subscriptionId"));
});

test("a failed acknowledgement delays reopening the stream", async (t) => {
  const errors: string[] = [];
  const { client, log } = await server(
    t,
    [failing(started("c0"), event(1)), open(started("c1"), event(2))],
    [() => Promise.reject(unavailable()), () => Promise.reject(unavailable()), () => undefined],
  );
  const stream = client.subscribe(NAMED, { onReconnect: ({ message }) => errors.push(message) });
  assert.equal((await take(stream, 2)).length, 2);
  assert.deepEqual(log, ["subscribe billing", "c1 of 1", "c1 of 1", "c1 of 1", "subscribe billing"]);
  assert.deepEqual(errors, Array(3).fill("UNAVAILABLE: try again later"));
});

test("an UNAVAILABLE acknowledgement is retried on the open stream", async (t) => {
  const again = new Deferred();
  const { client, log } = await server(
    t,
    [open(started("c0"), event(1))],
    [() => Promise.reject(unavailable()), () => again.resolve()],
  );
  const stream = client.subscribe(NAMED, { onReconnect: (error) => assert.fail(error) });
  const { ended } = readInBackground(stream);
  await again.promise;
  stream.close();
  await ended;
  assert.deepEqual(log.slice(0, 3), ["subscribe billing", "c1 of 1", "c1 of 1"]);
});

test("a reset acknowledgement is retried on the open stream", async (t) => {
  for (const code of [Code.Internal, Code.Unknown, Code.Canceled, Code.DeadlineExceeded]) {
    const again = new Deferred();
    const { client, log } = await server(
      t,
      [open(started("c0"), event(1))],
      [() => Promise.reject(new ConnectError("reset", code)), () => again.resolve()],
    );
    const stream = client.subscribe(NAMED, { onReconnect: (error) => assert.fail(error) });
    const { ended } = readInBackground(stream);
    await Promise.race([again.promise, ended]);
    stream.close();
    await ended;
    assert.deepEqual(log.slice(0, 3), ["subscribe billing", "c1 of 1", "c1 of 1"], Code[code]);
  }
});

test("before a reconnect, resets are retried and refusals are not", async (t) => {
  const broken = await server(
    t,
    [failing(started("c0"), event(1)), open(started("c1"), event(2))],
    [() => Promise.reject(new ConnectError("reset", Code.Internal)), () => undefined],
  );
  assert.equal((await take(broken.client.subscribe(NAMED), 2)).length, 2);
  assert.deepEqual(broken.log, ["subscribe billing", "c1 of 1", "c1 of 1", "subscribe billing"]);
  const refused = await server(
    t,
    [failing(started("c0"), event(1)), open(started("c1"), event(2))],
    [() => Promise.reject(serverError(Code.Internal, "INTERNAL"))],
  );
  await assert.rejects(take(refused.client.subscribe(NAMED), 2), { code: Code.Internal, reason: "INTERNAL" });
});

test("the server's retry delay postpones the next acknowledgement", async (t) => {
  const again = new Deferred();
  let failedAt = 0;
  const error = unavailable();
  // google.rpc.RetryInfo { retry_delay: 3 s }
  error.details = [{ type: "google.rpc.RetryInfo", value: Uint8Array.of(0x0a, 2, 0x08, 3) }];
  const { client } = await server(
    t,
    [open(started("c0"), event(1))],
    [
      () => {
        failedAt = performance.now();
        throw error;
      },
      () => again.resolve(),
    ],
  );
  const stream = client.subscribe(NAMED);
  const { ended } = readInBackground(stream);
  await again.promise;
  // A timer may fire a millisecond early.
  assert.ok(performance.now() - failedAt >= 2_990);
  stream.close();
  await ended;
});

test("a moved subscription never gets old positions acknowledged", async (t) => {
  const { client, log } = await server(
    t,
    [
      failing(started("c5", 1n), event(6), closing("c6", ClosingReason.SUBSCRIPTION_CHANGED)),
      open(started("c0", 2n), event(1), event(6)),
    ],
    [() => Promise.reject(stale()), () => undefined],
  );
  const stream = client.subscribe(NAMED);
  const ids: string[] = [];
  for await (const { eventId: id } of stream) {
    ids.push(id);
    if (ids.length === 2) {
      assert.equal(stream.cursor, "c0");
    } else if (ids.length === 3) {
      break;
    }
  }
  assert.deepEqual(ids, ["evt_6", "evt_1", "evt_6"]);
  assert.deepEqual(log, ["subscribe billing", "c6 of 1", "subscribe billing", "c1 of 2"]);
});

test("a SUBSCRIPTION_CHANGED status drops the pending position", async (t) => {
  const { client, log } = await server(t, [
    async function* () {
      yield started("c5", 1n);
      yield event(6);
      yield closing("c6", ClosingReason.SUBSCRIPTION_CHANGED);
      throw changed();
    },
    open(started("c0", 2n), event(1), event(2)),
  ]);
  await take(client.subscribe(NAMED), 3);
  assert.deepEqual(log, ["subscribe billing", "subscribe billing", "c1 of 2"]);
});

test("a stale background acknowledgement does not end the loop", async (t) => {
  const moved = new Deferred();
  const { client, log, seen } = await server(
    t,
    [
      async function* () {
        yield started("c0");
        yield event(1);
        await moved.promise;
        throw unavailable();
      },
      open(started("c0", 2n)),
    ],
    [
      () => {
        // The stream ends after the acknowledgement was refused.
        setImmediate(moved.resolve);
        throw stale();
      },
      () => undefined,
    ],
  );
  const stream = client.subscribe(NAMED);
  const { ended } = readInBackground(stream);
  await seen("c1 of 1");
  await moved.promise;
  while (log.length < 3) {
    await new Promise(setImmediate);
  }
  stream.close();
  await ended;
  assert.deepEqual(log, ["subscribe billing", "c1 of 1", "subscribe billing"]);
});

test("a deleted subscription ends the loop", async (t) => {
  const noMore = { name: "SwitchboardError", code: Code.NotFound };
  const ofStream = await server(t, [
    async function* () {
      yield started("c0");
      yield closing("c0", ClosingReason.SUBSCRIPTION_DELETED);
      throw notFound();
    },
  ]);
  await assert.rejects(take(ofStream.client.subscribe(NAMED), 1), noMore);
  const inBackground = await server(t, [open(started("c0"), event(1))], [() => Promise.reject(notFound())]);
  await assert.rejects(take(inBackground.client.subscribe(NAMED), 2), noMore);
  const beforeStream = await server(t, [failing(started("c0"), event(1))], [() => Promise.reject(notFound())]);
  await assert.rejects(take(beforeStream.client.subscribe(NAMED), 2), noMore);
  for (const { requests } of [ofStream, inBackground, beforeStream]) {
    assert.equal(requests.length, 1);
  }
});

test("break and throw acknowledge only finished events", async (t) => {
  for (const leave of ["break", "throw"]) {
    const { client, log } = await server(t, [open(started("c0"), event(1), event(2), event(3))]);
    const loop = async () => {
      for await (const { eventId: id } of client.subscribe(NAMED)) {
        if (id === "evt_3") {
          if (leave === "break") {
            break;
          }
          throw new Error("processing failed");
        }
      }
    };
    await (leave === "break" ? loop() : assert.rejects(loop(), /processing failed/));
    assert.deepEqual(log, ["subscribe billing", "c2 of 1"], leave);
  }
  const { client, log } = await server(t, [open(started("c0"), event(1))]);
  await take(client.subscribe(NAMED), 1);
  assert.deepEqual(log, ["subscribe billing"], "an unfinished event is not acknowledged");
});

test("an event is not finished if the loop is stopped meanwhile", async (t) => {
  for (const how of ["close", "signal", "client"] as const) {
    const { client, log } = await server(t, [open(started("c0"), event(1), event(2))]);
    const canceling = new AbortController();
    const stream = client.subscribe(NAMED, { signal: canceling.signal });
    const end = { close: () => stream.close(), signal: () => canceling.abort(), client: () => client.close() }[how];
    const loop = async () => {
      for await (const { eventId: id } of stream) {
        if (id === "evt_2") {
          end();
        }
      }
    };
    await (how === "signal" ? assert.rejects(loop(), { code: Code.Canceled }) : loop());
    assert.deepEqual(log, ["subscribe billing", "c1 of 1"], how);
  }
});

test("an orderly stream end is acknowledged up to its last cursor", async (t) => {
  const { client, log } = await server(t, [
    async function* () {
      yield started("c0");
      yield event(1);
      yield closing("c9", ClosingReason.IDLE_TIMEOUT);
    },
  ]);
  const events = [];
  for await (const next of client.subscribe({ ...NAMED, idleTimeout: { seconds: 1n } })) {
    events.push(next);
  }
  assert.equal(events.length, 1);
  assert.deepEqual(log, ["subscribe billing", "c9 of 1"]);
});

test("leaving the loop waits briefly and hides failures", async (t) => {
  const { client, log } = await server(t, [open(started("c0"), event(1), event(2))], [(_, signal) => until(signal)]);
  const startTime = performance.now();
  await take(client.subscribe(NAMED), 2);
  const tookMs = performance.now() - startTime;
  assert.deepEqual(log, ["subscribe billing", "c1 of 1"]);
  assert.ok(tookMs >= 1_900 && tookMs < 20_000, `${tookMs}`);
  const failing = await server(t, [open(started("c0"), event(1), event(2))], [() => Promise.reject(notFound())]);
  await take(failing.client.subscribe(NAMED), 2);
});

test("gaps are acknowledged like events", async (t) => {
  const { client, log } = await server(t, [
    open(started("c0"), { response: { case: "gap", value: { resumeCursor: "c5" } } }, event(6)),
  ]);
  await take(client.subscribe({ ...NAMED, expiredPolicy: ExpiredPolicy.SKIP_WITH_GAP }), 2);
  assert.deepEqual(log, ["subscribe billing", "c5 of 1"]);
});

test("a late acknowledgement carries its stream's generation", async (t) => {
  const { client, log } = await server(
    t,
    [
      async function* () {
        yield started("c5", 1n);
        yield event(6);
        throw changed();
      },
      open(started("c0", 2n), event(1), event(2)),
    ],
    [({ generation }) => (generation === 1n ? Promise.reject(stale()) : undefined)],
  );
  const stream = client.subscribe(NAMED);
  const [late, next] = await take(stream, 2);
  assert.equal(await stream.acknowledge(late), false);
  assert.equal(await stream.acknowledge(next), true);
  assert.deepEqual(log, ["subscribe billing", "subscribe billing", "c6 of 1", "c1 of 2"]);
});

test("acknowledge finishes the event even if the loop is left", async (t) => {
  const { client, log, requests } = await server(t, [
    failing(started("c0"), event(1), event(2)),
    open(started("c2"), event(3), event(4)),
  ]);
  const stream = client.subscribe({ ...NAMED, maxEvents: 5n });
  const seen: (string | undefined)[] = [];
  for await (const event of stream) {
    if (event.eventId === "evt_2" || event.eventId === "evt_3") {
      assert.equal(await stream.acknowledge(event), true);
      seen.push(stream.cursor);
    }
    if (event.eventId === "evt_3") {
      break;
    }
  }
  assert.deepEqual(seen, ["c2", "c3"]);
  assert.deepEqual(log, ["subscribe billing", "c2 of 1", "subscribe billing", "c3 of 1"]);
  assert.deepEqual(
    requests.map(({ maxEvents }) => maxEvents),
    [5n, 3n],
  );
});

test("acknowledge returns the outcome to the caller", async (t) => {
  const { client, log } = await server(
    t,
    [open(started("c0"), event(1), event(2), event(3))],
    [() => undefined, () => Promise.reject(stale()), () => Promise.reject(unavailable()), () => undefined],
  );
  const stream = client.subscribe(NAMED);
  await assert.rejects(stream.acknowledge(), TypeError);
  let last: Event | undefined;
  for await (const event of stream) {
    if (event.eventId === "evt_1") {
      assert.equal(await stream.acknowledge(event), true);
    } else if (event.eventId === "evt_2") {
      assert.equal(await stream.acknowledge(event), false);
    } else {
      last = event;
      await assert.rejects(stream.acknowledge({ ...event }), TypeError);
      await assert.rejects(
        stream.acknowledge(event),
        (error) => error instanceof SwitchboardError && error.code === Code.Unavailable,
      );
      break;
    }
  }
  // The end of the loop retries the failed acknowledgement.
  assert.deepEqual(log, ["subscribe billing", "c1 of 1", "c2 of 1", "c3 of 1", "c3 of 1"]);
  // Works without a loop too.
  assert.equal(await stream.acknowledge(last), true);
  assert.equal(await stream.acknowledge(), true);
  client.close();
  await assert.rejects(stream.acknowledge(last), { code: Code.Canceled });
});

test("without a named subscription nothing is acknowledged", async (t) => {
  const { client, log } = await server(t, [
    failing(started("c0"), event(1), heartbeat("c2")),
    open(started("c2"), event(3)),
  ]);
  const stream = client.subscribe({ start: { case: "afterCursor", value: "c0" } });
  const [first] = await take(stream, 2);
  await assert.rejects(stream.acknowledge(first), TypeError);
  assert.deepEqual(log, ["subscribe c0", "subscribe c2"]);
});
