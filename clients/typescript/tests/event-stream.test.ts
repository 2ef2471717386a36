import assert from "node:assert/strict";
import { once } from "node:events";
import { type TestContext, test } from "node:test";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { type EventStream, type SubscribeRequestWithGaps, SwitchboardError } from "@switchboard/client";
import {
  ClosingReason,
  type Event,
  EventService,
  ExpiredPolicy,
  StartPosition,
  type SubscribeGap,
  type SubscribeRequest,
  type SubscribeResponseSchema,
} from "@switchboard/client/v1";
import { Deferred, take, until } from "./support/deferred.js";
import { fakeServer, serverError } from "./support/fake.js";
import { clientOf } from "./support/sandbox.js";

type Response = MessageInitShape<typeof SubscribeResponseSchema>;
type Script = (request: SubscribeRequest, signal: AbortSignal) => AsyncIterable<Response>;

const started = (cursor: string, seconds = 15): Response => ({
  response: { case: "started", value: { cursor, heartbeatInterval: { seconds: BigInt(seconds) } } },
});
const event = (number: number): Response => ({
  response: { case: "event", value: { eventId: `evt_${number}`, cursor: `c${number}` } },
});
const heartbeat = (cursor: string): Response => ({ response: { case: "heartbeat", value: { cursor } } });
const closing = (cursor: string, reason: ClosingReason, nanos?: number): Response => ({
  response: {
    case: "closing",
    value: nanos === undefined ? { cursor, reason } : { cursor, reason, retryDelay: { nanos } },
  },
});
const unavailable = () => new ConnectError("the server is stopping", Code.Unavailable);

/** A server that runs one script per stream, in order. The last one repeats. */
async function streams(t: TestContext, ...scripts: Script[]) {
  const requests: SubscribeRequest[] = [];
  const server = await fakeServer(t, ({ service }) => {
    service(EventService, {
      async *subscribe(request, { signal }) {
        const script = scripts[Math.min(requests.length, scripts.length - 1)];
        requests.push(request);
        yield* script?.(request, signal) ?? [];
      },
    });
  });
  return {
    ...server,
    client: clientOf(t, server.address),
    requests,
    /** The start that each stream requested. */
    starts: () => requests.map(({ start }) => start.value),
  };
}

/** Sends the responses, then keeps the stream open. */
const open = (...responses: Response[]): Script =>
  async function* (_, signal) {
    yield* responses;
    await until(signal);
  };

/** Sends the responses, then fails with UNAVAILABLE. */
const failing = (...responses: Response[]): Script =>
  async function* () {
    yield* responses;
    throw unavailable();
  };

const ids = (events: Event[]) => events.map(({ eventId }) => eventId);

test("a broken stream resumes after the last event", async (t) => {
  const server = await streams(
    t,
    failing(started("c0"), event(1), event(2)),
    failing(started("c2"), event(3)),
    open(started("c3"), event(4)),
  );
  const reconnects: [Code, number][] = [];
  const stream = server.client.subscribe(
    { start: { case: "position", value: StartPosition.EARLIEST } },
    { onReconnect: (error, delayMs) => reconnects.push([error.code, delayMs]) },
  );
  assert.deepEqual(ids(await take(stream, 4)), ["evt_1", "evt_2", "evt_3", "evt_4"]);
  assert.deepEqual(server.starts(), [StartPosition.EARLIEST, "c2", "c3"]);
  assert.deepEqual(
    reconnects.map(([code]) => code),
    [Code.Unavailable, Code.Unavailable],
  );
  for (const [, delayMs] of reconnects) {
    assert.ok(delayMs >= 125 && delayMs <= 250, "a started stream resets the backoff");
  }
});

test("the backoff grows with jitter while no stream starts", async (t) => {
  const server = await streams(t, failing(), failing(), failing(), open(started("c0"), event(1)));
  const delays: number[] = [];
  const stream = server.client.subscribe({}, { onReconnect: (_, delayMs) => delays.push(delayMs) });
  await take(stream, 1);
  assert.equal(delays.length, 3);
  for (const [index, delayMs] of delays.entries()) {
    assert.ok(delayMs >= 125 * 2 ** index && delayMs <= 250 * 2 ** index, `${delays}`);
  }
  assert.equal(new Set(delays).size, 3);
});

