// Calls every RPC on the real server.
import assert from "node:assert/strict";
import http2 from "node:http2";
import { syncBuiltinESMExports } from "node:module";
import { before, test } from "node:test";
import type { DescService } from "@bufbuild/protobuf";
import { Code, type SwitchboardClient } from "@switchboard/client";
import * as v1 from "@switchboard/client/v1";
import {
  MediaKind,
  MessageState,
  OnConflict,
  Provider,
  StartPosition,
  WatchEndReason,
  WebhookRegistrationTopic,
} from "@switchboard/client/v1";
import { take } from "./support/deferred.js";
import { clientOf, fileScope, startSandbox } from "./support/sandbox.js";

const CONNECTBY = "demo-connectby";
const CONNECTLY = "demo-connectly";
const CUSTOMER = "+15550100001";
const deadline = { timeoutMs: 30_000 };
const picture = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==",
  "base64",
);

/** The paths of the calls that returned OK, recorded on the HTTP/2 connections. */
const answered = new Set<string>();
const { connect } = http2;
http2.connect = ((...args: Parameters<typeof connect>) => {
  const session = connect(...args);
  const { request } = session;
  session.request = (headers, options) => {
    const stream = request.call(session, headers, options);
    stream.on("trailers", (trailers) => {
      if (trailers["grpc-status"] === "0") {
        answered.add(String(headers?.[":path"]));
      }
    });
    return stream;
  };
  return session;
}) as typeof connect;
syncBuiltinESMExports();

const scope = fileScope();
let client: SwitchboardClient;
before(async () => {
  const sandbox = await startSandbox(scope);
  client = clientOf(scope, sandbox.address);
});

test("AccountService calls succeed", async () => {
  const { accounts } = await client.accounts.listAccounts({}, deadline);
  assert.deepEqual(
    accounts.map(({ account, provider }) => [account, provider]),
    [
      [CONNECTBY, Provider.CONNECTBY],
      [CONNECTLY, Provider.CONNECTLY],
    ],
  );
  const { account } = await client.accounts.getAccount({ account: CONNECTBY }, deadline);
  assert.deepEqual(account, accounts[0]);
  assert.equal(account?.limits?.imageBytes, 5_242_880n);
});

test("MessageService calls succeed", async () => {
  const { messages } = client;
  const text = { account: CONNECTLY, to: CUSTOMER, content: { case: "text", value: { body: "Hello!" } } } as const;
  const sent = await messages.sendMessage({ ...text, requestId: "order-77" }, deadline);
  assert.equal(sent.message?.state, MessageState.ACCEPTED);
  assert.equal(sent.replayed, false);
  const again = await messages.sendMessage({ ...text, requestId: "order-77" }, deadline);
  assert.equal(again.message?.messageId, sent.message?.messageId);
  assert.equal(again.replayed, true);

  const fresh = await messages.sendMessage(text, deadline);
  assert.match(fresh.message?.requestId ?? "", /^[0-9a-f-]{36}$/);
  const template = await messages.sendMessage(
    {
      account: CONNECTLY,
      to: CUSTOMER,
      content: {
        case: "template",
        value: {
          name: "order_update",
          language: "en",
          body: [{ value: { case: "text", value: "Ada" } }, { value: { case: "text", value: "A-77" } }],
        },
      },
    },
    deadline,
  );
  assert.equal(template.message?.state, MessageState.ACCEPTED);
  const link = {
    kind: MediaKind.IMAGE,
    source: { case: "url", value: "https://files.example.org/a.jpg" },
  } as const;
  await messages.sendMessage({ account: CONNECTLY, to: CUSTOMER, content: { case: "media", value: link } }, deadline);

  const file = await client.sendMedia({ account: CONNECTBY, to: CUSTOMER, fileName: "a.png" }, picture, deadline);
  assert.equal(file.message?.state, MessageState.ACCEPTED);

  const answers = await take(
    messages.sendMessages(
      (async function* () {
        yield { tag: "good", request: text };
        yield { tag: "bad", request: { ...text, to: "nobody" } };
      })(),
      deadline,
    ),
    3,
  );
  const results = new Map(answers.map(({ tag, result }) => [tag, result]));
  assert.deepEqual([...results.keys()].sort(), ["bad", "good"]);
  const [good, bad] = [results.get("good"), results.get("bad")];
  assert.equal(good?.case === "response" && good.value.message?.state, MessageState.ACCEPTED);
  assert.equal(bad?.case === "failure" && bad.value.fieldViolations[0]?.field, "to");

  const found = await messages.getMessage(
    { account: CONNECTLY, key: { case: "requestId", value: "order-77" } },
    deadline,
  );
  assert.equal(found.message?.messageId, sent.message?.messageId);

  const listed = await messages.listMessages({ account: CONNECTLY }, deadline);
  assert.ok(listed.messages.some(({ messageId }) => messageId === sent.message?.messageId));

  const states: MessageState[] = [];
  for await (const { response } of messages.watchMessage(
    { account: CONNECTLY, key: { case: "messageId", value: sent.message?.messageId ?? "" } },
    deadline,
  )) {
    if (response.case === "message") {
      states.push(response.value.state);
    } else {
      assert.equal(response.value?.reason, WatchEndReason.TERMINAL);
    }
  }
  assert.equal(states.at(-1), MessageState.READ);
});

