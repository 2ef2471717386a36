export { Code } from "@connectrpc/connect";
export type { CommonOptions, SwitchboardClient } from "./client.js";
export { type FieldViolation, SwitchboardError } from "./error.js";
export type {
  EventStream,
  SubscribeOptions,
  SubscribeRequestWithGaps,
  SubscribeRequestWithoutGaps,
} from "./event-stream.js";
export type { Logger } from "./logger.js";
export { parseReason } from "./reason.js";
export type { FileSource } from "./upload.js";
