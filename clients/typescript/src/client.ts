import type { MessageInitShape } from "@bufbuild/protobuf";
import { type CallOptions, type Client, createClient, type Transport } from "@connectrpc/connect";
import {
  type EventStream,
  ReconnectingEventStream,
  type SubscribeOptions,
  type SubscribeRequestWithGaps,
  type SubscribeRequestWithoutGaps,
} from "./event-stream.js";
import { AccountService } from "./gen/switchboard/v1/account_service_pb.js";
import { ContactService } from "./gen/switchboard/v1/contact_service_pb.js";
import type { Event } from "./gen/switchboard/v1/event_pb.js";
import { EventService, type SubscribeGap, type SubscribeRequestSchema } from "./gen/switchboard/v1/event_service_pb.js";
import { FlowService } from "./gen/switchboard/v1/flow_service_pb.js";
import {
  type MediaHeaderSchema,
  MessageService,
  type SendMediaResponse,
} from "./gen/switchboard/v1/message_service_pb.js";
import {
  TemplateService,
  type UploadTemplateMediaHeaderSchema,
  type UploadTemplateMediaResponse,
} from "./gen/switchboard/v1/template_service_pb.js";
import { WebhookService } from "./gen/switchboard/v1/webhook_service_pb.js";
import { type Connection, wrapTransport } from "./transport.js";
import { type FileSource, Upload } from "./upload.js";

/** What a client is made with, wherever it runs. */
export interface CommonOptions {
  /** Sent with every call, as `authorization: Bearer …`. Refused where it would go in plaintext beyond loopback. */
  readonly token?: string;
  /**
   * How often a call is tried at most, where trying again is safe. 4 by default; 1 means never again.
   *
   * Tried again is what failed with `UNAVAILABLE`, and nothing else: reads, and writes that have a `request_id`.
   */
  readonly maxAttempts?: number;
}

/**
 * A client of one Switchboard server.
 *
 * Every RPC is there under its service's name, as Connect makes it. Besides what Connect does, each call
 * - carries the token,
 * - carries a fresh `requestId` where the request has that field and the caller left it empty (not in `sendMessages`),
 * - is tried again where that is safe, within its `timeoutMs`,
 * - fails with a {@link SwitchboardError}.
 */
export class SwitchboardClient {
  readonly accounts: Client<typeof AccountService>;
  readonly contacts: Client<typeof ContactService>;
  readonly events: Client<typeof EventService>;
  readonly flows: Client<typeof FlowService>;
  readonly messages: Client<typeof MessageService>;
  readonly templates: Client<typeof TemplateService>;
  readonly webhooks: Client<typeof WebhookService>;
  /** What the calls go through, for clients of other services: `createClient(SandboxService, switchboard.transport)`. */
  readonly transport: Transport;
  readonly #closed = new AbortController();
  readonly #connection: Connection;
  readonly #connect: (closed?: AbortSignal) => Connection;

  /** @internal Use `createSwitchboardClient`. */
  constructor(open: () => Connection, { token, maxAttempts = 4 }: CommonOptions) {
    if (!Number.isInteger(maxAttempts) || maxAttempts < 1) {
      throw new RangeError("maxAttempts must be a whole number, at least 1");
    }
    this.#connect = (closed) => {
      const { transport, close } = open();
      return { transport: wrapTransport(transport, { token, maxAttempts, closed }), close };
    };
    this.#connection = this.#connect(this.#closed.signal);
    this.transport = this.#connection.transport;
    this.accounts = createClient(AccountService, this.transport);
    this.contacts = createClient(ContactService, this.transport);
    this.events = createClient(EventService, this.transport);
    this.flows = createClient(FlowService, this.transport);
    this.messages = createClient(MessageService, this.transport);
    this.templates = createClient(TemplateService, this.transport);
    this.webhooks = createClient(WebhookService, this.transport);
  }

  /**
   * Sends a file. `messages.sendMedia`, with the file cut into messages.
   *
   * A stream that fails ends the call with the stream's own error, and nothing is sent.
   */
  async sendMedia(
    header: MessageInitShape<typeof MediaHeaderSchema>,
    file: FileSource,
    options?: CallOptions,
  ): Promise<SendMediaResponse> {
    return await this.messages.sendMedia(new Upload(header, file), options);
  }

  /** Uploads a file for a template's header. `templates.uploadTemplateMedia`, with the file cut into messages. */
  async uploadTemplateMedia(
    header: MessageInitShape<typeof UploadTemplateMediaHeaderSchema>,
    file: FileSource,
    options?: CallOptions,
  ): Promise<UploadTemplateMediaResponse> {
    return await this.templates.uploadTemplateMedia(new Upload(header, file), options);
  }

  /**
   * Subscribes to events, and stays subscribed: see {@link Subscription}. Nothing is opened before the loop begins; then it
   * is a connection of its own.
   *
   * With `expiredPolicy: ExpiredPolicy.SKIP_WITH_GAP`, gaps come between the events; their `$typeName` tells them apart.
   */
  subscribe(request?: SubscribeRequestWithoutGaps, options?: SubscribeOptions): EventStream<Event>;
  subscribe(request: SubscribeRequestWithGaps, options?: SubscribeOptions): EventStream<Event | SubscribeGap>;
  subscribe(
    request: MessageInitShape<typeof SubscribeRequestSchema> = {},
    options: SubscribeOptions = {},
  ): EventStream<Event | SubscribeGap> {
    // Its connections outlive a client that is closed by so much as it takes to say what is finished.
    return new ReconnectingEventStream(() => this.#connect(), this.#closed.signal, request, options);
  }

  /** Closes the connection and ends every subscription. What is under way fails with `CANCELED`. */
  close(): void {
    this.#closed.abort();
    this.#connection.close();
  }
}
