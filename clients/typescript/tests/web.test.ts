import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { Code, ConnectError } from "@connectrpc/connect";
import { AccountService, EventService, MessageService } from "@switchboard/client/v1";
import { createSwitchboardClient, SwitchboardError } from "@switchboard/client/web";
import { Deferred, take, until } from "./support/deferred.js";
import { fakeServer, fakeWebServer } from "./support/fake.js";
import { importsOf } from "./support/imports.js";
import { PACKAGE } from "./support/paths.js";

test("gRPC-Web calls carry token and request_id and are retried", async (t) => {
  const seen: (string | null)[][] = [];
  const server = await fakeWebServer(t, ({ service }) => {
    service(MessageService, {
      sendMessage: (request, { requestHeader }) => {
        seen.push([request.requestId, requestHeader.get("authorization"), requestHeader.get("content-type")]);
        if (seen.length < 3) {
          throw new ConnectError("try again later", Code.Unavailable);
        }
        return { message: { requestId: request.requestId } };
      },
    });
  });
  const client = createSwitchboardClient(server.address, { token: "s3cret-token" });
  const { message } = await client.messages.sendMessage({ account: "a" });
  assert.equal(seen.length, 3);
  for (const [requestId, authorization, contentType] of seen) {
    assert.equal(requestId, message?.requestId);
    assert.equal(authorization, "Bearer s3cret-token");
    assert.match(contentType ?? "", /^application\/grpc-web\b/);
  }
  assert.match(message?.requestId ?? "", /^[0-9a-f-]{36}$/);
});

test("errors carry their details", async (t) => {
  const server = await fakeWebServer(t, ({ service }) => {
    service(AccountService, {
      getAccount: () => {
        const error = new ConnectError("no such account", Code.NotFound);
        // google.rpc.ErrorInfo { reason: "ACCOUNT_NOT_FOUND", domain: "switchboard" }
        const value = Buffer.from("\x0a\x11ACCOUNT_NOT_FOUND\x12\x0bswitchboard", "latin1");
        error.details = [{ type: "google.rpc.ErrorInfo", value }];
        throw error;
      },
    });
  });
  const client = createSwitchboardClient(server.address);
  await assert.rejects(client.accounts.getAccount({ account: "a" }), (error) => {
    assert.ok(error instanceof SwitchboardError);
    assert.deepEqual([error.code, error.reason, error.domain], [Code.NotFound, "ACCOUNT_NOT_FOUND", "switchboard"]);
    return true;
  });
});

test("an unreachable or broken server is UNAVAILABLE", async (t) => {
  const called = new Deferred();
  const server = await fakeWebServer(t, ({ service }) => {
    service(AccountService, {
      listAccounts: async (_, { signal }) => {
        called.resolve();
        await until(signal);
        return {};
      },
    });
  });
  const client = createSwitchboardClient(server.address, { maxAttempts: 1 });
  const call = assert.rejects(client.accounts.listAccounts({}), { name: "SwitchboardError", code: Code.Unavailable });
  await called.promise;
  server.cut();
  await call;
  const unreachable = createSwitchboardClient("127.0.0.1:1", { maxAttempts: 1 });
  await assert.rejects(unreachable.accounts.listAccounts({}), { name: "SwitchboardError", code: Code.Unavailable });
});

test("deadline, cancel and close behave as over gRPC", async (t) => {
  const server = await fakeWebServer(t, ({ service }) => {
    service(AccountService, {
      listAccounts: async (_, { signal }) => {
        await until(signal);
        return {};
      },
    });
  });
  const client = createSwitchboardClient(server.address);
  await assert.rejects(client.accounts.listAccounts({}, { timeoutMs: 200 }), { code: Code.DeadlineExceeded });
  await assert.rejects(client.accounts.listAccounts({}, { signal: AbortSignal.timeout(100) }), { code: Code.Canceled });
  const call = assert.rejects(client.accounts.listAccounts({}), { name: "SwitchboardError", code: Code.Canceled });
  client.close();
  await call;
});

