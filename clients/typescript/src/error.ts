import { type Duration, durationMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "./gen/google/rpc/error_details_pb.js";
import type { Error as ErrorRecord } from "./gen/switchboard/v1/error_pb.js";

/** Says what is wrong with one field of a request. */
export interface FieldViolation {
  /** The field's path in the request, as the contract names it: `template.body[1].text`. */
  readonly field: string;
  /** What kind of fault it is: `REQUIRED`, `MALFORMED`, `OUT_OF_RANGE`, `UNKNOWN_VALUE`, `UNSUPPORTED`, `MISMATCH`. */
  readonly reason: string;
  /** What is allowed, in English. */
  readonly description: string;
}

/**
 * Whether a stream, or a call that may be repeated, broke and was not refused: the server gives a reason with whatever it
 * says itself. `UNAVAILABLE` is looked at elsewhere, for it may have one.
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
 * What a call through this package fails with.
 *
 * Decide on {@link reason}, which `docs/errors.md` lists with what to do. It is empty when the status is not
 * Switchboard's own: a deadline, a cancel, a connection that broke. Such a status proves nothing about a write.
 */
export class SwitchboardError extends Error {
  override readonly name = "SwitchboardError";
  /** The gRPC status code. */
  readonly code: Code;
  /** What happened, in upper snake case, or empty. */
  readonly reason: string;
  /** Who gave the reason: `switchboard`, or empty. */
  readonly domain: string;
  /** What goes with the reason: `message_id`, `attempt`, `cause`, `oldest_cursor`, … */
  readonly metadata: Readonly<Record<string, string>>;
  /** Every fault of the request, where its fields are to blame. */
  readonly fieldViolations: readonly FieldViolation[];
  /** How long to wait before the next call, in milliseconds, where waiting helps. */
  readonly retryDelayMs: number | undefined;
  /** The `request_id` that the failed write carried: the caller's, or the one that this package made up. */
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
   * Decodes what a call failed with. The status as it came is the `cause`.
   *
   * Calls through this package need no decoding; it is for what a Connect client of another making throws.
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
   * Makes the same of a `switchboard.v1.Error`, which streams, events and records carry where there is no status.
   *
   * What the provider sent (`rawJson`, which may quote the message) stays in the record and is not taken over.
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
