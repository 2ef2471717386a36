import type { MessageInitShape } from "@bufbuild/protobuf";
import { type CallOptions, type Client, createClient, type Interceptor, type Transport } from "@connectrpc/connect";
import { ensureSubscription } from "./ensure-subscription.js";
import {
  type EventStream,
  ReconnectingEventStream,
  type SubscribeOptions,
  type SubscribeRequestWithGaps,
  type SubscribeRequestWithoutGaps,
} from "./event-stream.js";
import { AccountService } from "./gen/switchboard/v1/account_service_pb.js";
import { ContactService } from "./gen/switchboard/v1/contact_service_pb.js";
import { ConversationService } from "./gen/switchboard/v1/conversation_service_pb.js";
import type { Event } from "./gen/switchboard/v1/event_pb.js";
import { EventService, type SubscribeGap, type SubscribeRequestSchema } from "./gen/switchboard/v1/event_service_pb.js";
import { FlowService } from "./gen/switchboard/v1/flow_service_pb.js";
import {
  type MediaHeaderSchema,
  MessageService,
  type SendMediaResponse,
} from "./gen/switchboard/v1/message_service_pb.js";
import {
  type CreateSubscriptionRequestSchema,
  type Subscription,
  SubscriptionService,
} from "./gen/switchboard/v1/subscription_service_pb.js";
import {
  TemplateService,
  type UploadTemplateMediaHeaderSchema,
  type UploadTemplateMediaResponse,
} from "./gen/switchboard/v1/template_service_pb.js";
import { WebhookRegistrationService } from "./gen/switchboard/v1/webhook_registration_service_pb.js";
import type { Logger } from "./logger.js";
import { type Connection, wrapTransport } from "./transport.js";
import { type FileSource, Upload } from "./upload.js";

/** Options of a client on every platform. */
export interface CommonOptions {
  /**
   * The token for every call, sent as `authorization: Bearer …`. Rejected if it would travel in plaintext beyond
   * loopback.
   */
  readonly token?: string;
  /**
   * Maximum number of attempts per call. By default, only the call's deadline limits them; 1 disables retries.
   *
   * The client retries only calls that fail with `UNAVAILABLE`: reads, and writes that have a `request_id`. It retries
   * them until `timeoutMs`, or for 60 seconds without one.
   */
  readonly maxAttempts?: number;
  /** Interceptors of Connect, for traces or further headers. They see every attempt of a call. */
  readonly interceptors?: Interceptor[];
  /**
   * Replaces the transport that the client makes, for example by `createRouterTransport` in tests. Only the check of the
   * token then uses the address. The transport brings its own interceptors and TLS options.
   */
  readonly transport?: Transport;
  /** Receives retries and reconnects: `console`, for example. By default, the client logs nothing. */
  readonly logger?: Logger;
}

/**
 * A client of one Switchboard server.
 *
 * Each service of the contract is a property with a Connect client. In addition to what Connect does, each call
 * - carries the token,
 * - carries a new `requestId` if the request has that field and it is empty (not in `sendMessages`),
 * - is retried if that is safe, until its `timeoutMs`,
 * - fails with a {@link SwitchboardError}.
 */
export class SwitchboardClient {
  readonly accounts: Client<typeof AccountService>;
  readonly contacts: Client<typeof ContactService>;
  readonly conversations: Client<typeof ConversationService>;
  readonly events: Client<typeof EventService>;
  readonly flows: Client<typeof FlowService>;
  readonly messages: Client<typeof MessageService>;
  readonly subscriptions: Client<typeof SubscriptionService>;
  readonly templates: Client<typeof TemplateService>;
  readonly webhookRegistrations: Client<typeof WebhookRegistrationService>;
  /**
   * The transport of all calls. Use it for clients of other services: `createClient(SandboxService,
   * switchboard.transport)`.
   */
  readonly transport: Transport;
  readonly #closed = new AbortController();
  readonly #logger: Logger | undefined;
  readonly #connection: Connection;
  readonly #connect: (closed?: AbortSignal) => Connection;