test("broken connections and missing statuses reopen the stream", async (t) => {
  const server = await streams(
    t,
    open(started("c0"), event(1)),
    open(started("c1"), event(2)),
    async function* () {
      // The server ends the stream without a closing or a status.
      yield started("c2");
      yield event(3);
    },
    open(started("c3"), event(4)),
  );
  const errors: string[] = [];
  const stream = server.client.subscribe(
    { start: { case: "afterCursor", value: "c0" } },
    { onReconnect: ({ message }) => errors.push(message) },
  );
  const seen: string[] = [];
  for await (const { eventId: id } of stream) {
    seen.push(id);
    if (id === "evt_1") {
      server.cut();
    } else if (id === "evt_2") {
      server.sessions.at(-1)?.destroy();
    } else if (id === "evt_4") {
      break;
    }
  }
  assert.deepEqual(seen, ["evt_1", "evt_2", "evt_3", "evt_4"]);
  assert.deepEqual(server.starts(), ["c0", "c1", "c2", "c3"]);
  for (const message of errors) {
    assert.match(message, /^UNAVAILABLE: (http\/2 stream closed|read ECONNRESET|the stream ended unexpectedly)/);
  }
});

test("LATEST without events resumes from the started cursor", async (t) => {
  const server = await streams(t, failing(started("c7")), open(started("c7"), event(8)));
  const stream = server.client.subscribe();
  assert.equal(stream.cursor, undefined);
  await take(stream, 1);
  assert.deepEqual(server.starts(), [undefined, "c7"]);
});

test("heartbeats advance the cursor", async (t) => {
  const server = await streams(
    t,
    failing(started("c0"), event(1), heartbeat("c5")),
    failing(heartbeat("c6"), heartbeat("c7")),
    open(started("c7"), event(8)),
  );
  await take(server.client.subscribe(), 2);
  assert.deepEqual(server.starts(), [undefined, "c5", "c7"]);
});

test("requesting the next event finishes the previous one", async (t) => {
  const server = await streams(t, open(started("c0"), event(1), event(2)));
  const stream = server.client.subscribe();
  const seen: (string | undefined)[] = [];
  for await (const { eventId: id } of stream) {
    seen.push(stream.cursor);
    if (id === "evt_2") {
      break;
    }
  }
  seen.push(stream.cursor);
  assert.deepEqual(seen, ["c0", "c1", "c1"]);
});

test("an unfinished event is redelivered to the next loop", async (t) => {
  const server = await streams(t, open(started("c0"), event(1), event(2)), open(started("c1"), event(2), event(3)));
  const stream = server.client.subscribe();
  await assert.rejects(async () => {
    for await (const { eventId: id } of stream) {
      if (id === "evt_2") {
        throw new Error("processing failed");
      }
    }
  }, /processing failed/);
  assert.deepEqual(ids(await take(stream, 2)), ["evt_2", "evt_3"]);
  assert.deepEqual(server.starts(), [undefined, "c1"]);
});

test("leaving the loop closes its connection", async (t) => {
  const left = new Deferred();
  const server = await streams(t, async function* (_, signal) {
    yield started("c0");
    yield event(1);
    await until(signal);
    left.resolve();
  });
  await take(server.client.subscribe(), 1);
  await left.promise;
  const [session] = server.sessions;
  assert.ok(session);
  if (!session.destroyed) {
    await once(session, "close");
  }
});

test("an event stream opens its own connection", async (t) => {
  const server = await streams(t, open(started("c0"), event(1)));
  await assert.rejects(server.client.events.listEvents({}), { code: Code.Unimplemented });
  assert.equal(server.sessions.length, 1);
  await take(server.client.subscribe(), 1);
  assert.equal(server.sessions.length, 2);
});

test("a second concurrent loop is rejected", async (t) => {
  const server = await streams(t, open(started("c0"), event(1)));
  const stream = server.client.subscribe();
  for await (const _ of stream) {
    await assert.rejects(take(stream, 1), TypeError);
    break;
  }
});