test("a broken event stream resumes after the last event", async (t) => {
  const starts: unknown[] = [];
  const left = new Deferred();
  const server = await fakeWebServer(t, ({ service }) => {
    service(EventService, {
      async *subscribe({ start }, { signal }) {
        starts.push(start.value);
        const number = starts.length;
        yield { response: { case: "started", value: { cursor: `c${number - 1}` } } };
        yield { response: { case: "event", value: { eventId: `evt_${number}`, cursor: `c${number}` } } };
        if (number === 1) {
          throw new ConnectError("try again later", Code.Unavailable);
        }
        await until(signal);
        left.resolve();
      },
    });
  });
  const seen: string[] = [];
  for await (const { eventId: id } of createSwitchboardClient(server.address).subscribe()) {
    seen.push(id);
    if (id === "evt_2") {
      server.cut();
    } else if (id === "evt_3") {
      break;
    }
  }
  assert.deepEqual(seen, ["evt_1", "evt_2", "evt_3"]);
  assert.deepEqual(starts, [undefined, "c1", "c2"]);
  await left.promise;
});

test("a small file is sent as one message and retried", async (t) => {
  const seen: unknown[][] = [];
  const server = await fakeWebServer(t, ({ service }) => {
    service(MessageService, {
      sendMedia: async (messages) => {
        for await (const { header, chunk } of messages) {
          seen.push([header?.account, header?.requestId, Buffer.from(chunk).toString()]);
        }
        if (seen.length < 2) {
          throw new ConnectError("try again later", Code.Unavailable);
        }
        return { replayed: true };
      },
    });
  });
  const client = createSwitchboardClient(server.address);
  const file = "x".repeat(1_000_000);
  assert.equal((await client.sendMedia({ account: "a", requestId: "mine" }, new Blob([file]))).replayed, true);
  assert.deepEqual(seen, [
    ["a", "mine", file],
    ["a", "mine", file],
  ]);
  // A stream can be read only once.
  seen.length = 0;
  async function* once() {
    yield Buffer.from("one");
    yield Buffer.from("two");
  }
  await assert.rejects(client.sendMedia({ account: "a", requestId: "mine" }, once()), { code: Code.Unavailable });
  assert.deepEqual(seen, [["a", "mine", "onetwo"]]);
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield Buffer.from("one");
    throw new RangeError("read failed");
  }
  await assert.rejects(client.sendMedia({ account: "a" }, broken()), RangeError);
  assert.equal(seen.length, 1);
});

test("unsupported browser calls fail with UNIMPLEMENTED", async (t) => {
  const server = await fakeServer(t, () => undefined);
  const client = createSwitchboardClient(server.address);
  const unimplemented = { name: "SwitchboardError", code: Code.Unimplemented, message: /browsers cannot stream/ };
  const large = new Uint8Array(4 * 1024 * 1024);
  await assert.rejects(client.sendMedia({}, large), unimplemented);
  await assert.rejects(client.uploadTemplateMedia({}, large), unimplemented);
  async function* endless() {
    for (;;) {
      yield large.subarray(0, 1024);
    }
  }
  await assert.rejects(client.sendMedia({}, endless()), unimplemented);
  async function* requests() {
    yield {};
  }
  await assert.rejects(take(client.messages.sendMessages(requests()), 1), unimplemented);
  assert.equal(server.sessions.length, 0);
});

test("the web entry point imports nothing of Node.js", async () => {
  const ofNode = (specifiers: Set<string>) =>
    [...specifiers].filter((specifier) => specifier.startsWith("node:") || specifier === "@connectrpc/connect-node");
  assert.deepEqual(ofNode(await importsOf(`${PACKAGE}dist/web.js`)), []);
  assert.notDeepEqual(ofNode(await importsOf(`${PACKAGE}dist/index.js`)), []);
});

test("only declared dependencies are imported", async () => {
  const { dependencies, exports } = JSON.parse(await readFile(`${PACKAGE}package.json`, "utf8"));
  const used = new Set<string>();
  for (const target of Object.values<string>(exports)) {
    if (target.endsWith(".js")) {
      for (const specifier of await importsOf(PACKAGE + target)) {
        if (!specifier.startsWith("node:")) {
          used.add(specifier.split("/").slice(0, 2).join("/"));
        }
      }
    }
  }
  assert.deepEqual([...used].sort(), Object.keys(dependencies).sort());
});
