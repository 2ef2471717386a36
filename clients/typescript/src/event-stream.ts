import { clone, create, type MessageInitShape } from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { Acknowledgements, type Position } from "./acknowledgements.js";
import { isReset, SwitchboardError } from "./error.js";
import type { Event } from "./gen/switchboard/v1/event_pb.js";
import {
  ClosingReason,
  EventService,
  ExpiredPolicy,
  type SubscribeGap,
  type SubscribeRequest,
  SubscribeRequestSchema,
  type SubscribeResponse,
  type SubscribeStarted,
} from "./gen/switchboard/v1/event_service_pb.js";
import { Reason } from "./gen/switchboard/v1/reason_pb.js";
import type { Logger } from "./logger.js";
import { parseReason } from "./reason.js";
import type { Connection } from "./transport.js";
import { backoffMs, linkedController, MAX_SERVER_DELAY_MS, wait } from "./wait.js";

/** Options of an {@link EventStream}, in addition to the request. */
export interface SubscribeOptions {
  /** Ends the loop with the error `CANCELED`. (`EventStream.close` ends it without an error.) */
  readonly signal?: AbortSignal;
  /**
   * Called each time a stream broke and will be reopened after `delayMs`. For metrics and health checks. The client's
   * `logger` logs the same.
   */
  readonly onReconnect?: (error: SwitchboardError, delayMs: number) => void;
}

/** A request that asks for gaps. The loop then yields them between the events. */
export type SubscribeRequestWithGaps = MessageInitShape<typeof SubscribeRequestSchema> & {
  expiredPolicy: ExpiredPolicy.SKIP_WITH_GAP;
};

/** A request that does not ask for gaps. */
export type SubscribeRequestWithoutGaps = MessageInitShape<typeof SubscribeRequestSchema> & {
  expiredPolicy?: ExpiredPolicy.UNSPECIFIED | ExpiredPolicy.FAIL;
};

/**
 * Events in journal order, across broken connections and server restarts.
 *
 * ```ts
 * for await (const event of switchboard.subscribe({ start: { case: "subscriptionId", value: "billing" } })) {
 *   await handle(event);
 * }
 * ```
 *
 * Requesting the next event finishes the previous one, and so does {@link acknowledge}. An event is not finished if the
 * loop's body leaves the loop, or if the stream, its `signal` or the client ends the loop while the body runs. The next
 * loop over the same subscription receives that event again.
 *
 * For a named subscription, the server stores the position. The loop acknowledges finished events within about a
 * second, with each heartbeat, before it reopens a stream, and when it ends. At the end, it waits at most two seconds
 * for the acknowledgement. If the subscription is moved or its filter is changed, the loop continues with the new
 * state. It may then yield earlier events again.
 *
 * Without a named subscription, the caller stores the position. Pass the last {@link cursor} as `afterCursor` to
 * resume. Each event is delivered once.
 *
 * The loop throws a {@link SwitchboardError} for every error except a broken stream: `CURSOR_EXPIRED`, for example, or
 * `SUBSCRIPTION_NOT_FOUND` if the named subscription is deleted. `UNAVAILABLE` never ends the loop. `INTERNAL`,
 * `UNKNOWN` and `CANCELED` without a reason end it at the sixth such error in a row, with no event, gap or heartbeat in
 * between.
 */
export interface EventStream<T = Event> extends AsyncIterable<T, undefined> {
  /**
   * The position after the last finished event, or after a later heartbeat. It is undefined before the first stream has
   * started, unless the request has an `afterCursor`. After a start `since` a time, it also stays undefined while a gap
   * may follow.
   */
  readonly cursor: string | undefined;
  /**
   * Finishes an event that the loop delivered from a named subscription, and all events before it. Acknowledges them
   * immediately. Without an argument, it acknowledges the events that are already finished. Calling it is optional; use
   * it to be sure that the acknowledgement is durable before you continue.
   *
   * @returns Whether the server stored the acknowledgement durably. `false` means that the subscription was moved or
   *   changed; the loop continues with the new state.
   * @throws SwitchboardError If the call fails. `UNAVAILABLE` does not end the loop; it acknowledges finished events
   *   later.
   * @throws TypeError Without a named subscription, and for an event that the loop did not deliver.
   */
  acknowledge(event?: T): Promise<boolean>;
  /** Ends the loop without an error and closes the connection. If the body is running, its event is not finished. */
  close(): void;
}

