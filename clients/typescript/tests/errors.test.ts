import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { parseReason, SwitchboardError } from "@switchboard/client";
import { AccountService, FailureSchema, MessageService, Provider, Reason, ReasonSchema } from "@switchboard/client/v1";
import { Deferred, until } from "./support/deferred.js";
import { fakeServer, serverError } from "./support/fake.js";
import { proxyTo } from "./support/proxy.js";
import { clientOf } from "./support/sandbox.js";

async function failureOf(call: Promise<unknown>): Promise<SwitchboardError> {
  const error = await call.then(
    () => assert.fail("the call did not fail"),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof SwitchboardError, inspect(error));
  return error;
}

test("a status without details has no reason and stays the cause", async (t) => {
  const server = await fakeServer(t, ({ service }) => {
    service(AccountService, {
      getAccount: () => {
        throw new ConnectError("no", Code.ResourceExhausted);
      },
    });
  });
  const error = await failureOf(clientOf(t, server.address).accounts.getAccount({ account: "a" }));
  assert.equal(error.name, "SwitchboardError");
  assert.equal(error.code, Code.ResourceExhausted);
  assert.equal(error.message, "RESOURCE_EXHAUSTED: no");
  assert.deepEqual([error.reason, error.domain, error.metadata], ["", "", {}]);
  assert.deepEqual([error.fieldViolations, error.retryDelayMs, error.requestId], [[], undefined, undefined]);
  assert.ok(error.cause instanceof ConnectError);
  assert.equal(error.cause.code, Code.ResourceExhausted);
});

