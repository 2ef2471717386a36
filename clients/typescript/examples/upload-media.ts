// Sends a file, and uploads a picture for a template's header. The client retries uploads of bytes if that is safe. For
// a large file, pass a stream: `createReadStream(path)`.
import { createSwitchboardClient } from "@switchboard/client";

const switchboard = createSwitchboardClient(process.env["SWITCHBOARD_ADDRESS"] ?? "127.0.0.1:50051");

const list = new TextEncoder().encode("Lemons\nLimes\n");
const { message } = await switchboard.sendMedia(
  { account: "demo-connectby", to: "+15550100001", fileName: "list.txt" },
  list,
  { timeoutMs: 40_000 },
);
console.log(`sent: ${message?.messageId}`);

const blackPoint = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==",
  "base64",
);
const { url } = await switchboard.uploadTemplateMedia({ account: "demo-connectby" }, blackPoint, { timeoutMs: 40_000 });
console.log(`uploaded: ${url}`);

switchboard.close();