/** Codes of a stream that a proxy reset, or that contains a message that cannot be decoded. */
const RESET_CODES: readonly Code[] = [Code.Internal, Code.Unknown, Code.Canceled];

test("an error that is not a reset ends the loop", async (t) => {
  for (const code of Object.values(Code)) {
    if (typeof code !== "number" || code === Code.Unavailable) {
      continue;
    }
    const server = await streams(t, async function* () {
      yield started("c0");
      yield event(1);
      throw RESET_CODES.includes(code) ? serverError(code, "INTERNAL") : new ConnectError("no", code);
    });
    const stream = server.client.subscribe();
    await assert.rejects(take(stream, 2), (error) => error instanceof SwitchboardError && error.code === code);
    assert.equal(stream.cursor, "c1");
    assert.equal(server.requests.length, 1, Code[code]);
  }
});

test("a reset stream is reopened at most five times in a row", async (t) => {
  const check = async (code: Code) => {
    const reset = (...responses: Response[]): Script =>
      async function* () {
        yield* responses;
        throw new ConnectError("reset", code);
      };
    const server = await streams(
      t,
      ...Array<Script>(5).fill(reset(started("c0"))),
      reset(started("c0"), event(1)),
      ...Array<Script>(4).fill(reset(started("c1"))),
      reset(started("c1"), heartbeat("c2")),
      reset(started("c2")),
    );
    const stream = server.client.subscribe();
    await assert.rejects(take(stream, 2), { name: "SwitchboardError", code, reason: "" });
    assert.equal(stream.cursor, "c2");
    // Eleven streams up to the last one with a response other than started, and five more.
    assert.equal(server.requests.length, 11 + 5, Code[code]);
  };
  await Promise.all(RESET_CODES.map(check));
});

test("UNAVAILABLE never ends the loop", async (t) => {
  const server = await streams(t, ...Array<Script>(8).fill(failing(started("c0"))), open(started("c0"), event(1)));
  assert.equal((await take(server.client.subscribe(), 1)).length, 1);
});

test("an unknown closing reason ends the loop", async (t) => {
  const server = await streams(t, async function* () {
    yield started("c0");
    yield closing("c1", 99 as ClosingReason);
  });
  for await (const _ of server.client.subscribe({}, { onReconnect: (error) => assert.fail(error) })) {
    assert.fail("unexpected event");
  }
  assert.equal(server.requests.length, 1);
});

test("a start since a time is repeated while a gap may follow", async (t) => {
  const since = { case: "since", value: { seconds: 1_800_000_000n } } as const;
  const at = (cursor: string, oldestCursor: string): Response => ({
    response: { case: "started", value: { cursor, oldestCursor } },
  });
  const server = await streams(
    t,
    failing(at("c4", "c4")),
    failing(at("c5", "c5"), { response: { case: "gap", value: { resumeCursor: "c6", missed: 2n } } }),
    failing(at("c6", "c6")),
    open(at("c6", "c6"), event(7)),
  );
  const cursors: (string | undefined)[] = [];
  const stream = server.client.subscribe(
    { start: since, expiredPolicy: ExpiredPolicy.SKIP_WITH_GAP },
    { onReconnect: () => cursors.push(stream.cursor) },
  );
  const seen = await take(stream, 2);
  assert.deepEqual(
    seen.map(({ $typeName }) => $typeName),
    ["switchboard.v1.SubscribeGap", "switchboard.v1.Event"],
  );
  const starts = () => server.requests.map(({ start }) => (start.case === "since" ? "since" : start.value));
  assert.deepEqual(starts(), ["since", "since", "c6", "c6"]);
  assert.deepEqual(cursors, [undefined, "c6", "c6"]);

  // If no event is missing, or no gap is requested, repeating the time could skip events that arrived meanwhile.
  for (const [expiredPolicy, oldest] of [
    [ExpiredPolicy.SKIP_WITH_GAP, "c0"],
    [ExpiredPolicy.FAIL, "c4"],
  ] as const) {
    const server = await streams(t, failing(at("c4", oldest)), open(at("c4", oldest), event(5)));
    await take(server.client.subscribe({ start: since, expiredPolicy } as SubscribeRequestWithGaps), 1);
    assert.deepEqual(
      server.requests.map(({ start }) => start.case),
      ["since", "afterCursor"],
    );
  }
});