test("a failed write reports its request_id", async (t) => {
  const server = await fakeServer(t, ({ service }) => {
    service(MessageService, {
      sendMessage: (request) => {
        throw new ConnectError(request.requestId, Code.FailedPrecondition);
      },
    });
  });
  const { messages } = clientOf(t, server.address);
  const made = await failureOf(messages.sendMessage({}));
  assert.match(made.requestId ?? "", /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  assert.equal(made.message, `FAILED_PRECONDITION: ${made.requestId}`);
  assert.equal((await failureOf(messages.sendMessage({ requestId: "mine" }))).requestId, "mine");
});

test("an unreachable server is UNAVAILABLE", async (t) => {
  const server = await fakeServer(t, () => undefined);
  const client = clientOf(t, server.address.replace(/\d+$/, "1"), { maxAttempts: 1 });
  const error = await failureOf(client.accounts.listAccounts({}));
  assert.equal(error.code, Code.Unavailable);
  assert.equal(error.reason, "");
});

test("a broken connection is UNAVAILABLE for calls and streams", async (t) => {
  const called = [new Deferred(), new Deferred()];
  const server = await fakeServer(t, ({ service }) => {
    service(AccountService, {
      listAccounts: async (_, { signal }) => {
        called[0]?.resolve();
        await until(signal);
        return {};
      },
    });
    service(MessageService, {
      async *watchMessage(_, { signal }) {
        yield {};
        called[1]?.resolve();
        await until(signal);
      },
    });
  });
  const client = clientOf(t, server.address, { maxAttempts: 1 });
  const call = failureOf(client.accounts.listAccounts({}));
  const stream = failureOf(
    (async () => {
      for await (const _ of client.messages.watchMessage({})) {
        // Until it breaks.
      }
    })(),
  );
  await Promise.all(called.map(({ promise }) => promise));
  server.cut();
  for (const error of [await call, await stream]) {
    assert.equal(error.code, Code.Unavailable);
    assert.ok(error.cause instanceof ConnectError);
    assert.notEqual(
      error.cause.code,
      Code.Unavailable,
      "Connect already returns UNAVAILABLE: the conversion is redundant",
    );
  }
});

test("a status sent by the server keeps its code", async (t) => {
  for (const code of [Code.Aborted, Code.Canceled, Code.Internal, Code.Unknown]) {
    const server = await fakeServer(t, ({ service }) => {
      service(AccountService, {
        listAccounts: () => {
          throw new ConnectError("http/2 stream closed", code);
        },
      });
    });
    const error = await failureOf(clientOf(t, server.address).accounts.listAccounts({}));
    assert.equal(error.code, code);
  }
});

test("a passed deadline is DEADLINE_EXCEEDED", async (t) => {
  const server = await fakeServer(t, ({ service }) => {
    service(AccountService, { listAccounts: () => new Promise(() => undefined) });
  });
  // The server never replies, and the stalled proxy drops a status of the server too.
  const proxy = await proxyTo(t, server.address);
  const client = clientOf(t, proxy.address);
  const call = failureOf(client.accounts.listAccounts({}, { timeoutMs: 300 }));
  proxy.stall();
  const error = await call;
  assert.deepEqual([error.code, error.reason], [Code.DeadlineExceeded, ""]);
});

test("a closed client fails open and later calls with CANCELED", async (t) => {
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
  const client = clientOf(t, server.address);
  const underWay = failureOf(client.accounts.listAccounts({}));
  await called.promise;
  client.close();
  assert.equal((await underWay).code, Code.Canceled);
  const later = await failureOf(client.accounts.listAccounts({}));
  assert.equal(later.message, "CANCELED: the client is closed");
});

test("a Failure converts with all its fields but the raw error", () => {
  const failure = create(FailureSchema, {
    code: Code.FailedPrecondition,
    reason: "SEND_OUTCOME_UNKNOWN",
    message: "the outcome is unknown",
    provider: Provider.CONNECTBY,
    providerName: "connectby",
    providerCode: "131047",
    providerType: "OAuthException",
    providerTraceId: "trace",
    providerMessage: "what the provider wrote",
    metadata: { attempt: "1" },
    retryDelay: { seconds: 1n, nanos: 500_000_000 },
    fieldViolations: [{ field: "to", reason: "MALFORMED", description: "must be a number" }],
    rawJson: '{"text":"what was written"}',
  });
  const error = SwitchboardError.fromFailure(failure);
  assert.equal(error.message, "FAILED_PRECONDITION SEND_OUTCOME_UNKNOWN: the outcome is unknown");
  assert.equal(error.code, Code.FailedPrecondition);
  assert.deepEqual([error.reason, error.domain], ["SEND_OUTCOME_UNKNOWN", "switchboard"]);
  assert.deepEqual(error.metadata, {
    attempt: "1",
    provider: "connectby",
    provider_code: "131047",
    provider_type: "OAuthException",
    provider_trace_id: "trace",
  });
  assert.equal(error.providerMessage, "what the provider wrote");
  assert.equal(error.retryDelayMs, 1500);
  assert.deepEqual(error.fieldViolations, [{ field: "to", reason: "MALFORMED", description: "must be a number" }]);
  assertHides(error, /what was written|what the provider wrote/);
});

test("an empty Failure converts to UNKNOWN without metadata", () => {
  const error = SwitchboardError.fromFailure(create(FailureSchema));
  assert.deepEqual(
    [error.code, error.message, error.metadata, error.providerMessage],
    [Code.Unknown, "UNKNOWN", {}, ""],
  );
});

test("a Failure names a provider that is newer than the package", () => {
  const provider = 99 as Provider;
  const newer = SwitchboardError.fromFailure(create(FailureSchema, { provider, providerName: "newer" }));
  assert.deepEqual(newer.metadata, { provider: "newer" });
  const unnamed = SwitchboardError.fromFailure(create(FailureSchema, { provider: Provider.CONNECTLY }));
  assert.deepEqual(unnamed.metadata, { provider: "connectly" });
});

test("the provider's message of a failed call is not in its text", async (t) => {
  const server = await fakeServer(t, ({ service }) => {
    service(MessageService, {
      sendMessage: () => {
        throw serverError(Code.FailedPrecondition, "PROVIDER_REFUSED", {
          provider: "connectly",
          provider_message: "what the provider wrote",
        });
      },
    });
  });
  const error = await failureOf(clientOf(t, server.address).messages.sendMessage({}));
  assert.equal(error.providerMessage, "what the provider wrote");
  assert.deepEqual([error.reason, error.metadata], ["PROVIDER_REFUSED", { provider: "connectly" }]);
  assertHides(error, /what the provider wrote/);
});

/** Asserts that no common way to print the error shows the text. */
function assertHides(error: SwitchboardError, text: RegExp): void {
  assert.doesNotMatch(inspect(error, { depth: 10, showHidden: true }), text);
  for (const printed of [error.message, String(error), error.stack ?? "", JSON.stringify(error)]) {
    assert.doesNotMatch(printed, text);
  }
}

test("every reason's text maps to its constant", () => {
  for (const { name, number } of ReasonSchema.values) {
    assert.equal(parseReason(name.replace(/^REASON_/, "")), number, name);
  }
  for (const text of ["", "A_NEWER_REASON", "request_invalid", "REASON_REQUEST_INVALID", "1", "toString"]) {
    assert.equal(parseReason(text), Reason.UNSPECIFIED, text);
  }
  assert.equal(
    SwitchboardError.fromFailure(create(FailureSchema, { reason: "A_NEWER_REASON" })).reason,
    "A_NEWER_REASON",
  );
});

test("an invalid request value is rejected and not shown", async (t) => {
  const server = await fakeServer(t, ({ service }) => service(MessageService, { sendMessage: () => ({}) }));
  const { messages } = clientOf(t, server.address, { maxAttempts: 1 });
  for (const request of [
    { content: { case: "text", value: { body: { words: "s3cret" } } } },
    { content: { case: "text", value: { body: ["s3cret"] } } },
    { resendAfterAttempt: "s3cret" },
    { channel: "s3cret" },
    { to: Symbol("s3cret") },
  ]) {
    const error = await messages.sendMessage(request as object).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    if (error !== undefined) {
      assert.ok(error instanceof SwitchboardError);
      assert.doesNotMatch(inspect(error), /s3cret/);
    }
  }
});

test("an invalid header throws a TypeError without a retry", async (t) => {
  const { accounts } = clientOf(t, "127.0.0.1:1");
  await assert.rejects(accounts.listAccounts({}, { headers: { "x-mine": "two\nlines" } }), TypeError);
});

test("any status can be decoded", () => {
  const error = SwitchboardError.from(new ConnectError("no such account", Code.NotFound));
  assert.equal(error.message, "NOT_FOUND: no such account");
  assert.equal(SwitchboardError.from(error), error);
  assert.equal(SwitchboardError.from("what?").code, Code.Unknown);
});
