import { create, equals, type MessageInitShape } from "@bufbuild/protobuf";
import { type CallOptions, type Client, Code, createContextValues } from "@connectrpc/connect";
import { SwitchboardError } from "./error.js";
import { type EventFilter, EventFilterSchema } from "./gen/switchboard/v1/event_pb.js";
import { Reason } from "./gen/switchboard/v1/reason_pb.js";
import {
  CreateSubscriptionRequestSchema,
  type Subscription,
  SubscriptionSchema,
  type SubscriptionService,
} from "./gen/switchboard/v1/subscription_service_pb.js";
import { parseReason } from "./reason.js";
import { DEFAULT_BUDGET_MS, REPEATABLE } from "./transport.js";

/** Implements `SwitchboardClient.ensureSubscription`. */
export async function ensureSubscription(
  subscriptions: Client<typeof SubscriptionService>,
  init: MessageInitShape<typeof CreateSubscriptionRequestSchema>,
  options: CallOptions = {},
): Promise<Subscription> {
  const request = create(CreateSubscriptionRequestSchema, init);
  const wanted = request.subscription ?? create(SubscriptionSchema);
  // Connect treats a timeout of zero or less as none.
  const { timeoutMs = 0 } = options;
  const until = performance.now() + (timeoutMs > 0 ? timeoutMs : DEFAULT_BUDGET_MS);
  // A repeated step changes nothing, so each is retried.
  const contextValues = { ...createContextValues(), ...options.contextValues }.set(REPEATABLE, true);
  const step = () => ({ ...options, contextValues, timeoutMs: Math.max(until - performance.now(), 1) });

  for (;;) {
    const created = await orUndefined(
      subscriptions.createSubscription(request, step()),
      ({ code }) => code === Code.AlreadyExists,
    );
    if (created !== undefined) {
      return created.subscription ?? wanted;
    }
    const stored = await orUndefined(update(), isNotFound);
    if (stored !== undefined) {
      return stored;
    }
    // Another client has deleted the subscription meanwhile.
  }

  async function update(): Promise<Subscription> {
    const { subscriptionId } = request;
    const got = await subscriptions.getSubscription({ subscriptionId }, step());
    const stored = got.subscription ?? create(SubscriptionSchema);
    const paths = [
      ...(equalFilters(stored.filter, wanted.filter) ? [] : ["filter"]),
      ...(equalLabels(stored.labels, wanted.labels) ? [] : ["labels"]),
    ];
    if (paths.length === 0) {
      return stored;
    }
    const change = { subscription: { ...wanted, subscriptionId }, updateMask: { paths } };
    const updated = await subscriptions.updateSubscription(change, step());
    return updated.subscription ?? wanted;
  }
}

/** The result of a call, or undefined if it failed with an expected error. */
async function orUndefined<T>(
  call: Promise<T>,
  expected: (error: SwitchboardError) => boolean,
): Promise<T | undefined> {
  try {
    return await call;
  } catch (reason) {
    const error = SwitchboardError.from(reason);
    if (expected(error)) {
      return undefined;
    }
    throw error;
  }
}

function isNotFound({ reason }: SwitchboardError): boolean {
  return parseReason(reason) === Reason.SUBSCRIPTION_NOT_FOUND;
}

/** Compares two filters. The order of the values has no meaning. */
function equalFilters(one: EventFilter | undefined, other: EventFilter | undefined): boolean {
  return equals(EventFilterSchema, sorted(one), sorted(other));
}

function sorted(filter: EventFilter | undefined): EventFilter {
  const { accounts = [], types = [], customers = [] } = filter ?? {};
  return create(EventFilterSchema, {
    accounts: [...accounts].sort(),
    types: [...types].sort(),
    customers: [...customers].sort(),
  });
}

function equalLabels(one: Subscription["labels"], other: Subscription["labels"]): boolean {
  const keys = Object.keys(one);
  return keys.length === Object.keys(other).length && keys.every((key) => one[key] === other[key]);
}