/** How long to wait for `started`. */
const START_TIMEOUT_MS = 10_000;
/** The contract's default, if `started` has no interval. */
const DEFAULT_HEARTBEAT_MS = 15_000;
/**
 * Reasons for which the loop reopens the stream. If the status after such a closing is missing, the next stream returns
 * the error.
 */
const RECONNECT_REASONS: ReadonlySet<ClosingReason> = new Set([
  ClosingReason.SHUTDOWN,
  ClosingReason.SUBSCRIPTION_CHANGED,
  ClosingReason.SUBSCRIPTION_DELETED,
]);
/** Reasons after which earlier positions of the subscription no longer apply. */
const INVALID_POSITION_REASONS: ReadonlySet<Reason> = new Set([
  Reason.SUBSCRIPTION_CHANGED,
  Reason.SUBSCRIPTION_NOT_FOUND,
]);
const INITIAL_BACKOFF_MS = 250;
const MAX_BACKOFF_MS = 10_000;
/**
 * How many consecutive resets are tolerated. A reset may also be a permanent fault, such as a message that cannot be
 * decoded.
 */
const MAX_RESETS = 5;

/** An event stream that opens connections as needed. */
export class ReconnectingEventStream implements EventStream<Event | SubscribeGap> {
  readonly #connect: () => Connection;
  readonly #request: SubscribeRequest;
  readonly #options: SubscribeOptions;
  /** Only for a named subscription. */
  readonly #acknowledgements: Acknowledgements | undefined;
  readonly #closed = new AbortController();
  readonly #clientClosed: AbortSignal;
  readonly #logger: Logger | undefined;
  #cursor: string | undefined;
  #finishedEvents = 0n;
  /** Delivered to the loop and not finished. */
  #current: Event | SubscribeGap | undefined;
  /** The positions of all items delivered from a named subscription. */
  readonly #positions = new WeakMap<Event | SubscribeGap, Position>();
  /** Number of consecutive streams that did not start. */
  #failures = 0;
  /** Number of consecutive streams that were reset without an event, gap, heartbeat or closing. */
  #resets = 0;
  #running = false;

  constructor(
    connect: () => Connection,
    clientClosed: AbortSignal,
    request: MessageInitShape<typeof SubscribeRequestSchema>,
    options: SubscribeOptions,
    logger: Logger | undefined,
  ) {
    this.#connect = connect;
    this.#clientClosed = clientClosed;
    this.#logger = logger;
    // Copy the request: later changes by the caller must not affect the next stream.
    this.#request = clone(SubscribeRequestSchema, create(SubscribeRequestSchema, request));
    this.#options = options;
    const { start } = this.#request;
    if (start.case === "afterCursor") {
      this.#cursor = start.value;
    }
    this.#acknowledgements = start.case === "subscriptionId" ? new Acknowledgements(start.value, connect) : undefined;
  }

  get cursor(): string | undefined {
    return this.#cursor;
  }

  async acknowledge(event?: Event | SubscribeGap): Promise<boolean> {
    if (this.#acknowledgements === undefined) {
      throw new TypeError("only a named subscription can be acknowledged");
    }
    let position: Position | undefined;
    if (event !== undefined) {
      position = this.#positions.get(event);
      if (position === undefined) {
        throw new TypeError("the event was not delivered by this event stream");
      }
    } else if (this.#cursor !== undefined) {
      position = this.#acknowledgements.position(this.#cursor);
    } else {
      throw new TypeError("there is nothing to acknowledge yet");
    }
    if (event !== undefined && event === this.#current) {
      this.#finishCurrent();
    }
    if (this.#clientClosed.aborted) {
      throw SwitchboardError.from(new ConnectError("the client is closed", Code.Canceled));
    }
    return await this.#acknowledgements.acknowledge(position);
  }

