// The event streams of the conformance table of the client libraries.
import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { create, equals, type MessageInitShape } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { type EventStream, type SwitchboardClient, SwitchboardError } from "@switchboard/client";
import {
  type AcknowledgeRequest,
  AcknowledgeRequestSchema,
  ClosingReason,
  type Event,
  EventSchema,
  EventService,
  ExpiredPolicy,
  StartPosition,
  type SubscribeGap,
  type SubscribeRequest,
  SubscribeRequestSchema,
  type SubscribeResponseSchema,
  SubscriptionService,
} from "@switchboard/client/v1";
import {
  type Bounds,
  type Case,
  cases,
  checkBounds,
  checkError,
  duration,
  type ExpectedError,
  enumValue,
  only,
  type Status,
  statusError,
} from "./support/conformance.js";
import { until } from "./support/deferred.js";
import { fakeServer } from "./support/fake.js";
import { clientOf } from "./support/sandbox.js";

interface Request {
  readonly subscription_id?: string;
  readonly position?: string;
  readonly after_cursor?: string;
  readonly since_seconds?: number;
  readonly max_events?: number;
  readonly expired_policy?: string;
}

interface Gap {
  readonly after_cursor: string;
  readonly resume_cursor: string;
  readonly missed: number;
}

type Step =
  | { started: { cursor: string; oldest_cursor?: string; heartbeat_ms?: number; generation?: number } }
  | { event: string }
  | { heartbeat: string }
  | { gap: Gap }
  | { closing: { reason: string; cursor?: string; retry_delay_ms?: number } }
  | { await_acknowledgements: number }
  | { end: "ok" | "silence" | Status };

interface Call {
  readonly subscribe?: Request;
  readonly acknowledge?: { readonly cursor: string; readonly generation: number };
}

interface ProgramStep {
  readonly event?: string;
  readonly gap?: Gap;
  readonly do: readonly string[];
}

interface StreamCase extends Case {
  readonly request: Request;
  readonly streams: readonly (readonly Step[])[];
  readonly acknowledge?: readonly ("ok" | Status)[];
  readonly program: readonly ProgramStep[];
  readonly expect: {
    readonly end: "done" | "program" | ExpectedError;
    readonly calls: readonly Call[];
    readonly optional?: readonly Call[];
    readonly pauses?: readonly Bounds[];
    readonly reconnects?: Bounds;
  };
}

function subscribeRequest(request: Request): SubscribeRequest {
  only(request, "subscription_id", "position", "after_cursor", "since_seconds", "max_events", "expired_policy");
  const starts: MessageInitShape<typeof SubscribeRequestSchema>["start"][] = [];
  if (request.subscription_id !== undefined) {
    starts.push({ case: "subscriptionId", value: request.subscription_id });
  }
  if (request.position !== undefined) {
    starts.push({ case: "position", value: enumValue(StartPosition, "START_POSITION_", request.position) });
  }
  if (request.after_cursor !== undefined) {
    starts.push({ case: "afterCursor", value: request.after_cursor });
  }
  if (request.since_seconds !== undefined) {
    starts.push({ case: "since", value: { seconds: BigInt(request.since_seconds) } });
  }
  assert.ok(starts.length <= 1);
  return create(SubscribeRequestSchema, {
    maxEvents: BigInt(request.max_events ?? 0),
    expiredPolicy: enumValue(ExpiredPolicy, "EXPIRED_POLICY_", request.expired_policy ?? "EXPIRED_POLICY_UNSPECIFIED"),
    ...(starts[0] && { start: starts[0] }),
  });
}

/** The response that a step sends, or undefined. */
function response(step: Step): MessageInitShape<typeof SubscribeResponseSchema> | undefined {
  if ("started" in step) {
    const { cursor, oldest_cursor, heartbeat_ms, generation } = only(
      step.started,
      "cursor",
      "oldest_cursor",
      "heartbeat_ms",
      "generation",
    );
    const value = {
      cursor,
      oldestCursor: oldest_cursor ?? "",
      heartbeatInterval: duration(heartbeat_ms ?? 15_000),
      generation: BigInt(generation ?? 0),
    };
    return { response: { case: "started", value } };
  }
  if ("event" in step) {
    return { response: { case: "event", value: { eventId: step.event, cursor: step.event } } };
  }
  if ("heartbeat" in step) {
    return { response: { case: "heartbeat", value: { cursor: step.heartbeat } } };
  }
  if ("gap" in step) {
    const { after_cursor, resume_cursor, missed } = only(step.gap, "after_cursor", "resume_cursor", "missed");
    const value = { afterCursor: after_cursor, resumeCursor: resume_cursor, missed: BigInt(missed) };
    return { response: { case: "gap", value } };
  }
  if ("closing" in step) {
    const { reason, cursor, retry_delay_ms } = only(step.closing, "reason", "cursor", "retry_delay_ms");
    const value = {
      reason: enumValue(ClosingReason, "CLOSING_REASON_", reason),
      cursor: cursor ?? "",
      ...(retry_delay_ms === undefined ? {} : { retryDelay: duration(retry_delay_ms) }),
    };
    return { response: { case: "closing", value } };
  }
  return undefined;
}

