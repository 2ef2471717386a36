import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { isReset, SwitchboardError } from "./error.js";
import { Reason } from "./gen/switchboard/v1/reason_pb.js";
import { SubscriptionService } from "./gen/switchboard/v1/subscription_service_pb.js";
import { parseReason } from "./reason.js";
import type { Connection } from "./transport.js";
import { MAX_SERVER_DELAY_MS } from "./wait.js";

/** How long a finished event may wait for its acknowledgement, because one call can acknowledge many events. */
const BATCH_WINDOW_MS = 1_000;
/** Deadlines of an acknowledgement, and of the last one, which delays the end of the loop. */
const TIMEOUT_MS = 10_000;
const FINAL_TIMEOUT_MS = 2_000;

/** A cursor, and the generation of the subscription that issued it. */
export interface Position {
  readonly cursor: string;
  readonly generation: bigint;
}

/** Acknowledges the finished events of a named subscription in the background. */
export class Acknowledgements {
  readonly subscriptionId: string;
  readonly #connect: () => Connection;
  /** The connection of the open stream. */
  #connection: Connection | undefined;
  #onError: (error: SwitchboardError) => void = () => undefined;
  #generation = 0n;
  /** Finished and not yet acknowledged. */
  #pending: Position | undefined;
  #acknowledged: Position | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(subscriptionId: string, connect: () => Connection) {
    this.subscriptionId = subscriptionId;
    this.#connect = connect;
  }

  /** The position of this cursor in the generation of the current or last stream. */
  position(cursor: string): Position {
    return { cursor, generation: this.#generation };
  }

  /**
   * Acknowledges the pending position over a new connection, before a stream is opened on it. Returns the error, if
   * any.
   */
  async attach(connection: Connection, signal: AbortSignal): Promise<SwitchboardError | undefined> {
    this.#connection = connection;
    return await this.#flush(TIMEOUT_MS, signal);
  }

  /** Call this when a stream has started. Background errors except UNAVAILABLE go to `onError`. */
  started(generation: bigint, onError: (error: SwitchboardError) => void): void {
    this.#generation = generation;
    this.#onError = onError;
  }

  /** Marks everything up to the cursor as finished. */
  markFinished(cursor: string): void {
    const position = this.position(cursor);
    if (!samePosition(position, this.#acknowledged)) {
      this.#pending = position;
      this.#schedule();
    }
  }

  /** Acknowledges the pending position without waiting for more events. */
  flushNow(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#connection === undefined) {
      // `attach` sends it over the next connection.
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

  /** Discards the pending position, because the subscription has changed. */
  dropPending(): void {
    this.#pending = undefined;
  }

  /** Call this before the connection is closed. */
  detach(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#connection = undefined;
    this.#onError = () => undefined;
  }

  /** Call this when the loop has ended. */
  async end(): Promise<void> {
    this.detach();
    await this.#flush(FINAL_TIMEOUT_MS);
  }

  /**
   * Acknowledges a position immediately. Returns whether the server stored it durably; `false` if the subscription has
   * changed.
   */
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
      } catch (reason) {
        const error = SwitchboardError.from(reason);
        if (error.code !== Code.Unavailable && samePosition(position, this.#pending)) {
          // The server would reject it again.
          this.#pending = undefined;
        }
        return error;
      }
    }
    return undefined;
  }

  async #send(position: Position, timeoutMs: number, signal?: AbortSignal): Promise<boolean> {
    // Without a stream, open a connection for this call only.
    const own = this.#connection === undefined ? this.#connect() : undefined;
    const { transport } = own ?? (this.#connection as Connection);
    try {
      const request = { subscriptionId: this.subscriptionId, ...position };
      const client = createClient(SubscriptionService, transport);
      await client.acknowledge(request, signal ? { timeoutMs, signal } : { timeoutMs });
      this.#acknowledged = position;
      if (samePosition(position, this.#pending)) {
        this.#pending = undefined;
      }
      return true;
    } catch (reason) {
      const error = SwitchboardError.from(reason);
      if (parseReason(error.reason) === Reason.SUBSCRIPTION_GENERATION_STALE) {
        // The subscription was moved, so positions of this generation no longer apply.
        if (this.#pending?.generation === position.generation) {
          this.#pending = undefined;
        }
        return false;
      }
      // The callers treat UNAVAILABLE as transient, so report a deadline or a reset with that code.
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
