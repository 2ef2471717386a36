// The conformance table of the client libraries, except its event streams.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { inspect } from "node:util";
import { create, type DescMessage, equals, type MessageShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { parseReason, SwitchboardError } from "@switchboard/client";
import {
  ContactService,
  CreateSubscriptionRequestSchema,
  FailureSchema,
  GetSubscriptionRequestSchema,
  MessageService,
  Provider,
  ReasonSchema,
  StartPosition,
  SubscriptionSchema,
  SubscriptionService,
  UpdateSubscriptionRequestSchema,
} from "@switchboard/client/v1";
import { decide } from "../examples/answer.js";
import {
  type Bounds,
  type Case,
  cases,
  checkBounds,
  checkError,
  duration,
  type ExpectedError,
  enumValue,
  nameOf,
  only,
  type Status,
  statusError,
} from "./support/conformance.js";
import { until } from "./support/deferred.js";
import { fakeServer, unusedPort } from "./support/fake.js";
import { clientOf } from "./support/sandbox.js";

const PARALLEL = { concurrency: true };

/** The error of a call, or undefined. */
async function errorOf(call: Promise<unknown>): Promise<SwitchboardError | undefined> {
  try {
    await call;
    return undefined;
  } catch (error) {
    assert.ok(error instanceof SwitchboardError, inspect(error));
    return error;
  }
}

interface FailureCase extends Case {
  readonly status?: Status;
  readonly failure?: { readonly retry_delay_ms?: number; readonly provider?: string };
  readonly error: Record<string, unknown>;
}

function checkFailure(error: SwitchboardError | undefined, expected: Record<string, unknown>): void {
  assert.ok(error);
  assert.deepEqual(
    {
      code: nameOf(error.code),
      message: error.message.replace(/^[A-Z_ ]+: /, ""),
      reason: error.reason,
      domain: error.domain,
      constant: ReasonSchema.value[parseReason(error.reason)]?.name,
      metadata: error.metadata,
      provider_message: error.providerMessage,
      field_violations: error.fieldViolations,
      retry_delay_ms: error.retryDelayMs ?? null,
    },
    expected,
  );
  if (error.providerMessage !== "") {
    assert.ok(!`${error}${error.stack}${inspect(error, { depth: 10 })}`.includes(error.providerMessage));
  }
}

describe("failures.json", PARALLEL, () => {
  for (const each of cases<FailureCase>("failures.json", "status", "failure", "error")) {
    it(each.name, async (t) => {
      const { status, failure, error } = each;
      if (status !== undefined) {
        const server = await fakeServer(t, ({ service }) => {
          service(MessageService, { sendMessage: () => Promise.reject(statusError(status)) });
        });
        const client = clientOf(t, server.address, { maxAttempts: 1 });
        checkFailure(await errorOf(client.messages.sendMessage({})), error);
      }
      if (failure !== undefined) {
        const { retry_delay_ms: delayMs, provider = "PROVIDER_UNSPECIFIED", ...rest } = failure;
        const fields = Object.entries(rest).map(([key, value]) => {
          const field = FailureSchema.fields.find(({ name }) => name === key);
          assert.ok(field, `unknown field ${key}`);
          return [field.localName, value];
        });
        const message = create(FailureSchema, {
          ...Object.fromEntries(fields),
          provider: enumValue(Provider, "PROVIDER_", provider),
          ...(delayMs === undefined ? {} : { retryDelay: duration(delayMs) }),
        });
        checkFailure(SwitchboardError.fromFailure(message), error);
      }
    });
  }
});

interface CallCase extends Case {
  readonly call: "GetMessage" | "SendMessage" | "UpdateContact";
  readonly request_id?: string;
  readonly timeout_ms?: number;
  readonly server_starts_after_ms?: number;
  readonly server: readonly ("ok" | "silence" | Status)[];
  readonly expect: {
    readonly result: "ok" | ExpectedError;
    readonly attempts: Bounds;
    readonly request_id: string;
    readonly pauses?: readonly Bounds[];
    readonly elapsed?: Bounds;
  };
}

describe("calls.json", PARALLEL, () => {
  for (const each of cases<CallCase>(
    "calls.json",
    "call",
    "request_id",
    "timeout_ms",
    "server_starts_after_ms",
    "server",
    "expect",
  )) {
    it(each.name, async (t) => {
      const expected = only(each.expect, "result", "attempts", "request_id", "pauses", "elapsed");
      const arrivals: number[] = [];
      const ends: number[] = [];
      const ids: string[] = [];
      const attempt = async (requestId: string, signal: AbortSignal) => {
        arrivals.push(performance.now());
        ids.push(requestId);
        const reply = each.server[Math.min(ids.length, each.server.length) - 1];
        try {
          if (reply === "silence") {
            await until(signal);
          } else if (typeof reply === "object") {
            throw statusError(reply);
          } else {
            assert.equal(reply, "ok");
          }
          return {};
        } finally {
          ends.push(performance.now());
        }
      };
      const startsAfterMs = each.server_starts_after_ms ?? 0;
      const server = await fakeServer(
        t,
        ({ service }) => {
          service(MessageService, {
            sendMessage: ({ requestId }, { signal }) => attempt(requestId, signal),
            getMessage: (_, { signal }) => attempt("", signal),
          });
          service(ContactService, { updateContact: (_, { signal }) => attempt("", signal) });
        },
        startsAfterMs > 0 ? { port: await unusedPort(), startsAfterMs } : {},
      );
      const { contacts, messages } = clientOf(t, server.address);
      const options = each.timeout_ms === undefined ? {} : { timeoutMs: each.timeout_ms };
      const begun = performance.now();
      const error = await errorOf(
        {
          GetMessage: () => messages.getMessage({}, options),
          SendMessage: () => messages.sendMessage({ requestId: each.request_id ?? "" }, options),
          UpdateContact: () => contacts.updateContact({}, options),
        }[each.call](),
      );
      const elapsed = performance.now() - begun;
      if (expected.result === "ok") {
        assert.equal(error, undefined);
      } else {
        assert.ok(error);
        checkError(error, expected.result);
        ids.push(error.requestId ?? "");
      }
      checkBounds("the number of attempts", arrivals.length, expected.attempts);
      const generated = ids[0] ?? "";
      if (expected.request_id === "generated") {
        assert.notEqual(generated, "");
      }
      const wanted = { none: "", generated }[expected.request_id] ?? expected.request_id;
      assert.deepEqual(new Set(ids), new Set([wanted]));
      for (const [index, pause] of (expected.pauses ?? []).entries()) {
        checkBounds("the pause", (arrivals[index + 1] ?? Number.NaN) - (ends[index] ?? Number.NaN), pause);
      }
      if (expected.elapsed !== undefined) {
        checkBounds("the time of the call", elapsed, expected.elapsed);
      }
    });
  }
});

/** Fields of a subscription, and of the requests for it. */
interface Fields {
  readonly subscription_id?: string;
  readonly accounts?: string[];
  readonly types?: string[];
  readonly labels?: Record<string, string>;
  readonly position?: string;
  readonly update_mask?: string[];
}

interface SubscriptionCase extends Case {
  readonly subscription: Fields;
  readonly server: readonly {
    readonly CreateSubscription?: Fields;
    readonly GetSubscription?: Fields;
    readonly UpdateSubscription?: Fields;
    readonly reply: "ok" | Status | Fields;
  }[];
  readonly expect: Fields | ExpectedError;
}

function subscription(fields: Fields, subscriptionId = "") {
  only(fields, "subscription_id", "accounts", "types", "labels", "position", "update_mask");
  const { accounts, types, labels = {} } = fields;
  const filter = accounts || types ? { filter: { accounts: accounts ?? [], types: types ?? [] } } : {};
  return create(SubscriptionSchema, { subscriptionId, labels, ...filter });
}

function createRequest(fields: Fields) {
  const { accounts, types, labels } = fields;
  return create(CreateSubscriptionRequestSchema, {
    subscriptionId: fields.subscription_id ?? "",
    ...(accounts || types || labels ? { subscription: subscription(fields) } : {}),
    start: { case: "position", value: enumValue(StartPosition, "START_POSITION_", fields.position ?? "") },
  });
}

describe("ensure_subscription.json", PARALLEL, () => {
  for (const each of cases<SubscriptionCase>("ensure_subscription.json", "subscription", "server", "expect")) {
    it(each.name, async (t) => {
      const left = each.server.map((call) =>
        only(call, "CreateSubscription", "GetSubscription", "UpdateSubscription", "reply"),
      );
      const unexpected: unknown[] = [];
      /** Checks a call, and returns the response. */
      const handle = <D extends DescMessage>(
        schema: D,
        got: MessageShape<D>,
        want: (call: (typeof left)[number]) => [Fields, MessageShape<D>] | undefined,
      ) => {
        const call = left.shift();
        const [fields, request] = (call && want(call)) ?? [];
        if (call === undefined || fields === undefined || !request || !equals(schema, got, request)) {
          unexpected.push(got);
          throw new ConnectError("unexpected call", Code.FailedPrecondition);
        }
        if (call.reply === "ok") {
          return { subscription: subscription(fields) };
        }
        if ("code" in call.reply) {
          throw statusError(call.reply);
        }
        return { subscription: subscription(call.reply as Fields) };
      };
      const server = await fakeServer(t, ({ service }) => {
        service(SubscriptionService, {
          createSubscription: (request) =>
            handle(
              CreateSubscriptionRequestSchema,
              request,
              ({ CreateSubscription: fields }) => fields && [fields, createRequest(fields)],
            ),
          getSubscription: (request) =>
            handle(
              GetSubscriptionRequestSchema,
              request,
              ({ GetSubscription: fields }) =>
                fields && [
                  fields,
                  create(GetSubscriptionRequestSchema, { subscriptionId: fields.subscription_id ?? "" }),
                ],
            ),
          updateSubscription: (request) =>
            handle(
              UpdateSubscriptionRequestSchema,
              request,
              ({ UpdateSubscription: fields }) =>
                fields && [
                  fields,
                  create(UpdateSubscriptionRequestSchema, {
                    subscription: subscription(fields, fields.subscription_id),
                    updateMask: { paths: fields.update_mask ?? [] },
                  }),
                ],
            ),
        });
      });
      const client = clientOf(t, server.address);
      const call = client.ensureSubscription(createRequest(each.subscription));
      if ("code" in each.expect) {
        const error = await errorOf(call);
        assert.ok(error);
        checkError(error, each.expect);
      } else {
        const { filter, labels } = await call;
        assert.deepEqual(
          {
            accounts: [...(filter?.accounts ?? [])].sort(),
            types: [...(filter?.types ?? [])].sort(),
            labels: { ...labels },
          },
          { accounts: [], types: [], labels: {}, ...each.expect },
        );
      }
      assert.deepEqual(unexpected, []);
      assert.deepEqual(left, []);
    });
  }
});

interface AnswerCase extends Case {
  readonly status: Status;
  readonly then: string;
}

describe("answers.json", () => {
  for (const { name, status, then } of cases<AnswerCase>("answers.json", "status", "then")) {
    it(name, () => assert.equal(decide(SwitchboardError.from(statusError(status))), then));
  }
});
