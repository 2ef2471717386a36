import assert from "node:assert/strict";
import { once } from "node:events";
import type { ServerHttp2Session } from "node:http2";
import { test } from "node:test";
import { Code } from "@switchboard/client";
import { AccountService } from "@switchboard/client/v1";
import { Deferred, until } from "./support/deferred.js";
import { fakeServer } from "./support/fake.js";
import { proxyTo } from "./support/proxy.js";
import { clientOf } from "./support/sandbox.js";

/** Pings the client and waits for the reply. */
function pinged(session: ServerHttp2Session): Promise<void> {
  return new Promise((resolve, reject) => {
    session.ping((error) => (error ? reject(error) : resolve()));
  });
}

test("a connection that stops answering pings is closed", async (t) => {
  const called = new Deferred();
  const server = await fakeServer(t, ({ service }) => {
    service(AccountService, {
      listAccounts: async (_, { signal }) => {
        called.resolve();
        await until(signal);
        return {};
      },
    });
  });
  const proxy = await proxyTo(t, server.address);
  const client = clientOf(t, proxy.address, { maxAttempts: 1 });
  t.mock.timers.enable({ apis: ["setTimeout"] });
  let failed = false;
  const call = client.accounts.listAccounts({}).catch((error: unknown) => {
    failed = true;
    return error;
  });
  await called.promise;
  const [session] = server.sessions;
  assert.ok(session);
  const ping = once(session, "ping");
  t.mock.timers.tick(30_000);
  await ping;
  // The client must receive the reply to its ping, which starts the next interval. A ping of the server is answered
  // after it.
  await pinged(session);
  proxy.stall();
  t.mock.timers.tick(30_000);
  await new Promise(setImmediate);
  t.mock.timers.tick(9_999);
  await new Promise(setImmediate);
  assert.equal(failed, false);
  t.mock.timers.tick(1);
  const error = (await call) as { code?: Code };
  assert.equal(error.code, Code.Unavailable);
});

test("an idle connection is not pinged", async (t) => {
  const server = await fakeServer(t, ({ service }) => service(AccountService, { listAccounts: () => ({}) }));
  const client = clientOf(t, server.address);
  t.mock.timers.enable({ apis: ["setTimeout"] });
  await client.accounts.listAccounts({});
  const [session] = server.sessions;
  assert.ok(session);
  // After one round trip, the call has ended for the client too.
  await pinged(session);
  let pings = 0;
  session.on("ping", () => pings++);
  t.mock.timers.tick(300_000);
  await pinged(session);
  assert.equal(pings, 0);
});
