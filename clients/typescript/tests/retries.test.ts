import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { test } from "node:test";
import { create, type DescMethod } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import type { SwitchboardClient, SwitchboardError } from "@switchboard/client";
import {
  AccountService,
  ContactService,
  ConversationService,
  EventService,
  FlowService,
  MediaHeaderSchema,
  MessageService,
  SendMessageRequestSchema,
  SubscriptionService,
  TemplateService,
  WebhookRegistrationService,
} from "@switchboard/client/v1";
import { type Fake, fakeServer } from "./support/fake.js";
import { clientOf } from "./support/sandbox.js";

/** `google.rpc.RetryInfo { retry_delay: … }` with 1 to 127 seconds. */
function retryInfo(seconds: number) {
  return { type: "google.rpc.RetryInfo", value: Uint8Array.of(0x0a, 2, 0x08, seconds) };
}

interface FlakyServer extends Fake {
  /** The request_id of each request in order; undefined for requests without one. */
  readonly requestIds: (string | undefined)[];
}

/** A server that fails the first calls, then answers. */
async function flakyServer(
  t: Parameters<typeof fakeServer>[0],
  times: number,
  code = Code.Unavailable,
  details: ConnectError["details"] = [],
) {
  const requestIds: (string | undefined)[] = [];
  const handle = (requestId?: string) => {
    requestIds.push(requestId);
    if (requestIds.length <= times) {
      const error = new ConnectError("try again later", code);
      error.details = details;
      throw error;
    }
    return {};
  };
  const handleUpload = async (
    requests: AsyncIterable<{ header?: { requestId: string } | undefined; chunk: Uint8Array }>,
  ) => {
    let requestId: string | undefined;
    let bytes = 0;
    for await (const { header, chunk } of requests) {
      requestId ??= header?.requestId;
      bytes += chunk.length;
    }
    handle(requestId);
    return { bytes, requestId };
  };
  const server = await fakeServer(t, ({ service }) => {
    service(AccountService, { listAccounts: () => handle(), getAccount: () => handle() });
    service(ContactService, {
      listContacts: () => handle(),
      createContact: ({ requestId }) => handle(requestId),
      updateContact: () => handle(),
      deleteContact: () => handle(),
    });
    service(EventService, {
      listEvents: () => handle(),
      async *subscribe() {
        yield handle();
      },
    });
    service(MessageService, {
      sendMessage: ({ requestId }) => handle(requestId),
      sendMedia: async (requests) => {
        const { requestId, bytes } = await handleUpload(requests);
        return { message: { requestId: requestId ?? "", attempt: bytes } };
      },
      getMessage: ({ key }) => handle(key.case === "requestId" ? key.value : undefined),
      async *watchMessage() {
        yield handle();
      },
      async *sendMessages(requests) {
        for await (const { request } of requests) {
          yield handle(request?.requestId);
        }
      },
    });
    service(TemplateService, {
      uploadTemplateMedia: async (requests) => {
        await handleUpload(requests);
        return {};
      },
    });
    service(WebhookRegistrationService, {
      createWebhookRegistration: ({ requestId }) => handle(requestId),
      updateWebhookRegistration: () => handle(),
      verifyWebhookSignature: () => handle(),
    });
  });
  return { ...server, requestIds } satisfies FlakyServer;
}

const file = new Uint8Array(600_000).fill(7);

async function drained(stream: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of stream) {
    // Until the end.
  }
}

const READS: Record<string, (client: SwitchboardClient) => Promise<unknown>> = {
  "AccountService.ListAccounts": ({ accounts }) => accounts.listAccounts({}),
  "AccountService.GetAccount": ({ accounts }) => accounts.getAccount({}),
  "ContactService.ListContacts": ({ contacts }) => contacts.listContacts({}),
  "EventService.ListEvents": ({ events }) => events.listEvents({}),
  "MessageService.GetMessage": ({ messages }) => messages.getMessage({}),
  "WebhookRegistrationService.VerifyWebhookSignature": ({ webhookRegistrations }) =>
    webhookRegistrations.verifyWebhookSignature({}),
};
const RETRIED_WRITES: Record<string, (client: SwitchboardClient, requestId: string) => Promise<unknown>> = {
  "MessageService.SendMessage": ({ messages }, requestId) => messages.sendMessage({ requestId }),
  "MessageService.SendMedia of bytes": (client, requestId) => client.sendMedia({ requestId }, file),
  "MessageService.SendMedia of a blob": (client, requestId) => client.sendMedia({ requestId }, new Blob([file])),
  "TemplateService.UploadTemplateMedia": (client, requestId) => client.uploadTemplateMedia({ requestId }, file),
  "ContactService.CreateContact": ({ contacts }, requestId) => contacts.createContact({ requestId }),
  "WebhookRegistrationService.CreateWebhookRegistration": ({ webhookRegistrations }, requestId) =>
    webhookRegistrations.createWebhookRegistration({ requestId }),
};
const NOT_RETRIED: Record<string, (client: SwitchboardClient) => Promise<unknown>> = {
  "ContactService.UpdateContact": ({ contacts }) => contacts.updateContact({}),
  "ContactService.DeleteContact": ({ contacts }) => contacts.deleteContact({}),
  "WebhookRegistrationService.UpdateWebhookRegistration": ({ webhookRegistrations }) =>
    webhookRegistrations.updateWebhookRegistration({}),
  "MessageService.SendMedia of a stream": (client) => client.sendMedia({}, Readable.from([file])),
  "MessageService.WatchMessage": ({ messages }) => drained(messages.watchMessage({})),
  "EventService.Subscribe": ({ events }) => drained(events.subscribe({})),
  "MessageService.SendMessages": ({ messages }) =>
    drained(
      messages.sendMessages(
        (async function* () {
          yield { request: {} };
        })(),
      ),
    ),
};

