import type { DescMessage, DescMethod, MessageShape } from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  type ContextValues,
  createContextKey,
  type StreamResponse,
  type Transport,
} from "@connectrpc/connect";
import { SwitchboardError } from "./error.js";
import type { Logger } from "./logger.js";
import { hasRequestId, withRequestId } from "./request-id.js";
import { UploadRequests } from "./upload.js";
import { backoffMs, linkedController, MAX_SERVER_DELAY_MS, wait } from "./wait.js";

/** A transport and its connection. */
export interface Connection {
  readonly transport: Transport;
  close(): void;
}

/** Options of the layer. */
export interface TransportOptions {
  readonly token: string | undefined;
  /** Maximum number of attempts per call. Undefined: only the deadline limits them. */
  readonly maxAttempts: number | undefined;
  readonly logger: Logger | undefined;
  /** Aborted when the client is closed. Undefined if closing the client must not end calls. */
  readonly closed: AbortSignal | undefined;
}

/** How long a call without a deadline is retried. */
export const DEFAULT_BUDGET_MS = 60_000;
const INITIAL_BACKOFF_MS = 100;
const MAX_BACKOFF_MS = 5_000;

/** Set for a write without a `request_id` that is nevertheless safe to repeat. */
export const REPEATABLE = createContextKey(false);

/** Wraps a transport with token, `request_id`, retries and error conversion. */
export function wrapTransport(inner: Transport, options: TransportOptions): Transport {
  return {
    async unary(method, signal, timeoutMs, header, input, contextValues) {
      const write = !isRead(method) && hasRequestId(method.input) ? withRequestId(method.input, input) : undefined;
      const retryable = isRead(method) || write !== undefined || isRepeatable(contextValues);
      const headers = withToken(header, options);
      const call = new Call(method, options, signal, timeoutMs, retryable, () => write?.requestId);
      try {
        return await call.attempt((remainingMs) =>
          inner.unary(method, call.signal, remainingMs, headers, write?.message ?? input, contextValues),
        );
      } finally {
        call.end();
      }
    },
    async stream(method, signal, timeoutMs, header, input, contextValues) {
      const upload = method.methodKind === "client_streaming" ? new UploadRequests(method.input, input) : undefined;
      const headers = withToken(header, options);
      const call = new Call(method, options, signal, timeoutMs, upload?.retryable ?? false, () => upload?.requestId);
      try {
        const response = await call.attempt(async (remainingMs) => {
          const messages = upload?.open() ?? input;
          const opened = await inner.stream(method, call.signal, remainingMs, headers, messages, contextValues);
          return upload ? await bufferResponse(opened) : opened;
        });
        return { ...response, message: call.endAfter(response.message) };
      } catch (reason) {
        call.end();
        // An error of the caller's own source is thrown unchanged.
        throw upload?.sourceError ? upload.sourceError.reason : reason;
      }
    },
  };
}

/** One call with all its attempts. */
class Call {
  readonly #method: DescMethod;
  readonly #options: TransportOptions;
  readonly #canceled: AbortSignal | undefined;
  readonly #controller: AbortController;
  readonly #deadline: number | undefined;
  /** When the retries end. */
  readonly #retryUntil: number;
  readonly #retryable: boolean;
  readonly #requestId: () => string | undefined;

  constructor(
    method: DescMethod,
    options: TransportOptions,
    signal: AbortSignal | undefined,
    timeoutMs: number | undefined,
    retryable: boolean,
    requestId: () => string | undefined,
  ) {
    this.#method = method;
    this.#options = options;
    this.#canceled = signal;
    this.#controller = linkedController(signal, options.closed);
    // Connect treats a timeout of zero or less as none.
    this.#deadline = timeoutMs !== undefined && timeoutMs > 0 ? performance.now() + timeoutMs : undefined;
    this.#retryUntil = this.#deadline ?? performance.now() + DEFAULT_BUDGET_MS;
    this.#retryable = retryable;
    this.#requestId = requestId;
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  end(): void {
    this.#controller.abort();
  }

  /** Makes the call, and retries it while that is safe, until its deadline. */
  async attempt<T>(once: (remainingMs: number | undefined) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      let error: SwitchboardError;
      try {
        this.signal.throwIfAborted();
        // The protocol has whole milliseconds.
        return await once(this.#deadline && Math.max(Math.ceil(this.#deadline - performance.now()), 1));
      } catch (reason) {
        error = this.#toError(reason);
      }
      const { maxAttempts, logger } = this.#options;
      if (error.code !== Code.Unavailable || !this.#retryable || attempt === maxAttempts) {
        throw error;
      }
      const serverDelayMs = error.retryDelayMs ?? 0;
      const delayMs = serverDelayMs + backoffMs(attempt, INITIAL_BACKOFF_MS, MAX_BACKOFF_MS);
      // If the deadline would pass during the wait, fail now with the actual cause.
      if (serverDelayMs > MAX_SERVER_DELAY_MS || performance.now() + delayMs >= this.#retryUntil) {
        throw error;
      }
      const method = `/${this.#method.parent.typeName}/${this.#method.name}`;
      logger?.info("switchboard call failed, retrying", { method, attempt, delayMs, error: error.message });
      await wait(delayMs, this.signal);
    }
  }

  /** Passes on the messages of a response, and ends the call with them. */
  async *endAfter<T>(messages: AsyncIterable<T>): AsyncGenerator<T, undefined> {
    try {
      yield* messages;
    } catch (reason) {
      throw this.#toError(reason);
    } finally {
      this.end();
    }
  }

  /**
   * Converts the error of an attempt. A connection or stream that broke without a status becomes UNAVAILABLE, as in
   * other gRPC libraries; Connect uses several codes.
   */
  #toError(reason: unknown): SwitchboardError {
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
    const code = !canceled && isBrokenConnection(status) ? Code.Unavailable : status.code;
    return SwitchboardError.ofStatus(status, code, this.#requestId());
  }
}

function isBrokenConnection(status: ConnectError): boolean {
  if (status.metadata.has("grpc-status")) {
    // The server sent this status.
    return false;
  }
  switch (status.code) {
    // The stream was reset or its connection closed, and not by this client.
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

/** Whether an error comes from the network. In Node.js it has a code; from `fetch` it is a TypeError. */
function isNetworkError(cause: unknown): boolean {
  return cause instanceof TypeError || (cause instanceof Error && "code" in cause && typeof cause.code === "string");
}

/** Whether a call changes nothing, so a retry is always safe. */
function isRead(method: DescMethod): boolean {
  return (
    method.parent.typeName.startsWith("switchboard.v1.") &&
    (/^(Get|List)[A-Z]/.test(method.name) || method.name === "VerifyWebhookSignature")
  );
}

function isRepeatable(contextValues: ContextValues | undefined): boolean {
  return contextValues?.get(REPEATABLE) ?? false;
}

function withToken(header: HeadersInit | undefined, { token }: TransportOptions): Headers {
  const headers = new Headers(header);
  if (token !== undefined) {
    headers.set("authorization", `Bearer ${token}`);
  }
  return headers;
}

/** Reads a response to its end, because an error at the end must fail the attempt. */
async function bufferResponse<I extends DescMessage, O extends DescMessage>(
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
