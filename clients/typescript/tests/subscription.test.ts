import assert from "node:assert/strict";
import { once } from "node:events";
import { type TestContext, test } from "node:test";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { type SubscribeRequestWithGaps, type Subscription, SwitchboardError } from "@switchboard/client";
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
import { fakeServer, refusal } from "./support/fake.js";
import { Later, take, until } from "./support/later.js";
import { clientOf } from "./support/sandbox.js";

type Response = MessageInitShape<typeof SubscribeResponseSchema>;
type Script = (request: SubscribeRequest, signal: AbortSignal) => AsyncIterable<Response>;

const started = (cursor: string, seconds = 15): Response => ({
  response: { case: "started", value: { cursor, heartbeatInterval: { seconds: BigInt(seconds) } } },
});
const event = (number: number): Response => ({
  response: { case: "event", value: { id: `evt_${number}`, cursor: `c${number}` } },
});
const heartbeat = (cursor: string): Response => ({ response: { case: "heartbeat", value: { cursor } } });
const closing = (cursor: string, reason: ClosingReason, nanos?: number): Response => ({
  response: {
    case: "closing",
    value: nanos === undefined ? { cursor, reason } : { cursor, reason, retryAfter: { nanos } },
  },
});
const unavailable = () => new ConnectError("the server is stopping", Code.Unavailable);

/** A server whose streams go by these scripts, one after the other; the last for all that come then. */
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
    /** Where each stream was asked to start. */
    starts: () => requests.map(({ start }) => start.value),
  };
}

/** A stream of these, that stays open. */
const open = (...responses: Response[]): Script =>
  async function* (_, signal) {
    yield* responses;
    await until(signal);
  };

/** A stream of these, that then breaks. */
const breaking = (...responses: Response[]): Script =>
  async function* () {
    yield* responses;
    throw unavailable();
  };

const ids = (events: Event[]) => events.map(({ id }) => id);

test("a broken stream goes on behind the last event", async (t) => {
  const server = await streams(
    t,
    breaking(started("c0"), event(1), event(2)),
    breaking(started("c2"), event(3)),
    open(started("c3"), event(4)),
  );
  const told: [Code, number][] = [];
  const subscription = server.client.subscribe(
    { start: { case: "position", value: StartPosition.EARLIEST } },
    { onReconnect: (error, delayMs) => told.push([error.code, delayMs]) },
  );
  assert.deepEqual(ids(await take(subscription, 4)), ["evt_1", "evt_2", "evt_3", "evt_4"]);
  assert.deepEqual(server.starts(), [StartPosition.EARLIEST, "c2", "c3"]);
  assert.deepEqual(
    told.map(([code]) => code),
    [Code.Unavailable, Code.Unavailable],
  );
  for (const [, delayMs] of told) {
    assert.ok(delayMs >= 125 && delayMs <= 250, "the delay begins anew when a stream has started");
  }
});

test("the delay grows while no stream starts, and no two are the same", async (t) => {
  const server = await streams(t, breaking(), breaking(), breaking(), open(started("c0"), event(1)));
  const delays: number[] = [];
  const subscription = server.client.subscribe({}, { onReconnect: (_, delayMs) => delays.push(delayMs) });
  await take(subscription, 1);
  assert.equal(delays.length, 3);
  for (const [index, delayMs] of delays.entries()) {
    assert.ok(delayMs >= 125 * 2 ** index && delayMs <= 250 * 2 ** index, `${delays}`);
  }
  assert.equal(new Set(delays).size, 3);
});

test("connections that break, and streams that end without a status, are opened anew", async (t) => {
  const server = await streams(
    t,
    open(started("c0"), event(1)),
    open(started("c1"), event(2)),
    async function* () {
      // A server that ends a stream without having been asked to.
      yield started("c2");
      yield event(3);
    },
    open(started("c3"), event(4)),
  );
  const errors: string[] = [];
  const subscription = server.client.subscribe(
    { start: { case: "afterCursor", value: "c0" } },
    { onReconnect: ({ message }) => errors.push(message) },
  );
  const seen: string[] = [];
  for await (const { id } of subscription) {
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
    assert.match(message, /^UNAVAILABLE: (http\/2 stream closed|read ECONNRESET|the stream ended unasked)/);
  }
});

test("LATEST goes on where the first stream started, though no event came", async (t) => {
  const server = await streams(t, breaking(started("c7")), open(started("c7"), event(8)));
  const subscription = server.client.subscribe();
  assert.equal(subscription.cursor, undefined);
  await take(subscription, 1);
  assert.deepEqual(server.starts(), [undefined, "c7"]);
});