for (const [name, call] of Object.entries(READS)) {
  test(`${name} is retried`, async (t) => {
    const server = await flakyServer(t, 3);
    await call(clientOf(t, server.address));
    assert.equal(server.requestIds.length, 4);
  });
}

for (const [name, call] of Object.entries(RETRIED_WRITES)) {
  test(`${name} is retried with the given request_id`, async (t) => {
    const server = await flakyServer(t, 3);
    await call(clientOf(t, server.address), "order-77");
    assert.deepEqual(server.requestIds, Array(4).fill("order-77"));
  });

  test(`${name} is retried with one new request_id`, async (t) => {
    const server = await flakyServer(t, 3);
    const client = clientOf(t, server.address);
    await call(client, "");
    await call(client, "");
    assert.equal(server.requestIds.length, 5);
    assert.match(server.requestIds[0] ?? "", /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    assert.equal(new Set(server.requestIds.slice(0, 4)).size, 1);
    assert.notEqual(server.requestIds[0], server.requestIds[4], "a new call gets a new id");
  });
}

for (const [name, call] of Object.entries(NOT_RETRIED)) {
  test(`${name} is not retried`, async (t) => {
    const server = await flakyServer(t, 1);
    await assert.rejects(call(clientOf(t, server.address)), { name: "SwitchboardError", code: Code.Unavailable });
    assert.equal(server.requestIds.length, 1);
  });
}

test("the lists cover every call that takes a request_id", () => {
  const written = (method: DescMethod) => !/^(Get|List|Verify)/.test(method.name);
  const withId = [
    AccountService,
    ContactService,
    ConversationService,
    EventService,
    FlowService,
    MessageService,
    SubscriptionService,
    TemplateService,
    WebhookRegistrationService,
  ]
    .flatMap((service) => service.methods)
    .filter((method) => written(method) && takesId(method))
    .map((method) => `${method.parent.name}.${method.name}`);
  assert.deepEqual(new Set(withId), new Set(Object.keys(RETRIED_WRITES).map((name) => name.replace(/ of .*/, ""))));
});

function takesId({ input }: DescMethod): boolean {
  const field = input.field["requestId"] ?? input.field["header"]?.message?.field["requestId"];
  return field !== undefined && field.oneof === undefined;
}

test("other codes than UNAVAILABLE are not retried", async (t) => {
  for (const code of Object.values(Code)) {
    if (typeof code !== "number" || code === Code.Unavailable) {
      continue;
    }
    const server = await flakyServer(t, 9, code);
    const client = clientOf(t, server.address);
    await assert.rejects(client.accounts.listAccounts({}), { name: "SwitchboardError", code });
    await assert.rejects(client.messages.sendMessage({ requestId: "r" }), { name: "SwitchboardError", code });
    assert.equal(server.requestIds.length, 2, Code[code]);
  }
});

test("retries stop after maxAttempts", async (t) => {
  for (const maxAttempts of [1, 2, 5]) {
    const server = await flakyServer(t, 99);
    const client = clientOf(t, server.address, { maxAttempts });
    await assert.rejects(client.accounts.listAccounts({}), { code: Code.Unavailable });
    assert.equal(server.requestIds.length, maxAttempts);
  }
});

test("the server's delay is awaited", async (t) => {
  const server = await flakyServer(t, 1, Code.Unavailable, [retryInfo(1)]);
  const startTime = performance.now();
  await clientOf(t, server.address).accounts.listAccounts({});
  assert.ok(performance.now() - startTime >= 1000);
  assert.equal(server.requestIds.length, 2);
});

test("a delay beyond the deadline fails the call immediately", async (t) => {
  const server = await flakyServer(t, 9, Code.Unavailable, [retryInfo(30)]);
  const client = clientOf(t, server.address);
  const startTime = performance.now();
  const error: SwitchboardError = await client.accounts.listAccounts({}, { timeoutMs: 20_000 }).then(
    () => assert.fail("the call did not fail"),
    (reason) => reason,
  );
  assert.equal(error.code, Code.Unavailable, "the cause is reported, not the deadline");
  assert.equal(error.retryDelayMs, 30_000);
  assert.equal(server.requestIds.length, 1);
  assert.ok(performance.now() - startTime < 20_000);
});

test("a delay above 30 seconds fails the call immediately", async (t) => {
  const server = await flakyServer(t, 9, Code.Unavailable, [retryInfo(31)]);
  const client = clientOf(t, server.address);
  for (const call of [client.accounts.listAccounts({}), client.sendMedia({}, file)]) {
    await assert.rejects(call, { name: "SwitchboardError", code: Code.Unavailable, retryDelayMs: 31_000 });
  }
  assert.equal(server.requestIds.length, 2);
});

test("the deadline spans all attempts", async (t) => {
  const timeouts: number[] = [];
  const server = await fakeServer(t, ({ service }) => {
    service(AccountService, {
      listAccounts: (_, context) => {
        timeouts.push(context.timeoutMs() ?? Number.NaN);
        throw new ConnectError("try again later", Code.Unavailable);
      },
    });
  });
  const { accounts } = clientOf(t, server.address, { maxAttempts: 4 });
  await assert.rejects(accounts.listAccounts({}, { timeoutMs: 30_000 }));
  assert.equal(timeouts.length, 4);
  for (const [earlier, later] of timeouts.slice(1).map((later, index) => [timeouts[index] ?? 0, later] as const)) {
    assert.ok(later < earlier, `${timeouts}`);
  }
});

test("a cancel ends the backoff", async (t) => {
  // The longest delay that the client waits for.
  const server = await flakyServer(t, 9, Code.Unavailable, [retryInfo(30)]);
  const client = clientOf(t, server.address);
  const canceling = new AbortController();
  const call = client.accounts.listAccounts({}, { signal: canceling.signal, onHeader: () => undefined });
  const startTime = performance.now();
  setTimeout(() => canceling.abort(), 50);
  await assert.rejects(call, { name: "SwitchboardError", code: Code.Canceled });
  assert.ok(performance.now() - startTime < 20_000);
});

test("a read whose connection breaks is retried on a new one", async (t) => {
  let calls = 0;
  const server = await fakeServer(t, ({ service }) => {
    service(AccountService, {
      listAccounts: () => {
        if (++calls === 1) {
          server.cut();
        }
        return {};
      },
    });
  });
  await clientOf(t, server.address).accounts.listAccounts({});
  assert.equal(calls, 2);
});

test("the caller's request is not modified", async (t) => {
  const server = await flakyServer(t, 0);
  const client = clientOf(t, server.address);
  const request = { to: "+15550100001" };
  await client.messages.sendMessage(request);
  await client.sendMedia(request, file);
  assert.deepEqual(request, { to: "+15550100001" });
  const message = create(SendMessageRequestSchema, request);
  const header = create(MediaHeaderSchema, request);
  await client.messages.sendMessage(message);
  await client.sendMedia(header, file);
  assert.deepEqual([message.requestId, header.requestId], ["", ""]);
  assert.ok(server.requestIds.every((requestId) => requestId));
});

test("a custom upload stream gets a request_id", async (t) => {
  const server = await flakyServer(t, 0);
  const { messages } = clientOf(t, server.address);
  async function* requests() {
    yield { header: { account: "a" }, chunk: file.subarray(0, 10) };
    yield { chunk: file.subarray(0, 5) };
  }
  const { message } = await messages.sendMedia(requests());
  assert.equal(message?.attempt, 15);
  assert.match(message?.requestId ?? "", /^[0-9a-f-]{36}$/);
});

test("sendMessages leaves an empty request_id empty", async (t) => {
  const server = await flakyServer(t, 0);
  await NOT_RETRIED["MessageService.SendMessages"]?.(clientOf(t, server.address));
  assert.deepEqual(server.requestIds, [""]);
});

test("an unreadable file fails with its own error", async (t) => {
  const server = await flakyServer(t, 0);
  const client = clientOf(t, server.address);
  const broken = Object.assign(new Error("read failed"), { code: "EIO" });
  async function* source() {
    yield file;
    throw broken;
  }
  await assert.rejects(client.sendMedia({}, source()), (error) => error === broken);
  assert.deepEqual(server.requestIds, [], "the server rejects an incomplete file");
});

test("every byte is sent once for each kind of source", async (t) => {
  const server = await flakyServer(t, 0);
  const client = clientOf(t, server.address);
  for (const source of [
    file,
    new Blob([file]),
    Readable.from([file.subarray(0, 1), file.subarray(1)]),
    Buffer.from(file),
  ]) {
    const { message } = await client.sendMedia({}, source);
    assert.equal(message?.attempt, file.length);
  }
  assert.equal((await client.sendMedia({ requestId: "empty" }, new Uint8Array())).message?.attempt, 0);
  assert.equal(server.requestIds.at(-1), "empty");
});
