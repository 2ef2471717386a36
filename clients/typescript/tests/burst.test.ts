// Bursts of calls by grpc-js, which writes each small message into a frame of its own.
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { create, type DescMethod, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { Client, type ClientDuplexStream, type ClientReadableStream, credentials, status } from "@grpc/grpc-js";
import { EventService, MessageService } from "@switchboard/client/v1";
import { startSandbox } from "./support/sandbox.js";

/** The path and the encoding of a method, as grpc-js needs them. */
function definition<M extends DescMethod>({ parent, name, input, output }: M) {
  return [
    `/${parent.typeName}/${name}`,
    (message: MessageInitShape<M["input"]>) => Buffer.from(toBinary(input, create(input, message))),
    (bytes: Buffer) => fromBinary<M["output"]>(output, bytes),
  ] as const;
}

/** Opens an event stream that must survive what other calls do to its connection. Returns whether it is still open. */
async function bystander(t: TestContext, client: Client): Promise<() => boolean> {
  let open = true;
  const stream: ClientReadableStream<unknown> = client.makeServerStreamRequest(
    ...definition(EventService.method.subscribe),
    {},
  );
  const started = new Promise<void>((resolve, reject) => {
    stream.once("data", () => resolve());
    stream.once("error", reject);
  });
  stream.on("data", () => undefined);
  for (const end of ["error", "end"]) {
    stream.on(end, () => {
      open = false;
    });
  }
  t.after(() => stream.cancel());
  await started;
  return () => open;
}

test("many tiny messages keep the connection", async (t) => {
  const count = 20_000;
  const { address } = await startSandbox(t, {
    env: { SWITCHBOARD__ACCOUNTS__DEMO_CONNECTLY__GATE__CALLS_PER_SECOND: "100000" },
  });
  const client = new Client(address, credentials.createInsecure());
  t.after(() => client.close());
  const isOpen = await bystander(t, client);
  const path = definition(MessageService.method.sendMessages);
  const stream: ClientDuplexStream<
    MessageInitShape<typeof MessageService.method.sendMessages.input>,
    ReturnType<(typeof path)[2]>
  > = client.makeBidiStreamRequest(...path);
  const request = {
    account: "demo-connectly",
    to: "+15550100001",
    content: { case: "text", value: { body: "hi" } },
  } as const;
  for (let sent = 0; sent < count; sent++) {
    // Without a wait for "drain", so that the messages leave in one burst.
    stream.write({ request });
  }
  stream.end();
  let accepted = 0;
  for await (const response of stream) {
    assert.notEqual(response.result.case, "failure", `after ${accepted} responses`);
    accepted++;
  }
  assert.equal(accepted, count);
  assert.ok(isOpen(), "the other stream of the connection ended");
});

test("bursts of cancelled calls keep the connection", async (t) => {
  const { address } = await startSandbox(t);
  const client = new Client(address, credentials.createInsecure());
  t.after(() => client.close());
  const isOpen = await bystander(t, client);
  for (let round = 0; round < 30; round++) {
    const streams = Array.from({ length: 100 }, () => {
      const stream = client.makeServerStreamRequest(...definition(EventService.method.subscribe), {});
      const ended = new Promise<number>((resolve) => {
        stream.on("error", ({ code }: { code?: number }) => resolve(code ?? status.UNKNOWN));
      });
      stream.on("data", () => undefined);
      return { stream, ended };
    });
    // The calls have left the client.
    await new Promise(setImmediate);
    for (const { stream } of streams) {
      stream.cancel();
    }
    for (const { ended } of streams) {
      assert.equal(await ended, status.CANCELLED);
    }
    // The server accepts streams in order, so it has seen the whole burst when this call returns.
    await new Promise<void>((resolve, reject) => {
      client.makeUnaryRequest(...definition(EventService.method.listEvents), {}, (error) =>
        error ? reject(error) : resolve(),
      );
    });
    assert.ok(isOpen(), "the other stream of the connection ended");
  }
});