test("ConversationService calls succeed", async () => {
  const { conversation } = await client.conversations.getConversation(
    { account: CONNECTLY, customer: "+15550100055" },
    deadline,
  );
  assert.equal(conversation?.sessionOpen, false);
});

test("TemplateService calls succeed", async () => {
  const { templates, nextPageToken } = await client.templates.listTemplates({ account: CONNECTBY }, deadline);
  assert.deepEqual(
    templates.map(({ name }) => name),
    ["order_update", "summer_sale", "login_code"],
  );
  const next = await client.templates.listTemplates({ account: CONNECTBY, pageToken: nextPageToken }, deadline);
  assert.notDeepEqual(next.templates, templates);
  const [first] = templates;
  assert.ok(first);
  const { template } = await client.templates.getTemplate(
    { account: CONNECTBY, name: first.name, language: first.language },
    deadline,
  );
  assert.deepEqual(template, first);
  const { url, replayed } = await client.uploadTemplateMedia({ account: CONNECTBY }, new Blob([picture]), deadline);
  assert.match(url, /^http.*\.png$/);
  assert.equal(replayed, false);
});

test("ContactService calls succeed", async () => {
  const contact = { name: "Asha Rao", countryCode: "91", phoneNumber: "98123 45670" };
  const created = await client.contacts.createContact({ account: CONNECTBY, contact }, deadline);
  assert.equal(created.contact?.phoneNumber, "9812345670");
  const contactId = created.contact?.contactId ?? "";
  await client.contacts.updateContact(
    { account: CONNECTBY, contact: { contactId, name: "Asha R. Rao" }, updateMask: { paths: ["name"] } },
    deadline,
  );
  const names: string[] = [];
  let pageToken = "";
  do {
    const page = await client.contacts.listContacts({ account: CONNECTBY, pageToken }, deadline);
    names.push(...page.contacts.map(({ name }) => name));
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  assert.ok(names.includes("Asha R. Rao"));
  await client.contacts.deleteContact({ account: CONNECTBY, contactId }, deadline);
});

test("FlowService calls succeed", async () => {
  const { flowResponses } = await client.flows.listFlowResponses({ account: CONNECTBY }, deadline);
  assert.equal(flowResponses[0]?.answers["screen_0_Name_0"], "Asha");
  assert.ok((flowResponses[0]?.createTime?.seconds ?? 0n) > 1_700_000_000n);
});

test("WebhookRegistrationService calls succeed", async () => {
  const { webhookRegistrations } = client;
  const address = "https://hooks.example.com/reports";
  const report = { account: CONNECTLY, webhookRegistration: { topic: WebhookRegistrationTopic.REPORT, address } };
  const created = await webhookRegistrations.createWebhookRegistration(report, deadline);
  const replaced = await webhookRegistrations.createWebhookRegistration(
    { ...report, onConflict: OnConflict.REPLACE },
    deadline,
  );
  assert.equal(replaced.previous?.address, address);
  const webhookRegistrationId = created.webhookRegistration?.webhookRegistrationId ?? "";
  await webhookRegistrations.updateWebhookRegistration(
    {
      account: CONNECTLY,
      webhookRegistration: { webhookRegistrationId, address: "https://hooks.example.com/new" },
      updateMask: { paths: ["address"] },
    },
    deadline,
  );
  const listed = await webhookRegistrations.listWebhookRegistrations({ account: CONNECTLY }, deadline);
  assert.equal(
    listed.webhookRegistrations.find((each) => each.webhookRegistrationId === webhookRegistrationId)?.address,
    "https://hooks.example.com/new",
  );
  await webhookRegistrations.deleteWebhookRegistration({ account: CONNECTLY, webhookRegistrationId }, deadline);
  const verified = await webhookRegistrations.verifyWebhookSignature(
    { account: CONNECTLY, body: new TextEncoder().encode("{}"), signature: "AAAA" },
    deadline,
  );
  assert.equal(verified.valid, false);
  assert.equal(verified.failedCheck, v1.WebhookSignatureCheck.SIGNATURE_FORMAT);
});

test("EventService event calls succeed", async () => {
  const earliest = { case: "position", value: StartPosition.EARLIEST } as const;
  const filter = { types: ["message.accepted"] };
  const page = await client.events.listEvents({ anchor: earliest, filter, pageSize: 2 }, deadline);
  assert.equal(page.events.length, 2);
  const streamed: string[] = [];
  for await (const { response } of client.events.subscribe({ start: earliest, filter, maxEvents: 2n }, deadline)) {
    if (response.case === "event") {
      streamed.push(response.value.eventId);
    }
  }
  assert.deepEqual(
    streamed,
    page.events.map(({ eventId }) => eventId),
  );
  const subscribed = await take(
    client.subscribe({ start: { case: "afterCursor", value: page.nextCursor }, filter }),
    1,
  );
  assert.ok(!streamed.includes(subscribed[0]?.eventId ?? ""));
});

test("SubscriptionService calls succeed", async () => {
  const { events, subscriptions } = client;
  const subscriptionId = "every-rpc";
  const filter = { types: ["message.accepted"] };
  const earliest = { case: "position", value: StartPosition.EARLIEST } as const;
  const created = await subscriptions.createSubscription(
    { subscriptionId, subscription: { filter }, start: earliest },
    deadline,
  );
  assert.deepEqual(
    [created.subscription?.subscriptionId, created.subscription?.generation, created.subscription?.filter?.types],
    [subscriptionId, 1n, filter.types],
  );
  await assert.rejects(subscriptions.createSubscription({ subscriptionId }, deadline), {
    code: Code.AlreadyExists,
    reason: "SUBSCRIPTION_EXISTS",
  });
  const streamed = [];
  for await (const { response } of events.subscribe(
    { start: { case: "subscriptionId", value: subscriptionId }, maxEvents: 1n },
    deadline,
  )) {
    streamed.push(response);
  }
  const [started, event] = streamed;
  assert.ok(started?.case === "started" && event?.case === "event");
  const { generation } = started.value;
  const { cursor } = event.value;
  assert.equal((await subscriptions.acknowledge({ subscriptionId, cursor, generation }, deadline)).cursor, cursor);
  const found = await subscriptions.getSubscription({ subscriptionId }, deadline);
  assert.equal(found.subscription?.cursor, cursor);
  const listed = await subscriptions.listSubscriptions({}, deadline);
  assert.deepEqual(
    listed.subscriptions.map((each) => [each.subscriptionId, each.cursor]),
    [[subscriptionId, cursor]],
  );
  const updated = await subscriptions.updateSubscription(
    {
      subscription: { subscriptionId, filter: { types: ["message.*"] } },
      updateMask: { paths: ["filter"] },
    },
    deadline,
  );
  assert.deepEqual([updated.subscription?.generation, updated.subscription?.cursor], [2n, cursor]);
  const target = { case: "position", value: StartPosition.LATEST } as const;
  const moved = await subscriptions.seekSubscription({ subscriptionId, target }, deadline);
  assert.deepEqual([moved.subscription?.generation, moved.subscription?.lagEvents], [3n, 0n]);
  await subscriptions.deleteSubscription({ subscriptionId }, deadline);
  await assert.rejects(subscriptions.getSubscription({ subscriptionId }, deadline), {
    code: Code.NotFound,
    reason: "SUBSCRIPTION_NOT_FOUND",
  });
});

test("every RPC of the contract was called", () => {
  const services = Object.values<unknown>(v1).filter(
    (value): value is DescService =>
      typeof value === "object" && value !== null && "kind" in value && value.kind === "service",
  );
  assert.equal(services.length, 9);
  const rpcs = services.flatMap(({ typeName, methods }) => methods.map(({ name }) => `/${typeName}/${name}`));
  assert.deepEqual(
    rpcs.filter((rpc) => !answered.has(rpc)),
    [],
  );
});
