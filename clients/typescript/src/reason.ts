import { Reason } from "./gen/switchboard/v1/reason_pb.js";

/**
 * Returns the constant for the text of a reason: `SwitchboardError.reason`, or `Failure.reason`.
 *
 * Returns `Reason.UNSPECIFIED` for an empty text, and for a reason that is newer than this package. For these, decide
 * on the gRPC code.
 */
export function parseReason(text: string): Reason {
  // The enum object also maps numbers to names, so check the type of the value.
  const value: unknown = Object.hasOwn(Reason, text) ? Reason[text as keyof typeof Reason] : undefined;
  return typeof value === "number" ? value : Reason.UNSPECIFIED;
}
