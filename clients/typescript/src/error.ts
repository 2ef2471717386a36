import { type Duration, durationMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "./gen/google/rpc/error_details_pb.js";
import type { Error as ErrorRecord } from "./gen/switchboard/v1/error_pb.js";

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
 * Decide on {@link reason}; `docs/errors.md` in the Switchboard repository lists all reasons and what to do. The reason
 * is empty if the status is not Switchboard's own, for example after a deadline, a cancel or a broken connection. Then
 * the outcome of a write is unknown.
 */
export class SwitchboardError extends Error {
  override readonly name = "SwitchboardError";
  /** The gRPC status code. */
  readonly code: Code;
  /** The reason in upper snake case, or empty. */
  readonly reason: string;
  /** Who defined the reason: `switchboard`, or empty. */
  readonly domain: string;
  /** Details of the reason: `message_id`, `attempt`, `cause`, `oldest_cursor`, … */
  readonly metadata: Readonly<Record<string, string>>;
  /** Every invalid field, if fields of the request caused the failure. */
  readonly fieldViolations: readonly FieldViolation[];
  /** How long to wait before the next attempt, in milliseconds. Undefined if the server gave no delay. */
  readonly retryDelayMs: number | undefined;
  /** The `request_id` that the failed write carried: the caller's, or the generated one. */
  readonly requestId: string | undefined;

  private constructor(fields: ErrorFields, cause?: ConnectError, requestId?: string) {
    const code = Code[fields.code]?.replace(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase() ?? `CODE_${fields.code}`;
    const text = [code, fields.reason].filter(Boolean).join(" ");
    super(fields.text ? `${text}: ${fields.text}` : text, cause && { cause });
    this.code = fields.code;
    this.reason = fields.reason;
    this.domain = fields.domain;
    this.metadata = fields.metadata;
    this.fieldViolations = fields.fieldViolations;
    this.retryDelayMs = fields.retryDelay && durationMs(fields.retryDelay);
    this.requestId = requestId;
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
   * Converts a `switchboard.v1.Error`, which streams, events and records contain in place of a status.
   *
   * The result omits the provider's raw response (`rawJson`), because that may quote the message.
   */
  static fromRecord(record: ErrorRecord): SwitchboardError {
    const fields = {
      code: record.code as Code,
      reason: record.reason,
      domain: "switchboard",
      metadata: { ...record.metadata },
      fieldViolations: record.fieldViolations.map(({ field, reason, description }) => ({ field, reason, description })),
      retryDelay: record.retryDelay,
      text: record.message,
    };
    return new SwitchboardError(fields);
  }
}