test("a server delay above 30 seconds is capped", async (t) => {
  const reconnects: number[] = [];
  const overLong = unavailable();
  // google.rpc.RetryInfo { retry_delay: 100 s }
  overLong.details = [{ type: "google.rpc.RetryInfo", value: Uint8Array.of(0x0a, 2, 0x08, 100) }];
  const server = await streams(t, async function* () {
    yield started("c0");
    throw overLong;
  });
  const stream = server.client.subscribe(
    {},
    {
      onReconnect: (_, delayMs) => {
        reconnects.push(delayMs);
        stream.close();
      },
    },
  );
  await take(stream, 1);
  assert.equal(reconnects.length, 1);
  assert.ok((reconnects[0] ?? 0) > 30_000 && (reconnects[0] ?? 0) <= 30_250, `${reconnects}`);
});

test("a shutting down server is given its retry_delay", async (t) => {
  const server = await streams(
    t,
    failing(started("c0"), event(1), closing("c3", ClosingReason.SHUTDOWN, 400_000_000)),
    open(started("c3"), event(4)),
  );
  const startTime = performance.now();
  assert.deepEqual(ids(await take(server.client.subscribe(), 2)), ["evt_1", "evt_4"]);
  assert.ok(performance.now() - startTime >= 400);
  assert.deepEqual(server.starts(), [undefined, "c3"]);
});

test("max_events counts events of all streams and ends the loop", async (t) => {
  const server = await streams(t, failing(started("c0"), event(1), event(2)), async function* () {
    yield started("c2");
    yield event(3);
    yield closing("c3", ClosingReason.MAX_EVENTS);
  });
  const events: Event[] = [];
  const stream = server.client.subscribe({ maxEvents: 3n });
  for await (const next of stream) {
    events.push(next);
  }
  assert.deepEqual(ids(events), ["evt_1", "evt_2", "evt_3"]);
  assert.deepEqual(
    server.requests.map(({ maxEvents }) => maxEvents),
    [3n, 1n],
  );
  assert.equal(stream.cursor, "c3");
  for await (const _ of stream) {
    assert.fail("unexpected event");
  }
});

test("idle_timeout ends the loop", async (t) => {
  const server = await streams(t, async function* () {
    yield started("c0");
    yield closing("c9", ClosingReason.IDLE_TIMEOUT);
  });
  const stream = server.client.subscribe({ idleTimeout: { seconds: 1n } });
  for await (const _ of stream) {
    assert.fail("unexpected event");
  }
  assert.equal(stream.cursor, "c9");
  assert.equal(server.requests.length, 1);
});

test("requested gaps are delivered between events", async (t) => {
  const server = await streams(
    t,
    failing(started("c0"), event(1), {
      response: { case: "gap", value: { afterCursor: "c1", resumeCursor: "c5", missed: 4n } },
    }),
    open(started("c5"), event(6)),
  );
  const stream: EventStream<Event | SubscribeGap> = server.client.subscribe({
    expiredPolicy: ExpiredPolicy.SKIP_WITH_GAP,
  });
  const seen = [];
  for await (const item of stream) {
    seen.push(item.$typeName === "switchboard.v1.SubscribeGap" ? item.missed : item.eventId);
    if (seen.length === 3) {
      break;
    }
  }
  assert.deepEqual(seen, ["evt_1", 4n, "evt_6"]);
  assert.deepEqual(server.starts(), [undefined, "c5"]);
  assert.ok(server.requests.every(({ expiredPolicy }) => expiredPolicy === ExpiredPolicy.SKIP_WITH_GAP));
});

test("the item type includes gaps only if requested", () => {
  // Checked by the compiler, never run.
  return;
  // biome-ignore lint/correctness/noUnreachable: only the compiler checks it.
  const client = {} as ReturnType<typeof clientOf>;
  const events: EventStream<Event> = client.subscribe({ filter: { types: ["message.*"] } });
  // @ts-expect-error A gap is not an event.
  const gaps: EventStream<Event> = client.subscribe({ expiredPolicy: ExpiredPolicy.SKIP_WITH_GAP });
  // @ts-expect-error The field does not exist.
  client.subscribe({ filters: {} });
  console.log(events, gaps);
});