test("heartbeats move the cursor", async (t) => {
  const server = await streams(
    t,
    breaking(started("c0"), event(1), heartbeat("c5")),
    breaking(heartbeat("c6"), heartbeat("c7")),
    open(started("c7"), event(8)),
  );
  await take(server.client.subscribe(), 2);
  assert.deepEqual(server.starts(), [undefined, "c5", "c7"]);
});

test("asking for the next event finishes the one before", async (t) => {
  const server = await streams(t, open(started("c0"), event(1), event(2)));
  const subscription = server.client.subscribe();
  const seen: (string | undefined)[] = [];
  for await (const { id } of subscription) {
    seen.push(subscription.cursor);
    if (id === "evt_2") {
      break;
    }
  }
  seen.push(subscription.cursor);
  assert.deepEqual(seen, ["c0", "c1", "c1"]);
});

test("a loop that breaks off or fails gets the unfinished event again", async (t) => {
  const server = await streams(t, open(started("c0"), event(1), event(2)), open(started("c1"), event(2), event(3)));
  const subscription = server.client.subscribe();
  await assert.rejects(async () => {
    for await (const { id } of subscription) {
      if (id === "evt_2") {
        throw new Error("not today");
      }
    }
  }, /not today/);
  assert.deepEqual(ids(await take(subscription, 2)), ["evt_2", "evt_3"]);
  assert.deepEqual(server.starts(), [undefined, "c1"]);
});

