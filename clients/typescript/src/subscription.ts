import { clone, create, type MessageInitShape } from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { SwitchboardError } from "./error.js";
import type { Event } from "./gen/switchboard/v1/event_pb.js";
import {
  ClosingReason,
  EventService,
  type ExpiredPolicy,
  type SubscribeGap,
  type SubscribeRequest,
  SubscribeRequestSchema,
  type SubscribeResponse,
} from "./gen/switchboard/v1/event_service_pb.js";
import { backoffMs, LinkedSignal, wait } from "./wait.js";

/** What {@link Subscription | subscriptions} are made with, apart from the request. */
export interface SubscribeOptions {
  /** Ends the loop, with the error `CANCELED`. (`Subscription.close` ends it without one.) */
  readonly signal?: AbortSignal;
  /** Told each time that a stream broke and is opened again after `delayMs`. For logs and metrics. */
  readonly onReconnect?: (error: SwitchboardError, delayMs: number) => void;
}

/** A request that asks for gaps, which then come between the events. */
export type SubscribeRequestWithGaps = MessageInitShape<typeof SubscribeRequestSchema> & {
  expiredPolicy: ExpiredPolicy.SKIP_WITH_GAP;
};

/** A request that does not ask for gaps. */
export type SubscribeRequestWithoutGaps = MessageInitShape<typeof SubscribeRequestSchema> & {
  expiredPolicy?: ExpiredPolicy.UNSPECIFIED | ExpiredPolicy.FAIL;
};

/**
 * Events as they happen, each once and in order, across lost connections and restarts of the server.
 *
 * ```ts
 * for await (const event of switchboard.subscribe({ start: { case: "afterCursor", value: kept } })) {
 *   await handle(event);
 *   await keep(event.cursor);
 * }
 * ```
 *
 * Asking for the next event finishes the one before. What the loop has not finished when it breaks off comes again: in the
 * next loop over the same subscription, or in a new one that starts at {@link cursor}.
 *
 * The loop fails with a {@link SwitchboardError} for everything but a broken stream, such as `CURSOR_EXPIRED`.
 */
export interface Subscription<T = Event> extends AsyncIterable<T, undefined> {
  /**
   * The place behind the last event that the loop has finished, or a later one without events that matter: to be kept,
   * and given as `afterCursor` of another subscription. Undefined before the first stream has started, unless one was
   * given.
   */
  readonly cursor: string | undefined;
  /** Ends the loop, without an error, and closes the connection. */
  close(): void;
}

/** A connection for one stream. */
export interface Connection {
  readonly transport: Transport;
  close(): void;
}

/** How long to wait for `started`. */
const START_TIMEOUT_MS = 10_000;
/** What the contract says where `started` does not. */
const DEFAULT_HEARTBEAT_MS = 15_000;
const FIRST_BACKOFF_MS = 250;
const LONGEST_BACKOFF_MS = 10_000;

/** The subscription over connections that it opens as it needs them. */
export class ReconnectingSubscription implements Subscription<Event | SubscribeGap> {
  readonly #connect: () => Connection;
  readonly #request: SubscribeRequest;
  readonly #options: SubscribeOptions;
  readonly #closed = new AbortController();
  readonly #clientClosed: AbortSignal;
  #cursor: string | undefined;
  #finishedEvents = 0n;
  #looping = false;

  constructor(
    connect: () => Connection,
    clientClosed: AbortSignal,
    request: MessageInitShape<typeof SubscribeRequestSchema>,
    options: SubscribeOptions,
  ) {
    this.#connect = connect;
    this.#clientClosed = clientClosed;
    // A copy: what the caller does to the request later does not reach a stream that is opened later.
    this.#request = clone(SubscribeRequestSchema, create(SubscribeRequestSchema, request));
    this.#options = options;
    if (this.#request.start.case === "afterCursor") {
      this.#cursor = this.#request.start.value;
    }
  }

  get cursor(): string | undefined {
    return this.#cursor;
  }

