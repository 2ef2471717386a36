import type { DescMessage, DescMethod, MessageShape } from "@bufbuild/protobuf";
import { Code, ConnectError, type StreamResponse, type Transport } from "@connectrpc/connect";
import { SwitchboardError } from "./error.js";
import { takesRequestId, withRequestId } from "./request-id.js";
import { Outgoing } from "./upload.js";
import { backoffMs, LinkedSignal, LONGEST_ASKED_MS, wait } from "./wait.js";

/** A connection, and what goes through it. */
export interface Connection {
  readonly transport: Transport;
  close(): void;
}

/** What the layer needs to know. */
export interface LayerOptions {
  readonly token: string | undefined;
  /** How often a call is tried at most. */
  readonly maxAttempts: number;
  /** Aborted when the client is closed; undefined where that ends nothing. */
  readonly closed: AbortSignal | undefined;
}

const FIRST_BACKOFF_MS = 100;
const LONGEST_BACKOFF_MS = 5_000;

/** Puts the layer over a transport: token, `request_id`, retries, errors. */
export function layered(inner: Transport, options: LayerOptions): Transport {
  return {
    async unary(method, signal, timeoutMs, header, input, contextValues) {
      const write = !isRead(method) && takesRequestId(method.input) ? withRequestId(method.input, input) : undefined;
      const repeatable = isRead(method) || write !== undefined;
      const headers = authorized(header, options);
      const call = new Call(options, signal, timeoutMs, repeatable, () => write?.requestId);
      try {
        return await call.attempt((remainingMs) =>
          inner.unary(method, call.signal, remainingMs, headers, write?.message ?? input, contextValues),
        );
      } finally {
        call.end();
      }
    },
    async stream(method, signal, timeoutMs, header, input, contextValues) {
      const upload = method.methodKind === "client_streaming" ? new Outgoing(method.input, input) : undefined;
      const headers = authorized(header, options);
      const call = new Call(options, signal, timeoutMs, upload?.repeatable ?? false, () => upload?.requestId);
      try {
        const response = await call.attempt(async (remainingMs) => {
          const messages = upload?.open() ?? input;
          const opened = await inner.stream(method, call.signal, remainingMs, headers, messages, contextValues);
          return upload ? await collected(opened) : opened;
        });
        return { ...response, message: call.ending(response.message) };
      } catch (reason) {
        call.end();
        // What the caller's own source fails with is no status.
        throw upload?.broken ? upload.broken.reason : reason;
      }
    },
  };
}

/** One call, with all its attempts. */
class Call {
  readonly #options: LayerOptions;
  readonly #canceled: AbortSignal | undefined;
  readonly #linked: LinkedSignal;
  readonly #deadline: number | undefined;
  readonly #repeatable: boolean;
  readonly #requestId: () => string | undefined;

  constructor(
    options: LayerOptions,
    signal: AbortSignal | undefined,
    timeoutMs: number | undefined,
    repeatable: boolean,
    requestId: () => string | undefined,
  ) {
    this.#options = options;
    this.#canceled = signal;
    this.#linked = new LinkedSignal(signal, options.closed);
    // Connect takes a time-out of zero or less for none.
    this.#deadline = timeoutMs !== undefined && timeoutMs > 0 ? Date.now() + timeoutMs : undefined;
    this.#repeatable = repeatable;
    this.#requestId = requestId;
  }

  get signal(): AbortSignal {
    return this.#linked.signal;
  }

  end(): void {
    this.#linked.letGo();
  }

  /** Makes the call, and makes it again while that is safe and of use. */
  async attempt<T>(once: (remainingMs: number | undefined) => Promise<T>): Promise<T> {
    for (let attempts = 1; ; attempts++) {
      let error: SwitchboardError;
      try {
        this.signal.throwIfAborted();
        return await once(this.#deadline && Math.max(this.#deadline - Date.now(), 1));
      } catch (reason) {
        error = this.#failure(reason);
      }
      if (error.code !== Code.Unavailable || !this.#repeatable || attempts >= this.#options.maxAttempts) {
        throw error;
      }
      const askedMs = error.retryDelayMs ?? 0;
      const delayMs = askedMs + backoffMs(attempts, FIRST_BACKOFF_MS, LONGEST_BACKOFF_MS);
      if (askedMs > LONGEST_ASKED_MS) {
        throw error;
      }
      if (this.#deadline !== undefined && Date.now() + delayMs >= this.#deadline) {
        throw error;
      }
      await wait(delayMs, this.signal);
    }
  }

  /** The messages of an answer, and the end of the call with them. */
  async *ending<T>(messages: AsyncIterable<T>): AsyncGenerator<T, undefined> {
    try {
      yield* messages;
    } catch (reason) {
      throw this.#failure(reason);
    } finally {
      this.end();
    }
  }

  /**
   * What the call failed with. A connection or a stream that broke without a status is UNAVAILABLE, as in other gRPC
   * libraries; Connect has several codes for it.
   */
  #failure(reason: unknown): SwitchboardError {
    const { closed } = this.#options;
    if (closed?.aborted) {
      return SwitchboardError.ofStatus(
        new ConnectError("the client is closed", Code.Canceled),
        undefined,
        this.#requestId(),
      );
    }
    const canceled = this.#canceled?.aborted;
    const status = ConnectError.from(reason, canceled ? Code.Canceled : Code.Unknown);
    const code = !canceled && brokeOff(status) ? Code.Unavailable : status.code;
    return SwitchboardError.ofStatus(status, code, this.#requestId());
  }
}

function brokeOff(status: ConnectError): boolean {
  if (status.metadata.has("grpc-status")) {
    // The server has said it.
    return false;
  }
  switch (status.code) {
    // A stream that was reset, or whose connection closed. It was not us.
    case Code.Aborted:
    case Code.Canceled:
      return true;
    case Code.Internal:
    case Code.Unknown:
      return isNetworkError(status.cause) || /^http\/2 stream closed|missing (status|trailer)$/.test(status.rawMessage);
    default:
      return false;
  }
}

/** Whether an error comes from the network: of Node, where it has a code and no type, or of `fetch`, where it is a TypeError. */
function isNetworkError(cause: unknown): boolean {
  return cause instanceof TypeError || (cause instanceof Error && "code" in cause && typeof cause.code === "string");
}

/** Whether a call changes nothing, so that it can be repeated freely. */
function isRead(method: DescMethod): boolean {
  return (
    method.parent.typeName.startsWith("switchboard.v1.") &&
    (/^(Get|List)[A-Z]/.test(method.name) || method.name === "VerifyWebhook")
  );
}

function authorized(header: HeadersInit | undefined, { token }: LayerOptions): Headers {
  const headers = new Headers(header);
  if (token !== undefined) {
    headers.set("authorization", `Bearer ${token}`);
  }
  return headers;
}

/** Reads an answer to its end, so that what fails at its end fails the attempt. */
async function collected<I extends DescMessage, O extends DescMessage>(
  response: StreamResponse<I, O>,
): Promise<StreamResponse<I, O>> {
  const messages: MessageShape<O>[] = [];
  for await (const message of response.message) {
    messages.push(message);
  }
  return {
    ...response,
    message: (async function* () {
      yield* messages;
    })(),
  };
}