interface ReceivedCall {
  readonly request: SubscribeRequest | AcknowledgeRequest;
  readonly accepted: boolean;
}

/** The server's side of a case. */
class Script {
  readonly calls: ReceivedCall[] = [];
  readonly opened: number[] = [];
  readonly ended: number[] = [];
  /** Failures of the case, which handlers cannot throw to the test. */
  readonly faults: string[] = [];
  #acknowledged = 0;
  #changed: (() => void)[] = [];

  constructor(readonly scripted: StreamCase) {}

  async start(t: TestContext): Promise<string> {
    const { address } = await fakeServer(t, ({ service }) => {
      service(EventService, { subscribe: (request, { signal }) => this.#subscribe(request, signal) });
      service(SubscriptionService, { acknowledge: (request) => this.#acknowledge(request) });
    });
    return address;
  }

  #acknowledge(request: AcknowledgeRequest) {
    const { acknowledge: replies = [] } = this.scripted;
    const reply = replies[this.#acknowledged++] ?? "ok";
    this.calls.push({ request, accepted: reply === "ok" });
    for (const changed of this.#changed.splice(0)) {
      changed();
    }
    if (typeof reply === "object") {
      throw statusError(reply);
    }
    return { cursor: request.cursor };
  }

  async *#subscribe(request: SubscribeRequest, signal: AbortSignal) {
    this.calls.push({ request, accepted: false });
    const steps = this.scripted.streams[this.opened.push(performance.now()) - 1];
    try {
      if (steps === undefined) {
        this.faults.push("the case has no more streams");
        throw statusError({ code: "FAILED_PRECONDITION", reason: "CASE_HAS_NO_MORE_STREAMS" });
      }
      for (const step of steps) {
        const sent = response(step);
        if (sent !== undefined) {
          yield sent;
        } else if ("await_acknowledgements" in step) {
          while (this.#acknowledged < step.await_acknowledgements && !signal.aborted) {
            await Promise.race([new Promise<void>((resolve) => this.#changed.push(resolve)), until(signal)]);
          }
        } else if (!("end" in step)) {
          this.faults.push(`unknown step ${JSON.stringify(step)}`);
        } else if (typeof step.end === "object") {
          throw statusError(step.end);
        } else if (step.end === "silence") {
          await until(signal);
        } else if (step.end !== "ok") {
          this.faults.push(`unknown end ${step.end}`);
        }
      }
    } finally {
      this.ended.push(performance.now());
    }
  }

  /**
   * Compares the calls with the expected ones. Between them, optional calls and repetitions of accepted ones are
   * permitted.
   */
  check(): void {
    const { calls, optional = [] } = this.scripted.expect;
    const left = [...calls];
    for (const [index, { request }] of this.calls.entries()) {
      if (left[0] && isCall(request, left[0])) {
        left.shift();
      } else {
        const repeated = this.calls.slice(0, index).some((each) => each.accepted && isEqual(request, each.request));
        assert.ok(
          repeated || optional.some((each) => isCall(request, each)),
          `unexpected call ${JSON.stringify(request, shown)}`,
        );
      }
    }
    assert.deepEqual(left, [], "these calls are missing");
    assert.deepEqual(this.faults, []);
  }
}

const shown = (_: string, value: unknown) => (typeof value === "bigint" ? String(value) : value);

function isEqual(one: ReceivedCall["request"], other: ReceivedCall["request"]): boolean {
  if (one.$typeName === "switchboard.v1.SubscribeRequest") {
    return other.$typeName === one.$typeName && equals(SubscribeRequestSchema, one, other);
  }
  return other.$typeName === one.$typeName && equals(AcknowledgeRequestSchema, one, other);
}

function isCall(request: ReceivedCall["request"], call: Call): boolean {
  const { subscribe, acknowledge } = only(call, "subscribe", "acknowledge");
  if (subscribe !== undefined) {
    return isEqual(request, subscribeRequest(subscribe));
  }
  const { cursor = "", generation = 0 } = acknowledge ?? {};
  return isEqual(
    request,
    create(AcknowledgeRequestSchema, { subscriptionId: "shop", cursor, generation: BigInt(generation) }),
  );
}

/** The ways to cancel a loop. */
const WAYS = ["signal", "stream", "client"] as const;
type Way = (typeof WAYS)[number];

class ProgramError extends Error {}

/** The program's side of a case. */
class Program {
  readonly left: ProgramStep[];
  byItself = false;
  canceled = false;
  reconnects = 0;
  readonly #canceling = new AbortController();
  #stream!: EventStream<Event | SubscribeGap>;
  #previous: Event | SubscribeGap | undefined;

  constructor(
    steps: readonly ProgramStep[],
    readonly client: SwitchboardClient,
    readonly way: Way,
  ) {
    this.left = steps.map((step) => only(step, "event", "gap", "do"));
  }

  async run(request: SubscribeRequest): Promise<void> {
    this.#stream = this.client.subscribe(request as SubscribeRequest & { expiredPolicy: ExpiredPolicy.SKIP_WITH_GAP }, {
      signal: this.#canceling.signal,
      onReconnect: () => {
        this.reconnects++;
      },
    });
    for await (const item of this.#stream) {
      assert.ok(!this.byItself, "an item arrived after the program had left");
      const step = this.left.shift();
      assert.ok(step, "unexpected item");
      this.#checkItem(item, step);
      for (const action of step.do) {
        if (action === "leave") {
          this.byItself = true;
          return;
        }
        await this.#act(action, item);
      }
      this.#previous = item;
    }
  }

  #checkItem(item: Event | SubscribeGap, { event, gap }: ProgramStep): void {
    if (item.$typeName === "switchboard.v1.Event") {
      assert.equal(item.cursor, event);
    } else {
      const { afterCursor, resumeCursor, missed } = item;
      assert.deepEqual({ after_cursor: afterCursor, resume_cursor: resumeCursor, missed: Number(missed) }, gap);
    }
  }

  async #act(action: string, item: Event | SubscribeGap): Promise<void> {
    switch (action) {
      case "finish":
        return;
      case "fail":
        this.byItself = true;
        throw new ProgramError();
      case "cancel":
        this.byItself = true;
        this.canceled = true;
        ({
          signal: () => this.#canceling.abort(),
          stream: () => this.#stream.close(),
          client: () => this.client.close(),
        })[this.way]();
        return;
      case "acknowledge":
        assert.equal(await this.#stream.acknowledge(item), true);
        return;
      case "acknowledge_stale":
        assert.equal(await this.#stream.acknowledge(item), false);
        return;
      case "acknowledge_previous":
        assert.equal(await this.#stream.acknowledge(this.#previous), true);
        return;
      case "acknowledge_foreign":
        await assert.rejects(this.#stream.acknowledge(create(EventSchema, { cursor: "foreign" })), TypeError);
        return;
      default:
        assert.fail(`unknown action ${action}`);
    }
  }
}

describe("streams.json", { concurrency: true }, () => {
  for (const each of cases<StreamCase>("streams.json", "request", "streams", "acknowledge", "program", "expect")) {
    const cancels = each.program.some((step) => step.do.includes("cancel"));
    for (const way of cancels ? WAYS : (["signal"] as const)) {
      it(cancels ? `${each.name} by ${way}` : each.name, async (t) => {
        const expected = only(each.expect, "end", "calls", "optional", "pauses", "reconnects");
        const script = new Script(each);
        const program = new Program(each.program, clientOf(t, await script.start(t)), way);
        let error: unknown;
        try {
          await program.run(subscribeRequest(each.request));
        } catch (reason) {
          error = reason;
        }
        script.check();
        assert.deepEqual(program.left, []);
        if (expected.end === "done") {
          assert.equal(error, undefined);
          assert.equal(program.byItself, false);
        } else if (expected.end === "program") {
          assert.equal(program.byItself, true);
          if (program.canceled && way === "signal") {
            assert.ok(error instanceof SwitchboardError && error.code === Code.Canceled, `${error}`);
          } else {
            assert.ok(error === undefined || error instanceof ProgramError, `${error}`);
          }
        } else {
          assert.ok(error instanceof SwitchboardError, `${error}`);
          checkError(error, expected.end);
        }
        checkBounds("the number of reconnects", program.reconnects, expected.reconnects ?? script.opened.length - 1);
        for (const [index, pause] of (expected.pauses ?? []).entries()) {
          const from = script.ended[index] ?? Number.NaN;
          checkBounds("the pause", (script.opened[index + 1] ?? Number.NaN) - from, pause);
        }
      });
    }
  }
});
