export { Code } from "@connectrpc/connect";
export type { CommonOptions, SwitchboardClient } from "./client.js";
export { type FieldViolation, SwitchboardError } from "./error.js";
export type {
  SubscribeOptions,
  SubscribeRequestWithGaps,
  SubscribeRequestWithoutGaps,
  Subscription,
} from "./subscription.js";
export type { FileSource } from "./upload.js";
