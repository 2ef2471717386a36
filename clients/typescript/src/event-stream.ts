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
import type { Connection } from "./transport.js";
import { backoffMs, LinkedSignal, MAX_SERVER_DELAY_MS, wait } from "./wait.js";

/** What {@link EventStream | subscriptions} are made with, apart from the request. */
export interface SubscribeOptions {
  /** Ends the loop, with the error `CANCELED`. (`EventStream.close` ends it without one.) */
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
 * Events as they happen, in order, across lost connections and restarts of the server.
 *
 * ```ts
 * for await (const event of switchboard.subscribe({ start: { case: "subscription", value: "billing" } })) {
 *   await handle(event);
 * }
 * ```
 *
 * Asking for the next event finishes the one before, and so does {@link acknowledge}. What the loop has not finished when it breaks off comes again: in the
 * next loop over the same subscription.
 *
 * Of a named subscription, the server keeps the place. What is finished is acknowledged by itself: within about a second,
 * before a stream is opened again, and when the loop ends, which waits for that for five seconds at most. Somebody who moves
 * or changes the subscription meanwhile is followed: events then come from the new place on, also such as came before.
 *
 * Otherwise the place is the caller's to keep: start another subscription with {@link cursor} as `afterCursor`. Each event
 * comes once.
 *
 * The loop fails with a {@link SwitchboardError} for everything but a broken stream, such as `CURSOR_EXPIRED`, or
 * `SUBSCRIPTION_NOT_FOUND` when the named subscription is deleted. `UNAVAILABLE` never ends it. `INTERNAL`, `UNKNOWN` and
 * `CANCELED` without a reason do when they come for the sixth time in a row, with nothing that came between.
 */
export interface EventStream<T = Event> extends AsyncIterable<T, undefined> {
  /**
   * The place behind the last event that is finished, or a later one without events that matter. Undefined before the
   * first stream has started, unless one was given; and where a gap may be to come after a start `since` a time, before
   * anything has come.
   */
  readonly cursor: string | undefined;
  /**
   * Finishes an event of a named subscription, as the loop gave it, and with it all before; and acknowledges that at once.
   * Without one: what is finished already. Not needed, but to know that it is on disk before going on.
   *
   * @returns whether it is on disk. It is not when the subscription was moved or changed meanwhile, which the loop follows.
   * @throws SwitchboardError also for `UNAVAILABLE`, which ends no loop: what is finished is acknowledged later.
   * @throws TypeError without a named subscription, and for what the loop did not give.
   */
  acknowledge(event?: T): Promise<boolean>;
  /** Ends the loop, without an error, and closes the connection. */
  close(): void;
}

/** How long to wait for `started`. */
const START_TIMEOUT_MS = 10_000;
/** What the contract says where `started` does not. */
const DEFAULT_HEARTBEAT_MS = 15_000;
/** Why the server ends streams that were not to end. Should its status be missing, the next stream tells. */
const RECONNECT_REASONS: ReadonlySet<ClosingReason> = new Set([
  ClosingReason.SHUTDOWN,
  ClosingReason.SUBSCRIPTION_CHANGED,
  ClosingReason.SUBSCRIPTION_DELETED,
]);
const INITIAL_BACKOFF_MS = 250;
const MAX_BACKOFF_MS = 10_000;
/** How often in a row what broke without a word of the server is opened again: that may be a message that cannot be read. */
const MAX_RESETS = 5;

/** The subscription over connections that it opens as it needs them. */
export class ReconnectingEventStream implements EventStream<Event | SubscribeGap> {
  readonly #connect: () => Connection;
  readonly #request: SubscribeRequest;
  readonly #options: SubscribeOptions;
  /** For a named subscription. */
  readonly #acknowledgements: Acknowledgements | undefined;
  readonly #closed = new AbortController();
  readonly #clientClosed: AbortSignal;
  #cursor: string | undefined;
  #finishedEvents = 0n;
  /** What the loop has and has not finished. */
  #current: Event | SubscribeGap | undefined;
  /** The places of what the loop was given from a named subscription. */
  readonly #positions = new WeakMap<Event | SubscribeGap, Position>();
  /** Streams in a row that did not start. */
  #failures = 0;
  /** Streams in a row that broke in a way that is not `UNAVAILABLE`, and brought nothing. */
  #resets = 0;
  #running = false;

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
    const { start } = this.#request;
    if (start.case === "afterCursor") {
      this.#cursor = start.value;
    }
    this.#acknowledgements = start.case === "subscription" ? new Acknowledgements(start.value, connect) : undefined;
  }

  get cursor(): string | undefined {
    return this.#cursor;
  }