test("close ends the loop without an error in any state", async (t) => {
  const server = await streams(t, open(started("c0"), event(1)), failing());
  const waiting = server.client.subscribe();
  const seen = [];
  for await (const { eventId: id } of waiting) {
    seen.push(id);
    setImmediate(() => waiting.close());
  }
  assert.deepEqual(seen, ["evt_1"]);
  const pausing = server.client.subscribe({}, { onReconnect: () => pausing.close() });
  for await (const _ of pausing) {
    assert.fail("unexpected event");
  }
  const ofClient = server.client.subscribe({}, { onReconnect: () => server.client.close() });
  for await (const _ of ofClient) {
    assert.fail("unexpected event");
  }
});

test("a signal ends the loop with CANCELED", async (t) => {
  const server = await streams(t, open(started("c0"), event(1)));
  const canceling = new AbortController();
  const stream = server.client.subscribe({}, { signal: canceling.signal });
  await assert.rejects(
    async () => {
      for await (const _ of stream) {
        setImmediate(() => canceling.abort());
      }
    },
    { name: "SwitchboardError", code: Code.Canceled },
  );
  await assert.rejects(take(stream, 1), { name: "SwitchboardError", code: Code.Canceled });
});

test("a stream silent for two heartbeat intervals is reopened", async (t) => {
  const server = await streams(t, open(started("c0", 1), event(1)), open(started("c1", 1), event(2)));
  const errors: SwitchboardError[] = [];
  const startTime = performance.now();
  const stream = server.client.subscribe(
    { heartbeatInterval: { seconds: 1n } },
    { onReconnect: (error) => errors.push(error) },
  );
  assert.deepEqual(ids(await take(stream, 2)), ["evt_1", "evt_2"]);
  assert.ok(performance.now() - startTime >= 2000);
  assert.deepEqual(
    errors.map(({ message }) => message),
    ["UNAVAILABLE: no response for 2000 ms"],
  );
});

test("heartbeats keep the stream open during slow processing", async (t) => {
  const slept = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
  const server = await streams(t, async function* (_, signal) {
    yield started("c0", 1);
    yield event(1);
    for (const cursor of ["c2", "c3", "c4"]) {
      await slept(1000);
      yield heartbeat(cursor);
    }
    yield event(5);
    await until(signal);
  });
  const stream = server.client.subscribe({}, { onReconnect: (error) => assert.fail(error) });
  for await (const { eventId: id } of stream) {
    if (id === "evt_5") {
      break;
    }
    // Longer than two heartbeat intervals.
    await slept(2500);
  }
  assert.equal(server.requests.length, 1);
});

test("a stream that does not start in ten seconds is reopened", async (t) => {
  const called = new Deferred();
  const server = await streams(
    t,
    async function* (_, signal) {
      called.resolve();
      await until(signal);
      yield* [];
    },
    open(started("c0"), event(1)),
  );
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const errors: SwitchboardError[] = [];
  const again = new Deferred();
  const events = take(
    server.client.subscribe(
      {},
      {
        onReconnect: (error) => {
          errors.push(error);
          again.resolve();
        },
      },
    ),
    1,
  );
  await called.promise;
  t.mock.timers.tick(9_999);
  assert.equal(errors.length, 0);
  t.mock.timers.tick(1);
  await again.promise;
  await new Promise(setImmediate);
  t.mock.timers.tick(250);
  assert.equal((await events).length, 1);
  assert.deepEqual(
    errors.map(({ message }) => message),
    ["UNAVAILABLE: no response for 10000 ms"],
  );
});

test("a request changed later does not affect the stream", async (t) => {
  const server = await streams(t, failing(started("c0"), event(1)), open(started("c1"), event(2)));
  const filter = { types: ["message.*"] };
  const stream = server.client.subscribe({ filter });
  filter.types = ["report.*"];
  await take(stream, 2);
  assert.deepEqual(
    server.requests.map(({ filter }) => filter?.types),
    [["message.*"], ["message.*"]],
  );
});
