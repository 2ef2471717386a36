// The conformance table, clients/conformance. Its README.md describes the format.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { create, type DescMessage, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import type { SwitchboardError } from "@switchboard/client";
import { PACKAGE, REPOSITORY } from "./paths.js";

// The package does not export these schemas.
const {
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
}: typeof import("../../node_modules/@switchboard/client/dist/gen/google/rpc/error_details_pb.js") = await import(
  `${PACKAGE}dist/gen/google/rpc/error_details_pb.js`
);

export interface Case {
  readonly name: string;
  readonly why?: string;
}

export interface Status {
  readonly code: string;
  readonly message?: string;
  readonly reason?: string;
  readonly metadata?: Record<string, string>;
  readonly retry_delay_ms?: number;
  readonly field_violations?: readonly { field: string; reason: string; description: string }[];
}

/** Bounds of a number, or the number itself. */
export type Bounds = number | { readonly at_least: number; readonly at_most: number };

/** The cases of a file. Each has only these keys, and the name. */
export function cases<C extends Case>(file: string, ...keys: (keyof C & string)[]): C[] {
  const read: C[] = JSON.parse(readFileSync(join(REPOSITORY, "clients/conformance", file), "utf8"));
  assert.ok(read.length >= 5);
  return read.map((each) => only(each, "name", "why", ...keys));
}

/** Fails on keys that the suite does not know. */
export function only<T extends object>(value: T, ...keys: (keyof T & string)[]): T {
  const unknown = Object.keys(value).filter((key) => !keys.includes(key as keyof T & string));
  assert.deepEqual(unknown, [], "the suite does not know these keys");
  return value;
}

/** The status as an error that a server throws. */
export function statusError(status: Status): ConnectError {
  only(status, "code", "message", "reason", "metadata", "retry_delay_ms", "field_violations");
  const { message = "", reason, metadata = {}, retry_delay_ms, field_violations } = status;
  const error = new ConnectError(message, codeOf(status.code));
  const add = <D extends DescMessage>(schema: D, init: MessageInitShape<D>) =>
    error.details.push({ type: schema.typeName, value: toBinary(schema, create(schema, init)) });
  if (reason !== undefined) {
    add(ErrorInfoSchema, { reason, domain: "switchboard", metadata });
  }
  if (field_violations !== undefined) {
    add(BadRequestSchema, { fieldViolations: [...field_violations] });
  }
  if (retry_delay_ms !== undefined) {
    add(RetryInfoSchema, { retryDelay: duration(retry_delay_ms) });
  }
  return error;
}

/** gRPC's name of a code. Connect's enum has the names of the codes in camel case, and spells CANCELLED with one L. */
export function nameOf(code: Code): string {
  const name = (Code[code] ?? "").replace(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase();
  return name === "CANCELED" ? "CANCELLED" : name;
}

export function codeOf(name: string): Code {
  const code = Object.values(Code).find((value) => typeof value === "number" && nameOf(value) === name);
  assert.ok(typeof code === "number", `unknown code ${name}`);
  return code;
}

export function duration(ms: number): { seconds: bigint; nanos: number } {
  return { seconds: BigInt(Math.floor(ms / 1000)), nanos: (ms % 1000) * 1_000_000 };
}

/** The value of an enum for the name of its value in the proto file. */
export function enumValue(generated: Record<string, unknown>, prefix: string, name: string): number {
  const value = generated[name.replace(prefix, "")];
  assert.ok(typeof value === "number" && name.startsWith(prefix), `unknown value ${name}`);
  return value;
}

export function checkBounds(what: string, got: number, bounds: Bounds): void {
  const { at_least, at_most } =
    typeof bounds === "number" ? { at_least: bounds, at_most: bounds } : only(bounds, "at_least", "at_most");
  assert.ok(got >= at_least && got <= at_most, `${what} is ${got}, not ${at_least} to ${at_most}`);
}

export interface ExpectedError {
  readonly code: string | readonly string[];
  readonly reason: string;
}

export function checkError(error: SwitchboardError, expected: ExpectedError): void {
  only(expected, "code", "reason");
  assert.ok([expected.code].flat().includes(nameOf(error.code)), `${error}`);
  assert.equal(error.reason, expected.reason);
}
