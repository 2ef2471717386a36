// Named subscriptions on the real server.
import assert from "node:assert/strict";
import { join } from "node:path";
import { before, test } from "node:test";
import { Code, type SwitchboardClient, type SwitchboardError } from "@switchboard/client";
import { type Event, StartPosition } from "@switchboard/client/v1";
import { Deferred, take } from "./support/deferred.js";
import { clientOf, fileScope, sandboxOf, startSandbox, temporaryFolder } from "./support/sandbox.js";

const ACCOUNT = "demo-connectly";
const CUSTOMER = "+15550100001";
const EARLIEST = { case: "position", value: StartPosition.EARLIEST } as const;
const RECEIVED = { types: ["message.received"] };
const deadline = { timeoutMs: 30_000 };

const named = (value: string) => ({ start: { case: "subscriptionId", value } }) as const;
const ids = (events: Event[]) => events.map(({ eventId }) => eventId);

const scope = fileScope();
let client: SwitchboardClient;
before(async () => {
  client = clientOf(scope, (await startSandbox(scope)).address);
  for (const text of ["one", "two", "three"]) {
    await sandboxOf(client).injectMessage({ account: ACCOUNT, sender: CUSTOMER, text });
  }
});

/** Creates a subscription to the messages of customers, from the earliest event. */
async function create(subscriptionId: string, filter: { types: string[] } = RECEIVED) {
  await client.subscriptions.createSubscription(
    { subscriptionId, subscription: { filter }, start: EARLIEST },
    deadline,
  );
  return async () => (await client.subscriptions.getSubscription({ subscriptionId }, deadline)).subscription;
}

test("killed servers and a new loop lose and repeat no event", async (t) => {
  const store = join(await temporaryFolder(t), "journal.db");
  let server = await startSandbox(t, { store });
  const { address } = server;
  const port = Number(address.split(":")[1]);
  const switchboard = clientOf(t, address);
  const sandbox = sandboxOf(switchboard);
  const subscriptionId = "restart";
  await switchboard.subscriptions.createSubscription(
    { subscriptionId, subscription: { filter: RECEIVED }, start: EARLIEST },
    deadline,
  );

  // Customers keep sending messages.
  let up = new Deferred();
  up.resolve();
  let writing = true;
  const customers = (async () => {
    for (let number = 1; writing; number++) {
      try {
        await sandbox.injectMessage({ account: ACCOUNT, sender: CUSTOMER, text: `number ${number}` });
      } catch {
        await up.promise;
      }
    }
  })();

  const reconnects: SwitchboardError[] = [];
  const first: Event[] = [];
  let kills = 0;
  let next = 20;
  let reconnectsAtKill: number | undefined;
  for await (const event of switchboard.subscribe(named(subscriptionId), {
    onReconnect: (error) => reconnects.push(error),
  })) {
    first.push(event);
    // Events that arrived before a kill may follow it, so wait until the stream was reopened.
    if (first.length < next || reconnects.length === reconnectsAtKill) {
      continue;
    }
    if (kills === 2) {
      break;
    }
    kills++;
    next = first.length + 20;
    reconnectsAtKill = reconnects.length;
    up = new Deferred();
    await server.stop("SIGKILL");
    server = await startSandbox(t, { port, store });
    up.resolve();
  }
  writing = false;
  await customers;

  // A new client, like another process.
  const other = clientOf(t, address);
  const page = await other.events.listEvents({ filter: RECEIVED, pageSize: 1000, anchor: EARLIEST }, deadline);
  assert.ok(page.reachedNewest);
  const second: Event[] = [];
  for await (const event of other.subscribe(named(subscriptionId))) {
    second.push(event);
    if (event.eventId === page.events.at(-1)?.eventId) {
      break;
    }
  }
  assert.deepEqual([...ids(first).slice(0, -1), ...ids(second)], ids(page.events));
  assert.equal(second[0]?.eventId, first.at(-1)?.eventId, "the unfinished event is redelivered");
  assert.ok(reconnects.length >= 2);
  assert.ok(reconnects.every(({ code }) => code === Code.Unavailable));
});