  close(): void {
    this.#closed.abort();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Event | SubscribeGap, undefined> {
    if (this.#looping) {
      throw new TypeError("a subscription is for one loop at a time");
    }
    this.#looping = true;
    const { signal, onReconnect } = this.#options;
    const over = new LinkedSignal(this.#closed.signal, this.#clientClosed, signal);
    let failures = 0;
    try {
      while (!this.#isOver()) {
        throwIfAborted(signal);
        const stream = new Stream(this.#connect(), this.#nextRequest(), over.signal);
        try {
          for (let response = await stream.next(); response !== undefined; response = await stream.next()) {
            // Whoever asks for the next one has finished the one before: the cursor moves after the `yield`.
            switch (response.case) {
              case "started":
                failures = 0;
                this.#cursor = response.value.cursor;
                break;
              case "event":
                yield response.value;
                this.#finishedEvents++;
                this.#cursor = response.value.cursor;
                break;
              case "gap":
                yield response.value;
                this.#cursor = response.value.resumeCursor;
                break;
              case "heartbeat":
              case "closing":
                this.#cursor = response.value.cursor;
                break;
            }
          }
        } finally {
          stream.close();
        }
        if (stream.error === undefined || this.#isOver()) {
          return;
        }
        throwIfAborted(signal);
        if (stream.error.code !== Code.Unavailable) {
          throw stream.error;
        }
        failures++;
        const delayMs = stream.pauseMs + backoffMs(failures, FIRST_BACKOFF_MS, LONGEST_BACKOFF_MS);
        onReconnect?.(stream.error, delayMs);
        await wait(delayMs, over.signal);
      }
    } finally {
      over.letGo();
      this.#looping = false;
    }
  }

  /** Whether there is nothing more to come, or nobody who wants it. */
  #isOver(): boolean {
    const { maxEvents } = this.#request;
    return (
      this.#closed.signal.aborted || this.#clientClosed.aborted || (maxEvents > 0n && this.#finishedEvents >= maxEvents)
    );
  }

  #nextRequest(): SubscribeRequest {
    const request = clone(SubscribeRequestSchema, this.#request);
    if (this.#cursor !== undefined) {
      request.start = { case: "afterCursor", value: this.#cursor };
    }
    if (request.maxEvents > 0n) {
      request.maxEvents -= this.#finishedEvents;
    }
    return request;
  }
}

/** One stream. What it ends with is in {@link error}; undefined means that the server ended it because it was asked to. */
class Stream {
  error: SwitchboardError | undefined;
  /** How long the server asked to wait before the next stream. */
  pauseMs = 0;
  readonly #connection: Connection;
  readonly #linked: LinkedSignal;
  readonly #responses: AsyncIterator<SubscribeResponse>;
  #silenceMs = START_TIMEOUT_MS;
  #finished = false;

  constructor(connection: Connection, request: SubscribeRequest, over: AbortSignal) {
    this.#connection = connection;
    this.#linked = new LinkedSignal(over);
    const client = createClient(EventService, connection.transport);
    this.#responses = client.subscribe(request, { signal: this.#linked.signal })[Symbol.asyncIterator]();
  }

  /** The next response, or undefined when the stream has ended. */
  async next(): Promise<SubscribeResponse["response"] | undefined> {
    // Only while somebody waits: a loop that takes its time is not the stream's silence.
    const watchdog = setTimeout(() => {
      this.#linked.abort(new ConnectError(`nothing came for ${this.#silenceMs} ms`, Code.Unavailable));
    }, this.#silenceMs);
    try {
      const next = await this.#responses.next();
      if (next.done) {
        if (!this.#finished) {
          this.error = SwitchboardError.from(new ConnectError("the stream ended unasked", Code.Unavailable));
        }
        return undefined;
      }
      const { response } = next.value;
      if (response.case === "started") {
        const { heartbeatInterval } = response.value;
        this.#silenceMs = 2 * (heartbeatInterval ? durationMs(heartbeatInterval) : DEFAULT_HEARTBEAT_MS);
      } else if (response.case === "closing") {
        const { reason, retryAfter } = response.value;
        this.#finished = reason !== ClosingReason.SHUTDOWN;
        this.pauseMs = retryAfter ? durationMs(retryAfter) : 0;
      }
      return response;
    } catch (reason) {
      this.error = SwitchboardError.from(reason);
      this.pauseMs = Math.max(this.pauseMs, this.error.retryDelayMs ?? 0);
      return undefined;
    } finally {
      clearTimeout(watchdog);
    }
  }

  close(): void {
    this.#linked.letGo();
    this.#linked.abort();
    this.#connection.close();
  }
}

function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) {
    throw SwitchboardError.from(ConnectError.from(signal.reason, Code.Canceled));
  }
}
