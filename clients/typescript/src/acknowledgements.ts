import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { isBroken, SwitchboardError } from "./error.js";
import { EventService } from "./gen/switchboard/v1/event_service_pb.js";
import type { Connection } from "./transport.js";
import { LONGEST_ASKED_MS } from "./wait.js";

/** How long what is finished may wait to be acknowledged, so that one call tells of many events. */
const LINGER_MS = 1_000;
/** How long to wait for the answer to an acknowledgement, and to the last one, which holds up whoever leaves the loop. */
const TIMEOUT_MS = 10_000;
const LAST_TIMEOUT_MS = 5_000;

/** A place in the journal, as a stream of the subscription in this generation gave it. */
export interface Place {
  readonly cursor: string;
  readonly generation: bigint;
}

/** Tells the server of a named subscription what the loop has finished, in the background. */
export class Acknowledgements {
  readonly #subscription: string;
  readonly #connect: () => Connection;
  /** That of the stream that stands. */
  #connection: Connection | undefined;
  #failed: (error: SwitchboardError) => void = () => undefined;
  #generation = 0n;
  /** What is finished and not yet acknowledged. */
  #finished: Place | undefined;
  #acknowledged: Place | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(subscription: string, connect: () => Connection) {
    this.#subscription = subscription;
    this.#connect = connect;
  }

  /** Where the stream that stands, or stood last, has this cursor. */
  place(cursor: string): Place {
    return { cursor, generation: this.#generation };
  }

  /** Acknowledges over a new connection what is finished, before a stream is opened on it. Answers with the failure. */
  async begin(connection: Connection, signal: AbortSignal): Promise<SwitchboardError | undefined> {
    this.#connection = connection;
    return await this.#flush(TIMEOUT_MS, signal);
  }

  /** A stream has started. What the background fails with, other than by the connection, goes to `failed`. */
  started(generation: bigint, failed: (error: SwitchboardError) => void): void {
    this.#generation = generation;
    this.#failed = failed;
  }

  /** The loop has finished everything up to here. */
  finished(cursor: string): void {
    const place = this.place(cursor);
    if (!same(place, this.#acknowledged)) {
      this.#finished = place;
      this.#later();
    }
  }

  /** Does not wait for more. */
  hurry(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#connection === undefined) {
      // Whoever opens the next one begins with this.
      return;
    }
    void this.#flush(TIMEOUT_MS).then((error) => {
      if (error !== undefined && error.code !== Code.Unavailable) {
        this.#failed(error);
      } else if (this.#finished !== undefined && this.#connection !== undefined) {
        this.#later(Math.min(error?.retryDelayMs ?? 0, LONGEST_ASKED_MS));
      }
    });
  }

  /** The subscription was changed: nothing of before counts any more. */
  drop(): void {
    this.#finished = undefined;
  }

  /** The connection is about to be closed. */
  pause(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#connection = undefined;
    this.#failed = () => undefined;
  }

  /** The loop has ended. */
  async end(): Promise<void> {
    this.pause();
    await this.#flush(LAST_TIMEOUT_MS);
  }

  /** Acknowledges a place at once. Answers whether it is on disk: not when the subscription was changed meanwhile. */
  async acknowledge(place: Place): Promise<boolean> {
    return await this.#send(place, TIMEOUT_MS);
  }

  #later(askedMs = 0): void {
    this.#timer ??= setTimeout(() => this.hurry(), Math.max(LINGER_MS, askedMs));
  }

  async #flush(timeoutMs: number, signal?: AbortSignal): Promise<SwitchboardError | undefined> {
    const place = this.#finished;
    if (place !== undefined) {
      try {
        await this.#send(place, timeoutMs, signal);
      } catch (error) {
        return SwitchboardError.from(error);
      }
    }
    return undefined;
  }

  async #send(place: Place, timeoutMs: number, signal?: AbortSignal): Promise<boolean> {
    // Without a stream, a connection for this call alone.
    const own = this.#connection === undefined ? this.#connect() : undefined;
    const { transport } = own ?? (this.#connection as Connection);
    try {
      const request = { subscription: this.#subscription, ...place };
      await createClient(EventService, transport).acknowledge(request, signal ? { timeoutMs, signal } : { timeoutMs });
      this.#acknowledged = place;
      if (same(place, this.#finished)) {
        this.#finished = undefined;
      }
      return true;
    } catch (reason) {
      const error = SwitchboardError.from(reason);
      if (error.reason === "SUBSCRIPTION_GENERATION_STALE") {
        // The subscription was moved. Nothing of before counts any more.
        if (this.#finished?.generation === place.generation) {
          this.#finished = undefined;
        }
        return false;
      }
      // What may pass is UNAVAILABLE to whoever hears of it.
      if (error.code === Code.DeadlineExceeded) {
        throw SwitchboardError.from(new ConnectError(`no acknowledgement within ${timeoutMs} ms`, Code.Unavailable));
      }
      throw isBroken(error) ? SwitchboardError.ofStatus(ConnectError.from(error.cause), Code.Unavailable) : error;
    } finally {
      own?.close();
    }
  }
}

function same(one: Place, other: Place | undefined): boolean {
  return one.cursor === other?.cursor && one.generation === other.generation;
}