test("a seek back replays events in the open loop", async () => {
  const get = await create("replay");
  const seen: string[] = [];
  for await (const { eventId: id } of client.subscribe(named("replay"))) {
    seen.push(id);
    if (seen.length === 3) {
      await client.subscriptions.seekSubscription({ subscriptionId: "replay", target: EARLIEST }, deadline);
    } else if (seen.length === 6) {
      break;
    }
  }
  assert.deepEqual(seen.slice(3), seen.slice(0, 3));
  assert.equal(new Set(seen).size, 3);
  const subscription = await get();
  assert.deepEqual([subscription?.generation, subscription?.lagEvents], [2n, 1n]);
});

test("a changed filter applies to the open loop", async () => {
  await create("filters", { types: ["message.status"] });
  const changed = new Deferred();
  const stream = client.subscribe(named("filters"), {
    onReconnect: ({ reason }) => {
      assert.equal(reason, "SUBSCRIPTION_CHANGED");
      changed.resolve();
    },
  });
  const events = take(stream, 3);
  while (stream.cursor === undefined) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  await client.subscriptions.updateSubscription(
    { subscription: { subscriptionId: "filters", filter: RECEIVED }, updateMask: { paths: ["filter"] } },
    deadline,
  );
  assert.deepEqual(
    (await events).map(({ type }) => type),
    Array(3).fill("message.received"),
  );
  await changed.promise;
});

test("a deleted subscription ends the loop", async () => {
  await create("deleted");
  let seen = 0;
  await assert.rejects(
    async () => {
      for await (const _ of client.subscribe(named("deleted"))) {
        if (++seen === 3) {
          await client.subscriptions.deleteSubscription({ subscriptionId: "deleted" }, deadline);
        }
      }
    },
    { name: "SwitchboardError", code: Code.NotFound, reason: "SUBSCRIPTION_NOT_FOUND" },
  );
  assert.equal(seen, 3);
  await assert.rejects(take(client.subscribe(named("deleted")), 1), { reason: "SUBSCRIPTION_NOT_FOUND" });
});

test("an unfinished event is redelivered to the next loop", async () => {
  await create("unfinished");
  const first = await take(client.subscribe(named("unfinished")), 2);
  await assert.rejects(async () => {
    for await (const { eventId: id } of client.subscribe(named("unfinished"))) {
      assert.equal(id, first[1]?.eventId);
      throw new Error("processing failed");
    }
  }, /processing failed/);
  const last = await take(client.subscribe(named("unfinished")), 2);
  assert.equal(last[0]?.eventId, first[1]?.eventId);
  assert.notEqual(last[1]?.eventId, first[1]?.eventId);
});

test("a resolved acknowledge is durable", async () => {
  const get = await create("durable");
  const stream = client.subscribe(named("durable"));
  for await (const event of stream) {
    const durable = await stream.acknowledge(event);
    assert.equal(durable, true);
    assert.equal((await get())?.cursor, event.cursor);
    await client.subscriptions.seekSubscription({ subscriptionId: "durable", target: EARLIEST }, deadline);
    assert.equal(await stream.acknowledge(event), false, "the subscription was moved");
    assert.notEqual((await get())?.cursor, event.cursor);
    break;
  }
});

test("heartbeats reduce the lag to zero if no event matches", async () => {
  const get = await create("nothing", { types: ["report.*"] });
  assert.notEqual((await get())?.lagEvents, 0n);
  const stream = client.subscribe({ ...named("nothing"), heartbeatInterval: { seconds: 1n } });
  const loop = take(stream, 1);
  while ((await get())?.lagEvents !== 0n) {
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  stream.close();
  assert.deepEqual(await loop, []);
});
