import assert from "node:assert/strict";
import { test } from "node:test";
import { createClient } from "@connectrpc/connect";
import { Code, createSwitchboardClient } from "@switchboard/client";
import { AccountService, EventService, StartPosition } from "@switchboard/client/v1";
import { generate } from "selfsigned";
import { take } from "./support/deferred.js";
import { fakeServer } from "./support/fake.js";
import { clientOf } from "./support/sandbox.js";

const TOKEN = "s3cret-token";

async function certificate(): Promise<{ key: string; cert: string }> {
  const made = await generate([{ name: "commonName", value: "localhost" }], {
    keyType: "ec",
    extensions: [{ name: "subjectAltName", altNames: [{ type: 2, value: "localhost" }] }],
  });
  return { key: made.private, cert: made.cert };
}

test("over TLS, calls and event streams carry the token", async (t) => {
  const tls = await certificate();
  const authorizations: (string | null)[] = [];
  const server = await fakeServer(
    t,
    ({ service }) => {
      service(AccountService, {
        listAccounts: (_, { requestHeader }) => {
          authorizations.push(requestHeader.get("authorization"));
          return { accounts: [{ account: "acme" }] };
        },
      });
      service(EventService, {
        async *subscribe(_, { requestHeader }) {
          authorizations.push(requestHeader.get("authorization"));
          yield { response: { case: "started", value: { cursor: "0" } } };
          yield { response: { case: "event", value: { eventId: "evt_1", cursor: "1" } } };
        },
      });
    },
    { tls },
  );
  const { port } = server;
  const client = createSwitchboardClient(`https://localhost:${port}`, { token: TOKEN, tls: { ca: tls.cert } });
  t.after(() => client.close());
  const { accounts } = await client.accounts.listAccounts({});
  assert.equal(accounts[0]?.account, "acme");
  await take(client.events.subscribe({}), 1);
  await take(client.subscribe({ start: { case: "position", value: StartPosition.EARLIEST } }), 1);
  await createClient(AccountService, client.transport).listAccounts({});
  assert.deepEqual(authorizations, Array(4).fill(`Bearer ${TOKEN}`));
});

test("an untrusted server receives no call", async (t) => {
  const tls = await certificate();
  let calls = 0;
  const server = await fakeServer(
    t,
    ({ service }) => service(AccountService, { listAccounts: () => ({ accounts: [{}].slice(++calls) }) }),
    { tls },
  );
  for (const [address, options] of [
    [`https://localhost:${server.port}`, {}],
    [`https://127.0.0.1:${server.port}`, { tls: { ca: tls.cert } }],
  ] as const) {
    const client = clientOf(t, address, { token: TOKEN, maxAttempts: 1, ...options });
    await assert.rejects(client.accounts.listAccounts({}), { name: "SwitchboardError", code: Code.Unavailable });
  }
  assert.equal(calls, 0);
});

test("on loopback, a token is sent in plaintext", async (t) => {
  const authorizations: (string | null)[] = [];
  const server = await fakeServer(t, ({ service }) => {
    service(AccountService, {
      listAccounts: (_, { requestHeader }) => {
        authorizations.push(requestHeader.get("authorization"));
        return {};
      },
    });
  });
  await clientOf(t, server.address, { token: TOKEN }).accounts.listAccounts({});
  await clientOf(t, server.address).accounts.listAccounts({});
  assert.deepEqual(authorizations, [`Bearer ${TOKEN}`, null]);
});
