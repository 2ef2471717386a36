import { type Duration, durationMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "./gen/google/rpc/error_details_pb.js";
import type { Failure } from "./gen/switchboard/v1/failure_pb.js";
import { Provider } from "./gen/switchboard/v1/provider_pb.js";

/** Describes one invalid field of a request. */
export interface FieldViolation {
  /** The field's path in the request, as the contract names it: `template.body[1].text`. */
  readonly field: string;
  /** The kind of violation: `REQUIRED`, `MALFORMED`, `OUT_OF_RANGE`, `UNKNOWN_VALUE`, `UNSUPPORTED`, `MISMATCH`. */
  readonly reason: string;
  /** What is allowed, in English. */
  readonly description: string;
}

/**
 * Whether a stream or a retryable call was reset by the network, not refused by the server. An error of the server has
 * a reason. Callers check `UNAVAILABLE` separately, because it may have a reason.
 */
export function isReset({ code, reason }: SwitchboardError): boolean {
  return reason === "" && (code === Code.Internal || code === Code.Unknown || code === Code.Canceled);
}

/** The metadata key of {@link SwitchboardError.providerMessage}. */
const PROVIDER_MESSAGE = "provider_message";

/** The fields about the provider that are set, under the metadata keys of a failed call. */
function providerMetadata(failure: Failure): Record<string, string> {
  const { provider } = failure;
  const name = provider === Provider.UNSPECIFIED ? "" : (Provider[provider] ?? "").toLowerCase();
  const entries = {
    provider: failure.providerName || name,
    provider_code: failure.providerCode,
    provider_type: failure.providerType,
    provider_trace_id: failure.providerTraceId,
    [PROVIDER_MESSAGE]: failure.providerMessage,
  };
  return Object.fromEntries(Object.entries(entries).filter(([, value]) => value !== ""));
}

interface ErrorFields {
  readonly code: Code;
  readonly reason: string;
  readonly domain: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly fieldViolations: readonly FieldViolation[];
  readonly retryDelay: Duration | undefined;
  readonly text: string;
}

/**
 * The error of every failed call through this package.
 *
 * Decide on {@link reason}: compare `parseReason` of it with the constants of the enum `Reason`. `docs/errors.md` in
 * the Switchboard repository lists all reasons and what to do. The reason is empty if the status is not Switchboard's
 * own, for example after a deadline, a cancel or a broken connection. Then the outcome of a write is unknown.
 */
export class SwitchboardError extends Error {
  override readonly name = "SwitchboardError";
  /** The gRPC status code. */
  readonly code: Code;
  /** The reason in upper snake case, or empty. */
  readonly reason: string;
  /** Who defined the reason: `switchboard`, or empty. */
  readonly domain: string;
  /**
   * Details of the reason: `message_id`, `attempt`, `cause`, `provider_code`, `oldest_cursor`, … Without
   * `provider_message`, because that may quote the message: see {@link providerMessage}.
   */
  readonly metadata: Readonly<Record<string, string>>;
  /** Every invalid field, if fields of the request caused the failure. */
  readonly fieldViolations: readonly FieldViolation[];
  /** How long to wait before the next attempt, in milliseconds. Undefined if the server gave no delay. */
  readonly retryDelayMs: number | undefined;
  /** The `request_id` that the failed write carried: the caller's, or the generated one. */
  readonly requestId: string | undefined;

  /** Private: the properties of an error are often logged. */
  readonly #providerMessage: string;

  private constructor(fields: ErrorFields, cause?: ConnectError, requestId?: string) {
    const code = Code[fields.code]?.replace(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase() ?? `CODE_${fields.code}`;
    const text = [code, fields.reason].filter(Boolean).join(" ");
    super(fields.text ? `${text}: ${fields.text}` : text, cause && { cause });
    this.code = fields.code;
    this.reason = fields.reason;
    this.domain = fields.domain;
    const { [PROVIDER_MESSAGE]: providerMessage = "", ...metadata } = fields.metadata;
    this.metadata = metadata;
    this.#providerMessage = providerMessage;
    this.fieldViolations = fields.fieldViolations;
    this.retryDelayMs = fields.retryDelay && durationMs(fields.retryDelay);
    this.requestId = requestId;
  }

  /**
   * What the provider wrote about the failure, at most 256 characters. Empty if it wrote nothing.
   *
   * The text may quote the message: treat it as message content, and do not log it. The error's text does not contain
   * it.
   */
  get providerMessage(): string {
    return this.#providerMessage;
  }

  /**
   * Decodes any thrown value. The original status becomes the `cause`.
   *
   * Calls through this package already throw this type. Use the method for errors of other Connect clients.
   */
  static from(reason: unknown): SwitchboardError {
    return reason instanceof SwitchboardError ? reason : SwitchboardError.ofStatus(ConnectError.from(reason));
  }

  /** @internal */
  static ofStatus(status: ConnectError, code = status.code, requestId?: string): SwitchboardError {
    const info = status.findDetails(ErrorInfoSchema)[0];
    const fields = {
      code,
      reason: info?.reason ?? "",
      domain: info?.domain ?? "",
      metadata: { ...info?.metadata },
      fieldViolations: status
        .findDetails(BadRequestSchema)
        .flatMap((detail) => detail.fieldViolations)
        .map(({ field, reason, description }) => ({ field, reason, description })),
      retryDelay: status.findDetails(RetryInfoSchema)[0]?.retryDelay,
      text: status.rawMessage,
    };
    return new SwitchboardError(fields, status, requestId);
  }

  /**
   * Converts a `switchboard.v1.Failure`, which streams, events and messages contain in place of a status. The result has
   * the same properties as the error of a failed call.
   *
   * The result omits the provider's raw error (`rawJson`), because that may quote the message.
   */
  static fromFailure(failure: Failure): SwitchboardError {
    const fields = {
      // A failure is never OK, and gRPC defines no further codes.
      code: Code[failure.code] === undefined ? Code.Unknown : (failure.code as Code),
      reason: failure.reason,
      domain: "switchboard",
      metadata: { ...failure.metadata, ...providerMetadata(failure) },
      fieldViolations: failure.fieldViolations.map(({ field, reason, description }) => ({
        field,
        reason,
        description,
      })),
      retryDelay: failure.retryDelay,
      text: failure.message,
    };
    return new SwitchboardError(fields);
  }
}