test("a loop that is left closes its connection", async (t) => {
  const left = new Later();
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

test("a subscription has a connection of its own", async (t) => {
  const server = await streams(t, open(started("c0"), event(1)));
  await assert.rejects(server.client.events.listEvents({}), { code: Code.Unimplemented });
  assert.equal(server.sessions.length, 1);
  await take(server.client.subscribe(), 1);
  assert.equal(server.sessions.length, 2);
});

test("two loops at a time are refused", async (t) => {
  const server = await streams(t, open(started("c0"), event(1)));
  const subscription = server.client.subscribe();
  for await (const _ of subscription) {
    await assert.rejects(take(subscription, 1), TypeError);
    break;
  }
});

/** Codes that a stream has which was reset on its way, or holds a message that cannot be read. */
const BROKEN: readonly Code[] = [Code.Internal, Code.Unknown, Code.Canceled];

test("whatever is no broken stream ends the loop with the error", async (t) => {
  for (const code of Object.values(Code)) {
    if (typeof code !== "number" || code === Code.Unavailable) {
      continue;
    }
    const server = await streams(t, async function* () {
      yield started("c0");
      yield event(1);
      throw BROKEN.includes(code) ? refusal(code, "INTERNAL") : new ConnectError("no", code);
    });
    const subscription = server.client.subscribe();
    await assert.rejects(take(subscription, 2), (error) => error instanceof SwitchboardError && error.code === code);
    assert.equal(subscription.cursor, "c1");
    assert.equal(server.requests.length, 1, Code[code]);
  }
});

test("a stream that broke is opened anew, five times in a row when it brings nothing", async (t) => {
  const check = async (code: Code) => {
    const broken = (...responses: Response[]): Script =>
      async function* () {
        yield* responses;
        throw new ConnectError("reset", code);
      };
    const server = await streams(
      t,
      ...Array<Script>(5).fill(broken(started("c0"))),
      broken(started("c0"), event(1)),
      ...Array<Script>(4).fill(broken(started("c1"))),
      broken(started("c1"), heartbeat("c2")),
      broken(started("c2")),
    );
    const subscription = server.client.subscribe();
    await assert.rejects(take(subscription, 2), { name: "SwitchboardError", code, reason: "" });
    assert.equal(subscription.cursor, "c2");
    // The last that brought something, and five more.
    assert.equal(server.requests.length, 11 + 5, Code[code]);
  };
  await Promise.all(BROKEN.map(check));
});

test("UNAVAILABLE never ends the loop", async (t) => {
  const server = await streams(t, ...Array<Script>(8).fill(breaking(started("c0"))), open(started("c0"), event(1)));
  assert.equal((await take(server.client.subscribe(), 1)).length, 1);
});

test("a closing of a kind that is not known ends the loop", async (t) => {
  const server = await streams(t, async function* () {
    yield started("c0");
    yield closing("c1", 99 as ClosingReason);
  });
  for await (const _ of server.client.subscribe({}, { onReconnect: (error) => assert.fail(error) })) {
    assert.fail("there was no event");
  }
  assert.equal(server.requests.length, 1);
});

test("a start since a time is asked for again until something came, where a gap may be to come", async (t) => {
  const since = { case: "since", value: { seconds: 1_800_000_000n } } as const;
  const at = (cursor: string, oldestCursor: string): Response => ({
    response: { case: "started", value: { cursor, oldestCursor } },
  });
  const server = await streams(
    t,
    breaking(at("c4", "c4")),
    breaking(at("c5", "c5"), { response: { case: "gap", value: { resumeCursor: "c6", missed: 2n } } }),
    breaking(at("c6", "c6")),
    open(at("c6", "c6"), event(7)),
  );
  const cursors: (string | undefined)[] = [];
  const subscription = server.client.subscribe(
    { start: since, expiredPolicy: ExpiredPolicy.SKIP_WITH_GAP },
    { onReconnect: () => cursors.push(subscription.cursor) },
  );
  const seen = await take(subscription, 2);
  assert.deepEqual(
    seen.map(({ $typeName }) => $typeName),
    ["switchboard.v1.SubscribeGap", "switchboard.v1.Event"],
  );
  const asked = () => server.requests.map(({ start }) => (start.case === "since" ? "since" : start.value));
  assert.deepEqual(asked(), ["since", "since", "c6", "c6"]);
  assert.deepEqual(cursors, [undefined, "c6", "c6"]);

  // Where nothing is missing, or nobody wants to hear of it, the time could pass over what has come since.
  for (const [expiredPolicy, oldest] of [
    [ExpiredPolicy.SKIP_WITH_GAP, "c0"],
    [ExpiredPolicy.FAIL, "c4"],
  ] as const) {
    const server = await streams(t, breaking(at("c4", oldest)), open(at("c4", oldest), event(5)));
    await take(server.client.subscribe({ start: since, expiredPolicy } as SubscribeRequestWithGaps), 1);
    assert.deepEqual(
      server.requests.map(({ start }) => start.case),
      ["since", "afterCursor"],
    );
  }
});

test("a delay of more than half a minute is not waited for to its end", async (t) => {
  const told: number[] = [];
  const overLong = unavailable();
  // google.rpc.RetryInfo { retry_delay: 100 s }
  overLong.details = [{ type: "google.rpc.RetryInfo", value: Uint8Array.of(0x0a, 2, 0x08, 100) }];
  const server = await streams(t, async function* () {
    yield started("c0");
    throw overLong;
  });
  const subscription = server.client.subscribe(
    {},
    {
      onReconnect: (_, delayMs) => {
        told.push(delayMs);
        subscription.close();
      },
    },
  );
  await take(subscription, 1);
  assert.equal(told.length, 1);
  assert.ok((told[0] ?? 0) > 30_000 && (told[0] ?? 0) <= 30_250, `${told}`);
});

test("a server that shuts down is given the time that it asks for", async (t) => {
  const server = await streams(
    t,
    breaking(started("c0"), event(1), closing("c3", ClosingReason.SHUTDOWN, 400_000_000)),
    open(started("c3"), event(4)),
  );
  const begun = performance.now();
  assert.deepEqual(ids(await take(server.client.subscribe(), 2)), ["evt_1", "evt_4"]);
  assert.ok(performance.now() - begun >= 400);
  assert.deepEqual(server.starts(), [undefined, "c3"]);
});

test("a stream that was to end ends the loop, and its events are counted over all streams", async (t) => {
  const server = await streams(t, breaking(started("c0"), event(1), event(2)), async function* () {
    yield started("c2");
    yield event(3);
    yield closing("c3", ClosingReason.MAX_EVENTS);
  });
  const events: Event[] = [];
  const subscription = server.client.subscribe({ maxEvents: 3n });
  for await (const next of subscription) {
    events.push(next);
  }
  assert.deepEqual(ids(events), ["evt_1", "evt_2", "evt_3"]);
  assert.deepEqual(
    server.requests.map(({ maxEvents }) => maxEvents),
    [3n, 1n],
  );
  assert.equal(subscription.cursor, "c3");
  for await (const _ of subscription) {
    assert.fail("there was to be no more");
  }
});

test("idle_timeout ends the loop", async (t) => {
  const server = await streams(t, async function* () {
    yield started("c0");
    yield closing("c9", ClosingReason.IDLE_TIMEOUT);
  });
  const subscription = server.client.subscribe({ idleTimeout: { seconds: 1n } });
  for await (const _ of subscription) {
    assert.fail("there was no event");
  }
  assert.equal(subscription.cursor, "c9");
  assert.equal(server.requests.length, 1);
});

test("gaps come between the events where they were asked for", async (t) => {
  const server = await streams(
    t,
    breaking(started("c0"), event(1), {
      response: { case: "gap", value: { afterCursor: "c1", resumeCursor: "c5", missed: 4n } },
    }),
    open(started("c5"), event(6)),
  );
  const subscription: Subscription<Event | SubscribeGap> = server.client.subscribe({
    expiredPolicy: ExpiredPolicy.SKIP_WITH_GAP,
  });
  const seen = [];
  for await (const item of subscription) {
    seen.push(item.$typeName === "switchboard.v1.SubscribeGap" ? item.missed : item.id);
    if (seen.length === 3) {
      break;
    }
  }
  assert.deepEqual(seen, ["evt_1", 4n, "evt_6"]);
  assert.deepEqual(server.starts(), [undefined, "c5"]);
  assert.ok(server.requests.every(({ expiredPolicy }) => expiredPolicy === ExpiredPolicy.SKIP_WITH_GAP));
});

test("the type knows whether gaps were asked for", () => {
  // Compiled, never run.
  return;
  // biome-ignore lint/correctness/noUnreachable: it is for the compiler.
  const client = {} as ReturnType<typeof clientOf>;
  const events: Subscription<Event> = client.subscribe({ filter: { types: ["message.*"] } });
  // @ts-expect-error A gap is no event.
  const gaps: Subscription<Event> = client.subscribe({ expiredPolicy: ExpiredPolicy.SKIP_WITH_GAP });
  // @ts-expect-error There is no such field.
  client.subscribe({ filters: {} });
  console.log(events, gaps);
});

test("close ends the loop without an error, wherever it is", async (t) => {
  const server = await streams(t, open(started("c0"), event(1)), breaking());
  const waiting = server.client.subscribe();
  const seen = [];
  for await (const { id } of waiting) {
    seen.push(id);
    setImmediate(() => waiting.close());
  }
  assert.deepEqual(seen, ["evt_1"]);
  const pausing = server.client.subscribe({}, { onReconnect: () => pausing.close() });
  for await (const _ of pausing) {
    assert.fail("there was no event");
  }
  const ofClient = server.client.subscribe({}, { onReconnect: () => server.client.close() });
  for await (const _ of ofClient) {
    assert.fail("there was no event");
  }
});

test("a signal ends the loop with CANCELED", async (t) => {
  const server = await streams(t, open(started("c0"), event(1)));
  const canceling = new AbortController();
  const subscription = server.client.subscribe({}, { signal: canceling.signal });
  await assert.rejects(
    async () => {
      for await (const _ of subscription) {
        setImmediate(() => canceling.abort());
      }
    },
    { name: "SwitchboardError", code: Code.Canceled },
  );
  await assert.rejects(take(subscription, 1), { name: "SwitchboardError", code: Code.Canceled });
});

test("a stream that is silent for two intervals is opened anew", async (t) => {
  const server = await streams(t, open(started("c0", 1), event(1)), open(started("c1", 1), event(2)));
  const errors: SwitchboardError[] = [];
  const begun = performance.now();
  const subscription = server.client.subscribe(
    { heartbeatInterval: { seconds: 1n } },
    { onReconnect: (error) => errors.push(error) },
  );
  assert.deepEqual(ids(await take(subscription, 2)), ["evt_1", "evt_2"]);
  assert.ok(performance.now() - begun >= 2000);
  assert.deepEqual(
    errors.map(({ message }) => message),
    ["UNAVAILABLE: nothing came for 2000 ms"],
  );
});

test("heartbeats keep a stream, and so does a loop that takes its time", async (t) => {
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
  const subscription = server.client.subscribe({}, { onReconnect: (error) => assert.fail(error) });
  for await (const { id } of subscription) {
    if (id === "evt_5") {
      break;
    }
    // Longer than two intervals, though shorter than the stream.
    await slept(2500);
  }
  assert.equal(server.requests.length, 1);
});

test("a stream that does not start within ten seconds is opened anew", async (t) => {
  const asked = new Later();
  const server = await streams(
    t,
    async function* (_, signal) {
      asked.resolve();
      await until(signal);
      yield* [];
    },
    open(started("c0"), event(1)),
  );
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const errors: SwitchboardError[] = [];
  const again = new Later();
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
  await asked.promise;
  t.mock.timers.tick(9_999);
  assert.equal(errors.length, 0);
  t.mock.timers.tick(1);
  await again.promise;
  await new Promise(setImmediate);
  t.mock.timers.tick(250);
  assert.equal((await events).length, 1);
  assert.deepEqual(
    errors.map(({ message }) => message),
    ["UNAVAILABLE: nothing came for 10000 ms"],
  );
});

test("a request that is changed later does not change the subscription", async (t) => {
  const server = await streams(t, breaking(started("c0"), event(1)), open(started("c1"), event(2)));
  const filter = { types: ["message.*"] };
  const subscription = server.client.subscribe({ filter });
  filter.types = ["report.*"];
  await take(subscription, 2);
  assert.deepEqual(
    server.requests.map(({ filter }) => filter?.types),
    [["message.*"], ["message.*"]],
  );
});
