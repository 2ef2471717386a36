// Options of the client: logger, interceptors and transport.
import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { createRequire } from "node:module";
import { test } from "node:test";
import { Code, ConnectError, createRouterTransport, type Interceptor } from "@connectrpc/connect";
import { createSwitchboardClient, type Logger, SwitchboardError } from "@switchboard/client";
import { EventService, MessageService } from "@switchboard/client/v1";
import { createSwitchboardClient as createWebClient } from "@switchboard/client/web";
import { statusError } from "./support/conformance.js";
import { take, until } from "./support/deferred.js";
import { fakeServer, fakeWebServer, unusedPort } from "./support/fake.js";
import { clientOf } from "./support/sandbox.js";

/** A logger that records its entries. */
function recorder() {
  const entries: [level: string, message: string, details: Readonly<Record<string, unknown>>][] = [];
  const logger: Logger = {
    info: (message, details) => entries.push(["info", message, details]),
    warn: (message, details) => entries.push(["warn", message, details]),
  };
  return { entries, logger };
}

test("retries and reconnects are logged without message text", async (t) => {
  const failure = statusError({
    code: "UNAVAILABLE",
    message: "try later",
    reason: "PROVIDER_UNREACHABLE",
    metadata: { provider_message: "private text" },
  });
  let calls = 0;
  let streams = 0;
  const server = await fakeServer(t, ({ service }) => {
    service(MessageService, { sendMessage: () => (calls++ === 0 ? Promise.reject(failure) : {}) });
    service(EventService, {
      async *subscribe(_, { signal }) {
        if (streams++ === 0) {
          throw failure;
        }
        yield { response: { case: "started", value: { cursor: "c0" } } };
        yield { response: { case: "event", value: { eventId: "evt_1", cursor: "c1" } } };
        await until(signal);
      },
    });
  });
  const { entries, logger } = recorder();
  const client = clientOf(t, server.address, { logger });
  await client.messages.sendMessage({ content: { case: "text", value: { body: "private text" } } });
  await take(client.subscribe({ start: { case: "subscriptionId", value: "shop" } }), 1);
  assert.deepEqual(
    entries.map(([level, message, { delayMs: _, ...details }]) => [level, message, details]),
    [
      [
        "info",
        "switchboard call failed, retrying",
        {
          method: "/switchboard.v1.MessageService/SendMessage",
          attempt: 1,
          error: "UNAVAILABLE PROVIDER_UNREACHABLE: try later",
        },
      ],
      [
        "warn",
        "switchboard event stream broke, reconnecting",
        { subscriptionId: "shop", failures: 1, error: "UNAVAILABLE PROVIDER_UNREACHABLE: try later" },
      ],
    ],
  );
});

test("an unreachable server is logged with the cause", async (t) => {
  const { entries, logger } = recorder();
  const client = clientOf(t, `127.0.0.1:${await unusedPort()}`, { logger });
  const stream = client.subscribe({}, { onReconnect: () => stream.close() });
  await take(stream, 1);
  assert.match(String(entries[0]?.[2]["error"]), /^UNAVAILABLE: .*ECONNREFUSED/);
  assert.equal(entries.length, 1);
});

test("interceptors see every attempt and its request_id", async (t) => {
  for (const [create, serve] of [
    [createSwitchboardClient, fakeServer],
    [createWebClient, fakeWebServer],
  ] as const) {
    const seen: (string | null)[] = [];
    const server = await serve(t, ({ service }) => {
      service(MessageService, {
        sendMessage: (_, { requestHeader }) => {
          seen.push(requestHeader.get("traceparent"));
          if (seen.length === 1) {
            throw new ConnectError("try again later", Code.Unavailable);
          }
          return {};
        },
      });
    });
    const ids = new Set<string>();
    const trace: Interceptor = (next) => async (request) => {
      request.header.set("traceparent", "00-1");
      assert.ok("requestId" in request.message);
      ids.add(String(request.message.requestId));
      return await next(request);
    };
    const client = create(server.address, { interceptors: [trace] });
    t.after(() => client.close());
    await client.messages.sendMessage({});
    assert.deepEqual(seen, ["00-1", "00-1"]);
    assert.equal(ids.size, 1);
  }
});

test("a given transport replaces the connection", async () => {
  for (const create of [createSwitchboardClient, createWebClient]) {
    let calls = 0;
    const transport = createRouterTransport(({ service }) => {
      service(MessageService, {
        sendMessage: ({ requestId }) => {
          assert.notEqual(requestId, "");
          if (++calls === 1) {
            throw new ConnectError("try again later", Code.Unavailable);
          }
          return { message: { requestId } };
        },
      });
      service(EventService, {
        async *subscribe(_, { signal }) {
          yield { response: { case: "started", value: { cursor: "c0" } } };
          yield { response: { case: "event", value: { eventId: "evt_1", cursor: "c1" } } };
          await until(signal);
        },
      });
    });
    const client = create("switchboard.invalid", { transport });
    const { message } = await client.messages.sendMessage({});
    assert.match(message?.requestId ?? "", /^[0-9a-f-]{36}$/);
    assert.equal(calls, 2);
    assert.deepEqual(
      (await take(client.subscribe(), 1)).map(({ eventId }) => eventId),
      ["evt_1"],
    );
    client.close();
    await assert.rejects(client.messages.sendMessage({}), { name: "SwitchboardError", code: Code.Canceled });
    assert.throws(() => create("switchboard.invalid", { transport, interceptors: [] }), TypeError);
    assert.throws(() => create("http://switchboard.invalid", { transport, token: "t" }), TypeError);
  }
  const transport = createRouterTransport(() => undefined);
  assert.throws(() => createSwitchboardClient("switchboard.invalid", { transport, tls: {} }), TypeError);
});

test("the package can be required", () => {
  const required = createRequire(import.meta.url)("@switchboard/client");
  assert.equal(required.SwitchboardError, SwitchboardError);
});

test("calls leave no listeners on their signal", async () => {
  const transport = createRouterTransport(({ service }) => {
    service(MessageService, { getMessage: () => ({}) });
  });
  const client = createSwitchboardClient("localhost", { transport });
  const { signal } = new AbortController();
  for (let call = 0; call < 20; call++) {
    await client.messages.getMessage({}, { signal });
  }
  assert.deepEqual(getEventListeners(signal, "abort"), []);
  client.close();
});
