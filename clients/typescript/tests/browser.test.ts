// A page in a real browser, against the real server, over gRPC-Web.
import assert from "node:assert/strict";
import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { type TestContext, test } from "node:test";
import { bundledPage, show, site } from "./support/browser.js";
import { clientOf, sandboxOf, startSandbox } from "./support/sandbox.js";

const skip = process.env["SKIP_BROWSER"] === "1" && "SKIP_BROWSER is set";
/** A picture padded to the largest size that fits into one message. */
const picture = Buffer.alloc(4 * 1024 * 1024 - 16 * 1024);
Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==",
  "base64",
).copy(picture);
const limits = { skip, timeout: 110_000 };

/** Two sites; the server accepts calls only from the first. */
async function setUp(t: TestContext) {
  const script = await bundledPage();
  const named = await site(t, script, picture);
  const other = await site(t, script, picture);
  const { address } = await startSandbox(t, { webOrigins: ["https://switchboard.example.com", named.origin] });
  return { address, named, other };
}

test("a page sends, streams events, uploads, and reads errors", limits, async (t) => {
  const { address, named } = await setUp(t);
  const nextReport = await show(t, named, `server=${address}`);
  assert.deepEqual(await nextReport(), [
    "invalid",
    "InvalidArgument",
    "REQUEST_INVALID",
    "switchboard",
    ["to MALFORMED"],
  ]);
  assert.deepEqual(await nextReport(), [
    "not found",
    "NotFound",
    "ACCOUNT_NOT_FOUND",
    "switchboard",
    ["account UNKNOWN_VALUE"],
  ]);
  const [sent, messageId] = await nextReport();
  assert.equal(sent, "sent");
  assert.match(String(messageId), /^msg_\w{26}$/);
  assert.deepEqual(await nextReport(), ["accepted", messageId]);

  // The page's stream is open. A customer sends a message.
  const client = clientOf(t, address);
  const injected = { account: "demo-connectly", sender: "+15550100001", text: "Hello, page! \u{1f34b}" };
  await sandboxOf(client).injectMessage(injected);
  assert.deepEqual(await nextReport(), ["received", injected.text]);
  assert.deepEqual(await nextReport(), ["acknowledged", true]);

  assert.deepEqual(await nextReport(), ["file size", picture.length]);
  const [sentFile, fileId] = await nextReport();
  assert.equal(sentFile, "sent file");
  assert.match(String(fileId), /^msg_\w{26}$/);
  const [uploaded, url] = await nextReport();
  assert.equal(uploaded, "uploaded");
  assert.match(String(url), /^http.+\.png$/);
  assert.deepEqual(await nextReport(), ["done"]);
  const calls = await sandboxOf(client).listCalls({ account: "demo-connectly" });
  assert.equal(calls.calls.filter(({ body }) => body.includes("Hello from a page!")).length, 1);
});

test("a page of another origin is refused", limits, async (t) => {
  const { address, other } = await setUp(t);
  const nextReport = await show(t, other, `server=${address}`);
  assert.deepEqual(await nextReport(), ["invalid", "Unavailable", "", "", []]);
  assert.deepEqual(await nextReport(), ["not found", "Unavailable", "", "", []]);
  assert.deepEqual(await nextReport(), ["done"]);
  // The server itself also rejects the origin.
  const headers = { "content-type": "application/grpc-web+proto", "x-grpc-web": "1" };
  const call = async (origin: string) =>
    await statusOf(address, "/switchboard.v1.AccountService/ListAccounts", { ...headers, origin });
  assert.equal(await call(other.origin), 403);
  assert.equal(await call("https://switchboard.example.com"), 200);
  const { calls } = await sandboxOf(clientOf(t, address)).listCalls({ account: "demo-connectly" });
  assert.deepEqual(calls, []);
});

/** The HTTP status of a call with an empty message. (`fetch` sets `origin` itself.) */
async function statusOf(address: string, path: string, headers: Record<string, string>): Promise<number | undefined> {
  const call = request(`http://${address}${path}`, { method: "POST", headers });
  call.end(Buffer.alloc(5));
  const [response] = (await once(call, "response")) as [IncomingMessage];
  response.resume();
  await once(response, "end");
  return response.statusCode;
}