  close(): void {
    this.#closed.abort();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Event | SubscribeGap, undefined> {
    if (this.#running) {
      throw new TypeError("another loop is already reading this event stream");
    }
    this.#running = true;
    this.#failures = 0;
    this.#resets = 0;
    const { signal, onReconnect } = this.#options;
    const stop = linkedController(this.#closed.signal, this.#clientClosed, signal);
    try {
      while (!this.#isDone()) {
        throwIfAborted(signal);
        const { error, serverDelayMs } = yield* this.#stream(stop.signal);
        if (this.#isDone()) {
          return;
        }
        throwIfAborted(signal);
        if (error === undefined) {
          return;
        }
        if (error.code !== Code.Unavailable && !(isReset(error) && ++this.#resets <= MAX_RESETS)) {
          throw error;
        }
        this.#failures++;
        const delayMs =
          Math.min(serverDelayMs, MAX_SERVER_DELAY_MS) + backoffMs(this.#failures, INITIAL_BACKOFF_MS, MAX_BACKOFF_MS);
        this.#logger?.warn("switchboard event stream broke, reconnecting", {
          ...(this.#acknowledgements && { subscriptionId: this.#acknowledgements.subscriptionId }),
          failures: this.#failures,
          delayMs,
          error: error.message,
        });
        onReconnect?.(error, delayMs);
        await wait(delayMs, stop.signal);
      }
    } finally {
      this.#current = undefined;
      await this.#acknowledgements?.end();
      stop.abort();
      this.#running = false;
    }
  }

  /** Yields the items of one stream, and returns how the stream ended. */
  async *#stream(stop: AbortSignal): AsyncGenerator<Event | SubscribeGap, StreamEnd> {
    const acknowledgements = this.#acknowledgements;
    const connection = this.#connect();
    let stream: Stream | undefined;
    try {
      const error = await acknowledgements?.attach(connection, stop);
      if (error !== undefined) {
        return { error, serverDelayMs: error.retryDelayMs ?? 0 };
      }
      stream = new Stream(connection.transport, this.#nextRequest(), stop);
      for (let response = await stream.next(); response !== undefined; response = await stream.next()) {
        if (response.case !== "started") {
          this.#resets = 0;
        }
        switch (response.case) {
          case "started":
            this.#failures = 0;
            if (!this.#gapMayFollow(response.value)) {
              this.#cursor = response.value.cursor;
            }
            acknowledgements?.started(response.value.generation, stream.fail);
            break;
          case "event":
          case "gap":
            if (!stop.aborted) {
              this.#deliver(response.value);
              yield response.value;
            }
            // Requesting the next item finishes the previous one. If the loop was stopped meanwhile, that also ended the
            // body's own work, so the item may be unhandled.
            if (stop.aborted) {
              return stream;
            }
            this.#finishCurrent();
            break;
          case "heartbeat":
            this.#finish(response.value.cursor);
            acknowledgements?.flushNow();
            break;
          case "closing":
            if (response.value.cursor !== "") {
              this.#finish(response.value.cursor);
            }
            break;
        }
      }
      if (INVALID_POSITION_REASONS.has(parseReason(stream.error?.reason ?? ""))) {
        acknowledgements?.dropPending();
      }
      return stream;
    } finally {
      acknowledgements?.detach();
      stream?.close();
      connection.close();
    }
  }

  /**
   * Whether a gap may precede the first event. The server reports it only to a request with the same time, and only if
   * the stream starts at the oldest position. A stream that resumes after that position's cursor would not report it.
   */
  #gapMayFollow({ cursor, oldestCursor }: SubscribeStarted): boolean {
    const { start, expiredPolicy } = this.#request;
    return (
      start.case === "since" &&
      expiredPolicy === ExpiredPolicy.SKIP_WITH_GAP &&
      this.#cursor === undefined &&
      cursor === oldestCursor
    );
  }

  #deliver(item: Event | SubscribeGap): void {
    this.#current = item;
    if (this.#acknowledgements !== undefined) {
      this.#positions.set(item, this.#acknowledgements.position(cursorOf(item)));
    }
  }

