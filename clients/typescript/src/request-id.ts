import {
  clone,
  create,
  type DescMessage,
  isMessage,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";

/** Returns a random UUID as `request_id`. (`crypto.randomUUID` is missing on web pages loaded over plain http.) */
export function newRequestId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/** Whether requests of this type have an idempotency key. In a oneof, `request_id` is a lookup key instead. */
export function hasRequestId(schema: DescMessage): boolean {
  const field = schema.field["requestId"];
  return field !== undefined && field.fieldKind === "scalar" && field.oneof === undefined;
}

/** Returns a copy of the request with a `request_id`. The caller's request stays unchanged. */
export function withRequestId<T extends DescMessage>(
  schema: T,
  init: MessageInitShape<T>,
  newId = newRequestId(),
): { message: MessageShape<T>; requestId: string } {
  const message = isMessage(init, schema) ? clone(schema, init) : create(schema, init);
  const filled = message as MessageShape<T> & { requestId: string };
  filled.requestId ||= newId;
  return { message, requestId: filled.requestId };
}
