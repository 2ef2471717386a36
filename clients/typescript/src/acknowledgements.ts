import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { isReset, SwitchboardError } from "./error.js";
import { EventService } from "./gen/switchboard/v1/event_service_pb.js";
import type { Connection } from "./transport.js";
import { MAX_SERVER_DELAY_MS } from "./wait.js";

/** How long what is finished may wait to be acknowledged, so that one call tells of many events. */
const BATCH_WINDOW_MS = 1_000;
/** How long to wait for the answer to an acknowledgement, and to the last one, which holds up whoever leaves the loop. */
const TIMEOUT_MS = 10_000;
const FINAL_TIMEOUT_MS = 5_000;

/** A place in the journal, as a stream of the subscription in this generation gave it. */
export interface Position {
  readonly cursor: string;
  readonly generation: bigint;
}

/** Tells the server of a named subscription what the loop has finished, in the background. */
export class Acknowledgements {
  readonly #subscription: string;
  readonly #connect: () => Connection;
  /** That of the stream that stands. */
  #connection: Connection | undefined;
  #onError: (error: SwitchboardError) => void = () => undefined;
  #generation = 0n;
  /** What is finished and not yet acknowledged. */
  #pending: Position | undefined;
  #acknowledged: Position | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(subscription: string, connect: () => Connection) {
    this.#subscription = subscription;
    this.#connect = connect;
  }

  /** Where the stream that stands, or stood last, has this cursor. */
  position(cursor: string): Position {
    return { cursor, generation: this.#generation };
  }

  /** Acknowledges over a new connection what is finished, before a stream is opened on it. Answers with the failure. */
  async attach(connection: Connection, signal: AbortSignal): Promise<SwitchboardError | undefined> {
    this.#connection = connection;
    return await this.#flush(TIMEOUT_MS, signal);
  }

  /** A stream has started. What the background fails with, other than by the connection, goes to `failed`. */
  started(generation: bigint, onError: (error: SwitchboardError) => void): void {
    this.#generation = generation;
    this.#onError = onError;
  }

  /** The loop has finished everything up to here. */
  markFinished(cursor: string): void {
    const position = this.position(cursor);
    if (!samePosition(position, this.#acknowledged)) {
      this.#pending = position;
      this.#schedule();
    }
  }

  /** Does not wait for more. */
  flushNow(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#connection === undefined) {
      // Whoever opens the next one begins with this.
      return;
    }
    void this.#flush(TIMEOUT_MS).then((error) => {
      if (error !== undefined && error.code !== Code.Unavailable) {
        this.#onError(error);
      } else if (this.#pending !== undefined && this.#connection !== undefined) {
        this.#schedule(Math.min(error?.retryDelayMs ?? 0, MAX_SERVER_DELAY_MS));
      }
    });
  }

  /** The subscription was changed: nothing of before counts any more. */
  dropPending(): void {
    this.#pending = undefined;
  }

  /** The connection is about to be closed. */
  detach(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#connection = undefined;
    this.#onError = () => undefined;
  }

  /** The loop has ended. */
  async end(): Promise<void> {
    this.detach();
    await this.#flush(FINAL_TIMEOUT_MS);
  }

  /** Acknowledges a place at once. Answers whether it is on disk: not when the subscription was changed meanwhile. */
  async acknowledge(position: Position): Promise<boolean> {
    return await this.#send(position, TIMEOUT_MS);
  }

  #schedule(serverDelayMs = 0): void {
    this.#timer ??= setTimeout(() => this.flushNow(), Math.max(BATCH_WINDOW_MS, serverDelayMs));
  }

  async #flush(timeoutMs: number, signal?: AbortSignal): Promise<SwitchboardError | undefined> {
    const position = this.#pending;
    if (position !== undefined) {
      try {
        await this.#send(position, timeoutMs, signal);
      } catch (error) {
        return SwitchboardError.from(error);
      }
    }
    return undefined;
  }

  async #send(position: Position, timeoutMs: number, signal?: AbortSignal): Promise<boolean> {
    // Without a stream, a connection for this call alone.
    const own = this.#connection === undefined ? this.#connect() : undefined;
    const { transport } = own ?? (this.#connection as Connection);
    try {
      const request = { subscription: this.#subscription, ...position };
      await createClient(EventService, transport).acknowledge(request, signal ? { timeoutMs, signal } : { timeoutMs });
      this.#acknowledged = position;
      if (samePosition(position, this.#pending)) {
        this.#pending = undefined;
      }
      return true;
    } catch (reason) {
      const error = SwitchboardError.from(reason);
      if (error.reason === "SUBSCRIPTION_GENERATION_STALE") {
        // The subscription was moved. Nothing of before counts any more.
        if (this.#pending?.generation === position.generation) {
          this.#pending = undefined;
        }
        return false;
      }
      // What may pass is UNAVAILABLE to whoever hears of it.
      if (error.code === Code.DeadlineExceeded) {
        throw SwitchboardError.from(new ConnectError(`no acknowledgement within ${timeoutMs} ms`, Code.Unavailable));
      }
      throw isReset(error) ? SwitchboardError.ofStatus(ConnectError.from(error.cause), Code.Unavailable) : error;
    } finally {
      own?.close();
    }
  }
}

function samePosition(one: Position, other: Position | undefined): boolean {
  return one.cursor === other?.cursor && one.generation === other.generation;
}