  #finishCurrent(): void {
    const item = this.#current;
    if (item !== undefined) {
      this.#current = undefined;
      this.#finishedEvents += item.$typeName === "switchboard.v1.Event" ? 1n : 0n;
      this.#finish(cursorOf(item));
    }
  }

  #finish(cursor: string): void {
    this.#cursor = cursor;
    this.#acknowledgements?.markFinished(cursor);
  }

  /** Whether the loop is complete or was closed. */
  #isDone(): boolean {
    const { maxEvents } = this.#request;
    return (
      this.#closed.signal.aborted || this.#clientClosed.aborted || (maxEvents > 0n && this.#finishedEvents >= maxEvents)
    );
  }

  #nextRequest(): SubscribeRequest {
    const request = clone(SubscribeRequestSchema, this.#request);
    if (this.#cursor !== undefined && this.#acknowledgements === undefined) {
      request.start = { case: "afterCursor", value: this.#cursor };
    }
    if (request.maxEvents > 0n) {
      request.maxEvents -= this.#finishedEvents;
    }
    return request;
  }
}

/** How a stream ended. Without an error, it ended as requested. */
interface StreamEnd {
  readonly error: SwitchboardError | undefined;
  /** The delay that the server asked for before the next stream. */
  readonly serverDelayMs: number;
}

class Stream implements StreamEnd {
  error: SwitchboardError | undefined;
  serverDelayMs = 0;
  readonly #controller: AbortController;
  readonly #responses: AsyncIterator<SubscribeResponse>;
  #silenceTimeoutMs = START_TIMEOUT_MS;
  #endedAsRequested = false;

  constructor(transport: Transport, request: SubscribeRequest, stop: AbortSignal) {
    this.#controller = linkedController(stop);
    const client = createClient(EventService, transport);
    this.#responses = client.subscribe(request, { signal: this.#controller.signal })[Symbol.asyncIterator]();
  }

  /** Returns the next response, or undefined at the end of the stream. */
  async next(): Promise<SubscribeResponse["response"] | undefined> {
    if (this.error !== undefined) {
      return undefined;
    }
    // Time only the wait for the server, not the time that the loop takes.
    const watchdog = setTimeout(() => {
      this.#controller.abort(new ConnectError(`no response for ${this.#silenceTimeoutMs} ms`, Code.Unavailable));
    }, this.#silenceTimeoutMs);
    try {
      const next = await this.#responses.next();
      if (next.done) {
        if (!this.#endedAsRequested) {
          this.error = SwitchboardError.from(new ConnectError("the stream ended unexpectedly", Code.Unavailable));
        }
        return undefined;
      }
      const { response } = next.value;
      if (response.case === "started") {
        const { heartbeatInterval } = response.value;
        this.#silenceTimeoutMs = 2 * (heartbeatInterval ? durationMs(heartbeatInterval) : DEFAULT_HEARTBEAT_MS);
      } else if (response.case === "closing") {
        const { reason, retryDelay } = response.value;
        this.#endedAsRequested = !RECONNECT_REASONS.has(reason);
        this.serverDelayMs = retryDelay ? durationMs(retryDelay) : 0;
      }
      return response;
    } catch (reason) {
      this.error ??= SwitchboardError.from(reason);
      this.serverDelayMs = Math.max(this.serverDelayMs, this.error.retryDelayMs ?? 0);
      return undefined;
    } finally {
      clearTimeout(watchdog);
    }
  }

  /** Ends the stream with the error of another call. */
  readonly fail = (error: SwitchboardError): void => {
    this.error ??= error;
    this.#controller.abort();
  };

  close(): void {
    this.#controller.abort();
  }
}

/** The position after the item. */
function cursorOf(item: Event | SubscribeGap): string {
  return item.$typeName === "switchboard.v1.Event" ? item.cursor : item.resumeCursor;
}

function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) {
    throw SwitchboardError.from(ConnectError.from(signal.reason, Code.Canceled));
  }
}