  /** @internal Use `createSwitchboardClient`. */
  constructor(open: () => Connection, { token, maxAttempts, logger, interceptors, transport }: CommonOptions) {
    if (transport !== undefined && interceptors !== undefined) {
      throw new TypeError("interceptors cannot be combined with a transport: give them to the transport");
    }
    if (maxAttempts !== undefined && (!Number.isInteger(maxAttempts) || maxAttempts < 1)) {
      throw new RangeError("maxAttempts must be an integer of at least 1");
    }
    this.#connect = (closed) => {
      // The signal of a closed client ends its calls, also over a transport that stays open.
      const connection = transport ? { transport, close: () => undefined } : open();
      return { ...connection, transport: wrapTransport(connection.transport, { token, maxAttempts, logger, closed }) };
    };
    this.#logger = logger;
    this.#connection = this.#connect(this.#closed.signal);
    this.transport = this.#connection.transport;
    this.accounts = createClient(AccountService, this.transport);
    this.contacts = createClient(ContactService, this.transport);
    this.conversations = createClient(ConversationService, this.transport);
    this.events = createClient(EventService, this.transport);
    this.flows = createClient(FlowService, this.transport);
    this.messages = createClient(MessageService, this.transport);
    this.subscriptions = createClient(SubscriptionService, this.transport);
    this.templates = createClient(TemplateService, this.transport);
    this.webhookRegistrations = createClient(WebhookRegistrationService, this.transport);
  }

  /**
   * Sends a file: `messages.sendMedia`, with the file split into messages.
   *
   * If reading the file fails, the call throws that error, and nothing is sent.
   */
  async sendMedia(
    header: MessageInitShape<typeof MediaHeaderSchema>,
    file: FileSource,
    options?: CallOptions,
  ): Promise<SendMediaResponse> {
    return await this.messages.sendMedia(new Upload(header, file), options);
  }

  /** Uploads a file for a template's header: `templates.uploadTemplateMedia`, with the file split into messages. */
  async uploadTemplateMedia(
    header: MessageInitShape<typeof UploadTemplateMediaHeaderSchema>,
    file: FileSource,
    options?: CallOptions,
  ): Promise<UploadTemplateMediaResponse> {
    return await this.templates.uploadTemplateMedia(new Upload(header, file), options);
  }

  /**
   * Makes the server store the named subscription of the request, and returns it. Call this when the program starts.
   *
   * If no subscription of this id exists, it creates one at the request's start position. If one exists with another
   * filter or other labels, it changes these. Without a filter, the subscription receives all events.
   *
   * All steps together end at `timeoutMs`, or after 60 seconds without one. Each is retried after `UNAVAILABLE`.
   */
  async ensureSubscription(
    request: MessageInitShape<typeof CreateSubscriptionRequestSchema>,
    options?: CallOptions,
  ): Promise<Subscription> {
    return await ensureSubscription(this.subscriptions, request, options);
  }

  /**
   * Returns a stream of events that reconnects: see {@link EventStream}. It opens its own connection when the loop
   * begins.
   *
   * With `expiredPolicy: ExpiredPolicy.SKIP_WITH_GAP`, the loop also yields gaps between events. Their `$typeName`
   * distinguishes them.
   */
  subscribe(request?: SubscribeRequestWithoutGaps, options?: SubscribeOptions): EventStream<Event>;
  subscribe(request: SubscribeRequestWithGaps, options?: SubscribeOptions): EventStream<Event | SubscribeGap>;
  subscribe(
    request: MessageInitShape<typeof SubscribeRequestSchema> = {},
    options: SubscribeOptions = {},
  ): EventStream<Event | SubscribeGap> {
    // These connections outlive `close()` long enough to send the last acknowledgement.
    return new ReconnectingEventStream(() => this.#connect(), this.#closed.signal, request, options, this.#logger);
  }

  /**
   * Closes the connection and ends every event stream, like {@link EventStream.close}. Calls in progress fail with
   * `CANCELED`.
   */
  close(): void {
    this.#closed.abort();
    this.#connection.close();
  }
}