  async acknowledge(event?: Event | SubscribeGap): Promise<boolean> {
    if (this.#acknowledgements === undefined) {
      throw new TypeError("only a named subscription is acknowledged");
    }
    let position: Position | undefined;
    if (event !== undefined) {
      position = this.#positions.get(event);
      if (position === undefined) {
        throw new TypeError("the loop did not give this event");
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
      throw new TypeError("a subscription is for one loop at a time");
    }
    this.#running = true;
    this.#failures = 0;
    this.#resets = 0;
    const { signal, onReconnect } = this.#options;
    const stop = new LinkedSignal(this.#closed.signal, this.#clientClosed, signal);
    try {
      while (!this.#isDone()) {
        throwIfAborted(signal);
        const { error, serverDelayMs } = yield* this.#stream(stop.signal);
        if (error === undefined || this.#isDone()) {
          return;
        }
        throwIfAborted(signal);
        if (error.code !== Code.Unavailable && !(isReset(error) && ++this.#resets <= MAX_RESETS)) {
          throw error;
        }
        this.#failures++;
        const delayMs =
          Math.min(serverDelayMs, MAX_SERVER_DELAY_MS) + backoffMs(this.#failures, INITIAL_BACKOFF_MS, MAX_BACKOFF_MS);
        onReconnect?.(error, delayMs);
        await wait(delayMs, stop.signal);
      }
    } finally {
      this.#current = undefined;
      await this.#acknowledgements?.end();
      stop.unlink();
      this.#running = false;
    }
  }

  /** What one stream brings, and what it ends with. */
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
            this.#deliver(response.value);
            yield response.value;
            // Whoever asks for the next one has finished the one before.
            this.#finishCurrent();
            break;
          case "heartbeat":
            this.#finish(response.value.cursor);
            acknowledgements?.flushNow();
            break;
          case "closing":
            this.#finish(response.value.cursor);
            break;
        }
      }
      if (stream.error?.reason === "SUBSCRIPTION_CHANGED") {
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
   * Whether there may be a gap before the first event that only tells itself to who asks for the time again: at the oldest
   * place there is, where a stream that starts behind its cursor misses nothing.
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

  /** Whether there is nothing more to come, or nobody who wants it. */
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

/** What a stream ends with; without an error, because it was asked to. */
interface StreamEnd {
  readonly error: SwitchboardError | undefined;
  /** How long the server asked to wait before the next stream. */
  readonly serverDelayMs: number;
}

class Stream implements StreamEnd {
  error: SwitchboardError | undefined;
  serverDelayMs = 0;
  readonly #linked: LinkedSignal;
  readonly #responses: AsyncIterator<SubscribeResponse>;
  #silenceTimeoutMs = START_TIMEOUT_MS;
  #endedAsRequested = false;

  constructor(transport: Transport, request: SubscribeRequest, stop: AbortSignal) {
    this.#linked = new LinkedSignal(stop);
    const client = createClient(EventService, transport);
    this.#responses = client.subscribe(request, { signal: this.#linked.signal })[Symbol.asyncIterator]();
  }

  /** The next response, or undefined when the stream has ended. */
  async next(): Promise<SubscribeResponse["response"] | undefined> {
    if (this.error !== undefined) {
      return undefined;
    }
    // Only while somebody waits: a loop that takes its time is not the stream's silence.
    const watchdog = setTimeout(() => {
      this.#linked.abort(new ConnectError(`nothing came for ${this.#silenceTimeoutMs} ms`, Code.Unavailable));
    }, this.#silenceTimeoutMs);
    try {
      const next = await this.#responses.next();
      if (next.done) {
        if (!this.#endedAsRequested) {
          this.error = SwitchboardError.from(new ConnectError("the stream ended unasked", Code.Unavailable));
        }
        return undefined;
      }
      const { response } = next.value;
      if (response.case === "started") {
        const { heartbeatInterval } = response.value;
        this.#silenceTimeoutMs = 2 * (heartbeatInterval ? durationMs(heartbeatInterval) : DEFAULT_HEARTBEAT_MS);
      } else if (response.case === "closing") {
        const { reason, retryAfter } = response.value;
        this.#endedAsRequested = !RECONNECT_REASONS.has(reason);
        this.serverDelayMs = retryAfter ? durationMs(retryAfter) : 0;
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

  /** Ends it with an error of another call. */
  readonly fail = (error: SwitchboardError): void => {
    this.error ??= error;
    this.#linked.abort();
  };

  close(): void {
    this.#linked.unlink();
    this.#linked.abort();
  }
}

/** The place behind it. */
function cursorOf(item: Event | SubscribeGap): string {
  return item.$typeName === "switchboard.v1.Event" ? item.cursor : item.resumeCursor;
}

function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) {
    throw SwitchboardError.from(ConnectError.from(signal.reason, Code.Canceled));
  }
}
