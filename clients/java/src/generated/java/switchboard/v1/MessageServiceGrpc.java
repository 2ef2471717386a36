package switchboard.v1;

import static io.grpc.MethodDescriptor.generateFullMethodName;

/**
 * <pre>
 * Sends messages.
 * </pre>
 */
@io.grpc.stub.annotations.GrpcGenerated
public final class MessageServiceGrpc {

  private MessageServiceGrpc() {}

  public static final java.lang.String SERVICE_NAME = "switchboard.v1.MessageService";

  // Static method descriptors that strictly reflect the proto.
  private static volatile io.grpc.MethodDescriptor<switchboard.v1.SendMessageRequest,
      switchboard.v1.SendMessageResponse> getSendMessageMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "SendMessage",
      requestType = switchboard.v1.SendMessageRequest.class,
      responseType = switchboard.v1.SendMessageResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<switchboard.v1.SendMessageRequest,
      switchboard.v1.SendMessageResponse> getSendMessageMethod() {
    io.grpc.MethodDescriptor<switchboard.v1.SendMessageRequest, switchboard.v1.SendMessageResponse> getSendMessageMethod;
    if ((getSendMessageMethod = MessageServiceGrpc.getSendMessageMethod) == null) {
      synchronized (MessageServiceGrpc.class) {
        if ((getSendMessageMethod = MessageServiceGrpc.getSendMessageMethod) == null) {
          MessageServiceGrpc.getSendMessageMethod = getSendMessageMethod =
              io.grpc.MethodDescriptor.<switchboard.v1.SendMessageRequest, switchboard.v1.SendMessageResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "SendMessage"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.SendMessageRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.SendMessageResponse.getDefaultInstance()))
              .setSchemaDescriptor(new MessageServiceMethodDescriptorSupplier("SendMessage"))
              .build();
        }
      }
    }
    return getSendMessageMethod;
  }

  private static volatile io.grpc.MethodDescriptor<switchboard.v1.SendMediaRequest,
      switchboard.v1.SendMediaResponse> getSendMediaMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "SendMedia",
      requestType = switchboard.v1.SendMediaRequest.class,
      responseType = switchboard.v1.SendMediaResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.CLIENT_STREAMING)
  public static io.grpc.MethodDescriptor<switchboard.v1.SendMediaRequest,
      switchboard.v1.SendMediaResponse> getSendMediaMethod() {
    io.grpc.MethodDescriptor<switchboard.v1.SendMediaRequest, switchboard.v1.SendMediaResponse> getSendMediaMethod;
    if ((getSendMediaMethod = MessageServiceGrpc.getSendMediaMethod) == null) {
      synchronized (MessageServiceGrpc.class) {
        if ((getSendMediaMethod = MessageServiceGrpc.getSendMediaMethod) == null) {
          MessageServiceGrpc.getSendMediaMethod = getSendMediaMethod =
              io.grpc.MethodDescriptor.<switchboard.v1.SendMediaRequest, switchboard.v1.SendMediaResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.CLIENT_STREAMING)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "SendMedia"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.SendMediaRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.SendMediaResponse.getDefaultInstance()))
              .setSchemaDescriptor(new MessageServiceMethodDescriptorSupplier("SendMedia"))
              .build();
        }
      }
    }
    return getSendMediaMethod;
  }

  private static volatile io.grpc.MethodDescriptor<switchboard.v1.SendMessagesRequest,
      switchboard.v1.SendMessagesResponse> getSendMessagesMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "SendMessages",
      requestType = switchboard.v1.SendMessagesRequest.class,
      responseType = switchboard.v1.SendMessagesResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.BIDI_STREAMING)
  public static io.grpc.MethodDescriptor<switchboard.v1.SendMessagesRequest,
      switchboard.v1.SendMessagesResponse> getSendMessagesMethod() {
    io.grpc.MethodDescriptor<switchboard.v1.SendMessagesRequest, switchboard.v1.SendMessagesResponse> getSendMessagesMethod;
    if ((getSendMessagesMethod = MessageServiceGrpc.getSendMessagesMethod) == null) {
      synchronized (MessageServiceGrpc.class) {
        if ((getSendMessagesMethod = MessageServiceGrpc.getSendMessagesMethod) == null) {
          MessageServiceGrpc.getSendMessagesMethod = getSendMessagesMethod =
              io.grpc.MethodDescriptor.<switchboard.v1.SendMessagesRequest, switchboard.v1.SendMessagesResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.BIDI_STREAMING)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "SendMessages"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.SendMessagesRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.SendMessagesResponse.getDefaultInstance()))
              .setSchemaDescriptor(new MessageServiceMethodDescriptorSupplier("SendMessages"))
              .build();
        }
      }
    }
    return getSendMessagesMethod;
  }

  private static volatile io.grpc.MethodDescriptor<switchboard.v1.GetMessageRequest,
      switchboard.v1.GetMessageResponse> getGetMessageMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "GetMessage",
      requestType = switchboard.v1.GetMessageRequest.class,
      responseType = switchboard.v1.GetMessageResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<switchboard.v1.GetMessageRequest,
      switchboard.v1.GetMessageResponse> getGetMessageMethod() {
    io.grpc.MethodDescriptor<switchboard.v1.GetMessageRequest, switchboard.v1.GetMessageResponse> getGetMessageMethod;
    if ((getGetMessageMethod = MessageServiceGrpc.getGetMessageMethod) == null) {
      synchronized (MessageServiceGrpc.class) {
        if ((getGetMessageMethod = MessageServiceGrpc.getGetMessageMethod) == null) {
          MessageServiceGrpc.getGetMessageMethod = getGetMessageMethod =
              io.grpc.MethodDescriptor.<switchboard.v1.GetMessageRequest, switchboard.v1.GetMessageResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "GetMessage"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.GetMessageRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.GetMessageResponse.getDefaultInstance()))
              .setSchemaDescriptor(new MessageServiceMethodDescriptorSupplier("GetMessage"))
              .build();
        }
      }
    }
    return getGetMessageMethod;
  }

  private static volatile io.grpc.MethodDescriptor<switchboard.v1.WatchMessageRequest,
      switchboard.v1.WatchMessageResponse> getWatchMessageMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "WatchMessage",
      requestType = switchboard.v1.WatchMessageRequest.class,
      responseType = switchboard.v1.WatchMessageResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
  public static io.grpc.MethodDescriptor<switchboard.v1.WatchMessageRequest,
      switchboard.v1.WatchMessageResponse> getWatchMessageMethod() {
    io.grpc.MethodDescriptor<switchboard.v1.WatchMessageRequest, switchboard.v1.WatchMessageResponse> getWatchMessageMethod;
    if ((getWatchMessageMethod = MessageServiceGrpc.getWatchMessageMethod) == null) {
      synchronized (MessageServiceGrpc.class) {
        if ((getWatchMessageMethod = MessageServiceGrpc.getWatchMessageMethod) == null) {
          MessageServiceGrpc.getWatchMessageMethod = getWatchMessageMethod =
              io.grpc.MethodDescriptor.<switchboard.v1.WatchMessageRequest, switchboard.v1.WatchMessageResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "WatchMessage"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.WatchMessageRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.WatchMessageResponse.getDefaultInstance()))
              .setSchemaDescriptor(new MessageServiceMethodDescriptorSupplier("WatchMessage"))
              .build();
        }
      }
    }
    return getWatchMessageMethod;
  }

  private static volatile io.grpc.MethodDescriptor<switchboard.v1.GetConversationRequest,
      switchboard.v1.GetConversationResponse> getGetConversationMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "GetConversation",
      requestType = switchboard.v1.GetConversationRequest.class,
      responseType = switchboard.v1.GetConversationResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<switchboard.v1.GetConversationRequest,
      switchboard.v1.GetConversationResponse> getGetConversationMethod() {
    io.grpc.MethodDescriptor<switchboard.v1.GetConversationRequest, switchboard.v1.GetConversationResponse> getGetConversationMethod;
    if ((getGetConversationMethod = MessageServiceGrpc.getGetConversationMethod) == null) {
      synchronized (MessageServiceGrpc.class) {
        if ((getGetConversationMethod = MessageServiceGrpc.getGetConversationMethod) == null) {
          MessageServiceGrpc.getGetConversationMethod = getGetConversationMethod =
              io.grpc.MethodDescriptor.<switchboard.v1.GetConversationRequest, switchboard.v1.GetConversationResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "GetConversation"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.GetConversationRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.GetConversationResponse.getDefaultInstance()))
              .setSchemaDescriptor(new MessageServiceMethodDescriptorSupplier("GetConversation"))
              .build();
        }
      }
    }
    return getGetConversationMethod;
  }

  /**
   * Creates a new async stub that supports all call types for the service
   */
  public static MessageServiceStub newStub(io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<MessageServiceStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<MessageServiceStub>() {
        @java.lang.Override
        public MessageServiceStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new MessageServiceStub(channel, callOptions);
        }
      };
    return MessageServiceStub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports all types of calls on the service
   */
  public static MessageServiceBlockingV2Stub newBlockingV2Stub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<MessageServiceBlockingV2Stub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<MessageServiceBlockingV2Stub>() {
        @java.lang.Override
        public MessageServiceBlockingV2Stub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new MessageServiceBlockingV2Stub(channel, callOptions);
        }
      };
    return MessageServiceBlockingV2Stub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports unary and streaming output calls on the service
   */
  public static MessageServiceBlockingStub newBlockingStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<MessageServiceBlockingStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<MessageServiceBlockingStub>() {
        @java.lang.Override
        public MessageServiceBlockingStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new MessageServiceBlockingStub(channel, callOptions);
        }
      };
    return MessageServiceBlockingStub.newStub(factory, channel);
  }

  /**
   * Creates a new ListenableFuture-style stub that supports unary calls on the service
   */
  public static MessageServiceFutureStub newFutureStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<MessageServiceFutureStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<MessageServiceFutureStub>() {
        @java.lang.Override
        public MessageServiceFutureStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new MessageServiceFutureStub(channel, callOptions);
        }
      };
    return MessageServiceFutureStub.newStub(factory, channel);
  }

  /**
   * <pre>
   * Sends messages.
   * </pre>
   */
  public interface AsyncService {

    /**
     * <pre>
     * Sends one message and answers when the provider has answered.
     * The answer is OK only when the provider has taken the message (`MESSAGE_STATE_ACCEPTED`). That is not yet a
     * delivery: what becomes of it arrives as `message.status` events where the provider reports.
     * Failures of the request: INVALID_ARGUMENT `REQUEST_INVALID` with every fault (of very many, the first 32) and its
     * field's path; NOT_FOUND `ACCOUNT_NOT_FOUND`; UNIMPLEMENTED `PROVIDER_UNSUPPORTED` for what the account's provider
     * cannot do. Nothing was sent.
     * Failures of the sending: UNAVAILABLE only when the message has provably not reached the provider, so it may be
     * sent again at once; RESOURCE_EXHAUSTED when the account's rate or the provider held it back for longer than the
     * caller waits. FAILED_PRECONDITION `SEND_OUTCOME_UNKNOWN`, with `message_id`, `attempt` and `cause`, when nobody can
     * tell whether the provider took it: see `request_id` and `resend_after_attempt`. Any other code means that nothing was
     * sent, mostly because the provider said no; the reason says why (`SESSION_WINDOW_CLOSED`, `RECIPIENT_NOT_REACHABLE`,
     * …, all in `docs/errors.md`).
     * Switchboard tries again by itself only what has provably not reached the provider and what the provider throttled,
     * for as long as the caller's deadline allows (30 seconds without one, `accounts.gate.patience`). A deadline or a
     * cancel ends the wait. What has not been handed to the provider then is not sent; what has been runs to its end, and
     * its outcome is recorded. A broken connection to Switchboard proves nothing about the message: only `request_id`
     * makes a repetition safe.
     * </pre>
     */
    default void sendMessage(switchboard.v1.SendMessageRequest request,
        io.grpc.stub.StreamObserver<switchboard.v1.SendMessageResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getSendMessageMethod(), responseObserver);
    }

    /**
     * <pre>
     * Sends a file: an image, a video or a document. ConnectBy; at Connectly send a `MediaLink`.
     * The first message carries the header, and may carry the whole file. The file is taken in and checked before anything
     * goes to the provider: its kind, told from its first bytes, and its size (`Limits`). A stream that breaks off before
     * the caller has closed it sends nothing.
     * Images are JPEG and PNG, videos MP4 and 3GPP, documents PDF, Office documents and text in UTF-8. What is wrong with
     * the file fails with INVALID_ARGUMENT and the path `chunk`, as soon as it is known.
     * Answers and fails as `SendMessage` does. Besides, nothing was sent and the file may be sent again after ABORTED
     * `UPLOAD_STALLED` (no message for a minute, or no end after ten) and RESOURCE_EXHAUSTED `UPLOADS_EXHAUSTED` (too many
     * files are being taken in).
     * </pre>
     */
    default io.grpc.stub.StreamObserver<switchboard.v1.SendMediaRequest> sendMedia(
        io.grpc.stub.StreamObserver<switchboard.v1.SendMediaResponse> responseObserver) {
      return io.grpc.stub.ServerCalls.asyncUnimplementedStreamingCall(getSendMediaMethod(), responseObserver);
    }

    /**
     * <pre>
     * Sends many messages over one stream, each as `SendMessage` does, and answers each when its outcome is known: out of
     * order, by its `tag`. What is wrong with one request is told in its answer and does not end the stream.
     * At most 256 messages of a stream are under way at once; then no more are read until one ends, so that a caller who
     * is faster than the provider is slowed down and nothing piles up. When the caller closes its side, everything under
     * way is answered and the stream ends with OK. A deadline is that of the whole stream; give none to a stream that
     * stays open.
     * When the stream breaks, what was answered is certain and what was not is open: send those again with the same
     * `request_id` on a new stream.
     * </pre>
     */
    default io.grpc.stub.StreamObserver<switchboard.v1.SendMessagesRequest> sendMessages(
        io.grpc.stub.StreamObserver<switchboard.v1.SendMessagesResponse> responseObserver) {
      return io.grpc.stub.ServerCalls.asyncUnimplementedStreamingCall(getSendMessagesMethod(), responseObserver);
    }

    /**
     * <pre>
     * Tells how a message stands. Messages are known for 30 days (`sends.retention`) after they were sent.
     * Fails with NOT_FOUND `MESSAGE_NOT_FOUND` for one that is not known: never sent from here, too old, or refused or not
     * sent at its first attempt, which leaves no record.
     * </pre>
     */
    default void getMessage(switchboard.v1.GetMessageRequest request,
        io.grpc.stub.StreamObserver<switchboard.v1.GetMessageResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getGetMessageMethod(), responseObserver);
    }

    /**
     * <pre>
     * Tells how a message stands, at once and then whenever that changes; it only moves forward. Steps may be left out
     * when they follow fast.
     * The stream ends with `ended` and OK when nothing more can come: see `WatchEndReason`. It ends with UNAVAILABLE when
     * the server stops. Fails like `GetMessage` for a message that is not known.
     * </pre>
     */
    default void watchMessage(switchboard.v1.WatchMessageRequest request,
        io.grpc.stub.StreamObserver<switchboard.v1.WatchMessageResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getWatchMessageMethod(), responseObserver);
    }

    /**
     * <pre>
     * Tells when a customer last wrote, and until when anything but a template may be sent.
     * It knows what webhooks have told, for 30 days (`sends.retention`): a customer it has never heard of may have written
     * before.
     * </pre>
     */
    default void getConversation(switchboard.v1.GetConversationRequest request,
        io.grpc.stub.StreamObserver<switchboard.v1.GetConversationResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getGetConversationMethod(), responseObserver);
    }
  }

  /**
   * Base class for the server implementation of the service MessageService.
   * <pre>
   * Sends messages.
   * </pre>
   */
  public static abstract class MessageServiceImplBase
      implements io.grpc.BindableService, AsyncService {

    @java.lang.Override public final io.grpc.ServerServiceDefinition bindService() {
      return MessageServiceGrpc.bindService(this);
    }
  }

  /**
   * A stub to allow clients to do asynchronous rpc calls to service MessageService.
   * <pre>
   * Sends messages.
   * </pre>
   */
  public static final class MessageServiceStub
      extends io.grpc.stub.AbstractAsyncStub<MessageServiceStub> {
    private MessageServiceStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected MessageServiceStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new MessageServiceStub(channel, callOptions);
    }

    /**
     * <pre>
     * Sends one message and answers when the provider has answered.
     * The answer is OK only when the provider has taken the message (`MESSAGE_STATE_ACCEPTED`). That is not yet a
     * delivery: what becomes of it arrives as `message.status` events where the provider reports.
     * Failures of the request: INVALID_ARGUMENT `REQUEST_INVALID` with every fault (of very many, the first 32) and its
     * field's path; NOT_FOUND `ACCOUNT_NOT_FOUND`; UNIMPLEMENTED `PROVIDER_UNSUPPORTED` for what the account's provider
     * cannot do. Nothing was sent.
     * Failures of the sending: UNAVAILABLE only when the message has provably not reached the provider, so it may be
     * sent again at once; RESOURCE_EXHAUSTED when the account's rate or the provider held it back for longer than the
     * caller waits. FAILED_PRECONDITION `SEND_OUTCOME_UNKNOWN`, with `message_id`, `attempt` and `cause`, when nobody can
     * tell whether the provider took it: see `request_id` and `resend_after_attempt`. Any other code means that nothing was
     * sent, mostly because the provider said no; the reason says why (`SESSION_WINDOW_CLOSED`, `RECIPIENT_NOT_REACHABLE`,
     * …, all in `docs/errors.md`).
     * Switchboard tries again by itself only what has provably not reached the provider and what the provider throttled,
     * for as long as the caller's deadline allows (30 seconds without one, `accounts.gate.patience`). A deadline or a
     * cancel ends the wait. What has not been handed to the provider then is not sent; what has been runs to its end, and
     * its outcome is recorded. A broken connection to Switchboard proves nothing about the message: only `request_id`
     * makes a repetition safe.
     * </pre>
     */
    public void sendMessage(switchboard.v1.SendMessageRequest request,
        io.grpc.stub.StreamObserver<switchboard.v1.SendMessageResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getSendMessageMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Sends a file: an image, a video or a document. ConnectBy; at Connectly send a `MediaLink`.
     * The first message carries the header, and may carry the whole file. The file is taken in and checked before anything
     * goes to the provider: its kind, told from its first bytes, and its size (`Limits`). A stream that breaks off before
     * the caller has closed it sends nothing.
     * Images are JPEG and PNG, videos MP4 and 3GPP, documents PDF, Office documents and text in UTF-8. What is wrong with
     * the file fails with INVALID_ARGUMENT and the path `chunk`, as soon as it is known.
     * Answers and fails as `SendMessage` does. Besides, nothing was sent and the file may be sent again after ABORTED
     * `UPLOAD_STALLED` (no message for a minute, or no end after ten) and RESOURCE_EXHAUSTED `UPLOADS_EXHAUSTED` (too many
     * files are being taken in).
     * </pre>
     */
    public io.grpc.stub.StreamObserver<switchboard.v1.SendMediaRequest> sendMedia(
        io.grpc.stub.StreamObserver<switchboard.v1.SendMediaResponse> responseObserver) {
      return io.grpc.stub.ClientCalls.asyncClientStreamingCall(
          getChannel().newCall(getSendMediaMethod(), getCallOptions()), responseObserver);
    }

    /**
     * <pre>
     * Sends many messages over one stream, each as `SendMessage` does, and answers each when its outcome is known: out of
     * order, by its `tag`. What is wrong with one request is told in its answer and does not end the stream.
     * At most 256 messages of a stream are under way at once; then no more are read until one ends, so that a caller who
     * is faster than the provider is slowed down and nothing piles up. When the caller closes its side, everything under
     * way is answered and the stream ends with OK. A deadline is that of the whole stream; give none to a stream that
     * stays open.
     * When the stream breaks, what was answered is certain and what was not is open: send those again with the same
     * `request_id` on a new stream.
     * </pre>
     */
    public io.grpc.stub.StreamObserver<switchboard.v1.SendMessagesRequest> sendMessages(
        io.grpc.stub.StreamObserver<switchboard.v1.SendMessagesResponse> responseObserver) {
      return io.grpc.stub.ClientCalls.asyncBidiStreamingCall(
          getChannel().newCall(getSendMessagesMethod(), getCallOptions()), responseObserver);
    }

    /**
     * <pre>
     * Tells how a message stands. Messages are known for 30 days (`sends.retention`) after they were sent.
     * Fails with NOT_FOUND `MESSAGE_NOT_FOUND` for one that is not known: never sent from here, too old, or refused or not
     * sent at its first attempt, which leaves no record.
     * </pre>
     */
    public void getMessage(switchboard.v1.GetMessageRequest request,
        io.grpc.stub.StreamObserver<switchboard.v1.GetMessageResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getGetMessageMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Tells how a message stands, at once and then whenever that changes; it only moves forward. Steps may be left out
     * when they follow fast.
     * The stream ends with `ended` and OK when nothing more can come: see `WatchEndReason`. It ends with UNAVAILABLE when
     * the server stops. Fails like `GetMessage` for a message that is not known.
     * </pre>
     */
    public void watchMessage(switchboard.v1.WatchMessageRequest request,
        io.grpc.stub.StreamObserver<switchboard.v1.WatchMessageResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncServerStreamingCall(
          getChannel().newCall(getWatchMessageMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Tells when a customer last wrote, and until when anything but a template may be sent.
     * It knows what webhooks have told, for 30 days (`sends.retention`): a customer it has never heard of may have written
     * before.
     * </pre>
     */
    public void getConversation(switchboard.v1.GetConversationRequest request,
        io.grpc.stub.StreamObserver<switchboard.v1.GetConversationResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getGetConversationMethod(), getCallOptions()), request, responseObserver);
    }
  }

  /**
   * A stub to allow clients to do synchronous rpc calls to service MessageService.
   * <pre>
   * Sends messages.
   * </pre>
   */
  public static final class MessageServiceBlockingV2Stub
      extends io.grpc.stub.AbstractBlockingStub<MessageServiceBlockingV2Stub> {
    private MessageServiceBlockingV2Stub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected MessageServiceBlockingV2Stub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new MessageServiceBlockingV2Stub(channel, callOptions);
    }

    /**
     * <pre>
     * Sends one message and answers when the provider has answered.
     * The answer is OK only when the provider has taken the message (`MESSAGE_STATE_ACCEPTED`). That is not yet a
     * delivery: what becomes of it arrives as `message.status` events where the provider reports.
     * Failures of the request: INVALID_ARGUMENT `REQUEST_INVALID` with every fault (of very many, the first 32) and its
     * field's path; NOT_FOUND `ACCOUNT_NOT_FOUND`; UNIMPLEMENTED `PROVIDER_UNSUPPORTED` for what the account's provider
     * cannot do. Nothing was sent.
     * Failures of the sending: UNAVAILABLE only when the message has provably not reached the provider, so it may be
     * sent again at once; RESOURCE_EXHAUSTED when the account's rate or the provider held it back for longer than the
     * caller waits. FAILED_PRECONDITION `SEND_OUTCOME_UNKNOWN`, with `message_id`, `attempt` and `cause`, when nobody can
     * tell whether the provider took it: see `request_id` and `resend_after_attempt`. Any other code means that nothing was
     * sent, mostly because the provider said no; the reason says why (`SESSION_WINDOW_CLOSED`, `RECIPIENT_NOT_REACHABLE`,
     * …, all in `docs/errors.md`).
     * Switchboard tries again by itself only what has provably not reached the provider and what the provider throttled,
     * for as long as the caller's deadline allows (30 seconds without one, `accounts.gate.patience`). A deadline or a
     * cancel ends the wait. What has not been handed to the provider then is not sent; what has been runs to its end, and
     * its outcome is recorded. A broken connection to Switchboard proves nothing about the message: only `request_id`
     * makes a repetition safe.
     * </pre>
     */
    public switchboard.v1.SendMessageResponse sendMessage(switchboard.v1.SendMessageRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getSendMessageMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Sends a file: an image, a video or a document. ConnectBy; at Connectly send a `MediaLink`.
     * The first message carries the header, and may carry the whole file. The file is taken in and checked before anything
     * goes to the provider: its kind, told from its first bytes, and its size (`Limits`). A stream that breaks off before
     * the caller has closed it sends nothing.
     * Images are JPEG and PNG, videos MP4 and 3GPP, documents PDF, Office documents and text in UTF-8. What is wrong with
     * the file fails with INVALID_ARGUMENT and the path `chunk`, as soon as it is known.
     * Answers and fails as `SendMessage` does. Besides, nothing was sent and the file may be sent again after ABORTED
     * `UPLOAD_STALLED` (no message for a minute, or no end after ten) and RESOURCE_EXHAUSTED `UPLOADS_EXHAUSTED` (too many
     * files are being taken in).
     * </pre>
     */
    @io.grpc.ExperimentalApi("https://github.com/grpc/grpc-java/issues/10918")
    public io.grpc.stub.BlockingClientCall<switchboard.v1.SendMediaRequest, switchboard.v1.SendMediaResponse>
        sendMedia() {
      return io.grpc.stub.ClientCalls.blockingClientStreamingCall(
          getChannel(), getSendMediaMethod(), getCallOptions());
    }

    /**
     * <pre>
     * Sends many messages over one stream, each as `SendMessage` does, and answers each when its outcome is known: out of
     * order, by its `tag`. What is wrong with one request is told in its answer and does not end the stream.
     * At most 256 messages of a stream are under way at once; then no more are read until one ends, so that a caller who
     * is faster than the provider is slowed down and nothing piles up. When the caller closes its side, everything under
     * way is answered and the stream ends with OK. A deadline is that of the whole stream; give none to a stream that
     * stays open.
     * When the stream breaks, what was answered is certain and what was not is open: send those again with the same
     * `request_id` on a new stream.
     * </pre>
     */
    @io.grpc.ExperimentalApi("https://github.com/grpc/grpc-java/issues/10918")
    public io.grpc.stub.BlockingClientCall<switchboard.v1.SendMessagesRequest, switchboard.v1.SendMessagesResponse>
        sendMessages() {
      return io.grpc.stub.ClientCalls.blockingBidiStreamingCall(
          getChannel(), getSendMessagesMethod(), getCallOptions());
    }

    /**
     * <pre>
     * Tells how a message stands. Messages are known for 30 days (`sends.retention`) after they were sent.
     * Fails with NOT_FOUND `MESSAGE_NOT_FOUND` for one that is not known: never sent from here, too old, or refused or not
     * sent at its first attempt, which leaves no record.
     * </pre>
     */
    public switchboard.v1.GetMessageResponse getMessage(switchboard.v1.GetMessageRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getGetMessageMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Tells how a message stands, at once and then whenever that changes; it only moves forward. Steps may be left out
     * when they follow fast.
     * The stream ends with `ended` and OK when nothing more can come: see `WatchEndReason`. It ends with UNAVAILABLE when
     * the server stops. Fails like `GetMessage` for a message that is not known.
     * </pre>
     */
    @io.grpc.ExperimentalApi("https://github.com/grpc/grpc-java/issues/10918")
    public io.grpc.stub.BlockingClientCall<?, switchboard.v1.WatchMessageResponse>
        watchMessage(switchboard.v1.WatchMessageRequest request) {
      return io.grpc.stub.ClientCalls.blockingV2ServerStreamingCall(
          getChannel(), getWatchMessageMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Tells when a customer last wrote, and until when anything but a template may be sent.
     * It knows what webhooks have told, for 30 days (`sends.retention`): a customer it has never heard of may have written
     * before.
     * </pre>
     */
    public switchboard.v1.GetConversationResponse getConversation(switchboard.v1.GetConversationRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getGetConversationMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do limited synchronous rpc calls to service MessageService.
   * <pre>
   * Sends messages.
   * </pre>
   */
  public static final class MessageServiceBlockingStub
      extends io.grpc.stub.AbstractBlockingStub<MessageServiceBlockingStub> {
    private MessageServiceBlockingStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected MessageServiceBlockingStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new MessageServiceBlockingStub(channel, callOptions);
    }

    /**
     * <pre>
     * Sends one message and answers when the provider has answered.
     * The answer is OK only when the provider has taken the message (`MESSAGE_STATE_ACCEPTED`). That is not yet a
     * delivery: what becomes of it arrives as `message.status` events where the provider reports.
     * Failures of the request: INVALID_ARGUMENT `REQUEST_INVALID` with every fault (of very many, the first 32) and its
     * field's path; NOT_FOUND `ACCOUNT_NOT_FOUND`; UNIMPLEMENTED `PROVIDER_UNSUPPORTED` for what the account's provider
     * cannot do. Nothing was sent.
     * Failures of the sending: UNAVAILABLE only when the message has provably not reached the provider, so it may be
     * sent again at once; RESOURCE_EXHAUSTED when the account's rate or the provider held it back for longer than the
     * caller waits. FAILED_PRECONDITION `SEND_OUTCOME_UNKNOWN`, with `message_id`, `attempt` and `cause`, when nobody can
     * tell whether the provider took it: see `request_id` and `resend_after_attempt`. Any other code means that nothing was
     * sent, mostly because the provider said no; the reason says why (`SESSION_WINDOW_CLOSED`, `RECIPIENT_NOT_REACHABLE`,
     * …, all in `docs/errors.md`).
     * Switchboard tries again by itself only what has provably not reached the provider and what the provider throttled,
     * for as long as the caller's deadline allows (30 seconds without one, `accounts.gate.patience`). A deadline or a
     * cancel ends the wait. What has not been handed to the provider then is not sent; what has been runs to its end, and
     * its outcome is recorded. A broken connection to Switchboard proves nothing about the message: only `request_id`
     * makes a repetition safe.
     * </pre>
     */
    public switchboard.v1.SendMessageResponse sendMessage(switchboard.v1.SendMessageRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getSendMessageMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Tells how a message stands. Messages are known for 30 days (`sends.retention`) after they were sent.
     * Fails with NOT_FOUND `MESSAGE_NOT_FOUND` for one that is not known: never sent from here, too old, or refused or not
     * sent at its first attempt, which leaves no record.
     * </pre>
     */
    public switchboard.v1.GetMessageResponse getMessage(switchboard.v1.GetMessageRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getGetMessageMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Tells how a message stands, at once and then whenever that changes; it only moves forward. Steps may be left out
     * when they follow fast.
     * The stream ends with `ended` and OK when nothing more can come: see `WatchEndReason`. It ends with UNAVAILABLE when
     * the server stops. Fails like `GetMessage` for a message that is not known.
     * </pre>
     */
    public java.util.Iterator<switchboard.v1.WatchMessageResponse> watchMessage(
        switchboard.v1.WatchMessageRequest request) {
      return io.grpc.stub.ClientCalls.blockingServerStreamingCall(
          getChannel(), getWatchMessageMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Tells when a customer last wrote, and until when anything but a template may be sent.
     * It knows what webhooks have told, for 30 days (`sends.retention`): a customer it has never heard of may have written
     * before.
     * </pre>
     */
    public switchboard.v1.GetConversationResponse getConversation(switchboard.v1.GetConversationRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getGetConversationMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do ListenableFuture-style rpc calls to service MessageService.
   * <pre>
   * Sends messages.
   * </pre>
   */
  public static final class MessageServiceFutureStub
      extends io.grpc.stub.AbstractFutureStub<MessageServiceFutureStub> {
    private MessageServiceFutureStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected MessageServiceFutureStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new MessageServiceFutureStub(channel, callOptions);
    }

    /**
     * <pre>
     * Sends one message and answers when the provider has answered.
     * The answer is OK only when the provider has taken the message (`MESSAGE_STATE_ACCEPTED`). That is not yet a
     * delivery: what becomes of it arrives as `message.status` events where the provider reports.
     * Failures of the request: INVALID_ARGUMENT `REQUEST_INVALID` with every fault (of very many, the first 32) and its
     * field's path; NOT_FOUND `ACCOUNT_NOT_FOUND`; UNIMPLEMENTED `PROVIDER_UNSUPPORTED` for what the account's provider
     * cannot do. Nothing was sent.
     * Failures of the sending: UNAVAILABLE only when the message has provably not reached the provider, so it may be
     * sent again at once; RESOURCE_EXHAUSTED when the account's rate or the provider held it back for longer than the
     * caller waits. FAILED_PRECONDITION `SEND_OUTCOME_UNKNOWN`, with `message_id`, `attempt` and `cause`, when nobody can
     * tell whether the provider took it: see `request_id` and `resend_after_attempt`. Any other code means that nothing was
     * sent, mostly because the provider said no; the reason says why (`SESSION_WINDOW_CLOSED`, `RECIPIENT_NOT_REACHABLE`,
     * …, all in `docs/errors.md`).
     * Switchboard tries again by itself only what has provably not reached the provider and what the provider throttled,
     * for as long as the caller's deadline allows (30 seconds without one, `accounts.gate.patience`). A deadline or a
     * cancel ends the wait. What has not been handed to the provider then is not sent; what has been runs to its end, and
     * its outcome is recorded. A broken connection to Switchboard proves nothing about the message: only `request_id`
     * makes a repetition safe.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<switchboard.v1.SendMessageResponse> sendMessage(
        switchboard.v1.SendMessageRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getSendMessageMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Tells how a message stands. Messages are known for 30 days (`sends.retention`) after they were sent.
     * Fails with NOT_FOUND `MESSAGE_NOT_FOUND` for one that is not known: never sent from here, too old, or refused or not
     * sent at its first attempt, which leaves no record.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<switchboard.v1.GetMessageResponse> getMessage(
        switchboard.v1.GetMessageRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getGetMessageMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Tells when a customer last wrote, and until when anything but a template may be sent.
     * It knows what webhooks have told, for 30 days (`sends.retention`): a customer it has never heard of may have written
     * before.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<switchboard.v1.GetConversationResponse> getConversation(
        switchboard.v1.GetConversationRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getGetConversationMethod(), getCallOptions()), request);
    }
  }

  private static final int METHODID_SEND_MESSAGE = 0;
  private static final int METHODID_GET_MESSAGE = 1;
  private static final int METHODID_WATCH_MESSAGE = 2;
  private static final int METHODID_GET_CONVERSATION = 3;
  private static final int METHODID_SEND_MEDIA = 4;
  private static final int METHODID_SEND_MESSAGES = 5;

  private static final class MethodHandlers<Req, Resp> implements
      io.grpc.stub.ServerCalls.UnaryMethod<Req, Resp>,
      io.grpc.stub.ServerCalls.ServerStreamingMethod<Req, Resp>,
      io.grpc.stub.ServerCalls.ClientStreamingMethod<Req, Resp>,
      io.grpc.stub.ServerCalls.BidiStreamingMethod<Req, Resp> {
    private final AsyncService serviceImpl;
    private final int methodId;

    MethodHandlers(AsyncService serviceImpl, int methodId) {
      this.serviceImpl = serviceImpl;
      this.methodId = methodId;
    }

    @java.lang.Override
    @java.lang.SuppressWarnings("unchecked")
    public void invoke(Req request, io.grpc.stub.StreamObserver<Resp> responseObserver) {
      switch (methodId) {
        case METHODID_SEND_MESSAGE:
          serviceImpl.sendMessage((switchboard.v1.SendMessageRequest) request,
              (io.grpc.stub.StreamObserver<switchboard.v1.SendMessageResponse>) responseObserver);
          break;
        case METHODID_GET_MESSAGE:
          serviceImpl.getMessage((switchboard.v1.GetMessageRequest) request,
              (io.grpc.stub.StreamObserver<switchboard.v1.GetMessageResponse>) responseObserver);
          break;
        case METHODID_WATCH_MESSAGE:
          serviceImpl.watchMessage((switchboard.v1.WatchMessageRequest) request,
              (io.grpc.stub.StreamObserver<switchboard.v1.WatchMessageResponse>) responseObserver);
          break;
        case METHODID_GET_CONVERSATION:
          serviceImpl.getConversation((switchboard.v1.GetConversationRequest) request,
              (io.grpc.stub.StreamObserver<switchboard.v1.GetConversationResponse>) responseObserver);
          break;
        default:
          throw new AssertionError();
      }
    }

    @java.lang.Override
    @java.lang.SuppressWarnings("unchecked")
    public io.grpc.stub.StreamObserver<Req> invoke(
        io.grpc.stub.StreamObserver<Resp> responseObserver) {
      switch (methodId) {
        case METHODID_SEND_MEDIA:
          return (io.grpc.stub.StreamObserver<Req>) serviceImpl.sendMedia(
              (io.grpc.stub.StreamObserver<switchboard.v1.SendMediaResponse>) responseObserver);
        case METHODID_SEND_MESSAGES:
          return (io.grpc.stub.StreamObserver<Req>) serviceImpl.sendMessages(
              (io.grpc.stub.StreamObserver<switchboard.v1.SendMessagesResponse>) responseObserver);
        default:
          throw new AssertionError();
      }
    }
  }

  public static final io.grpc.ServerServiceDefinition bindService(AsyncService service) {
    return io.grpc.ServerServiceDefinition.builder(getServiceDescriptor())
        .addMethod(
          getSendMessageMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              switchboard.v1.SendMessageRequest,
              switchboard.v1.SendMessageResponse>(
                service, METHODID_SEND_MESSAGE)))
        .addMethod(
          getSendMediaMethod(),
          io.grpc.stub.ServerCalls.asyncClientStreamingCall(
            new MethodHandlers<
              switchboard.v1.SendMediaRequest,
              switchboard.v1.SendMediaResponse>(
                service, METHODID_SEND_MEDIA)))
        .addMethod(
          getSendMessagesMethod(),
          io.grpc.stub.ServerCalls.asyncBidiStreamingCall(
            new MethodHandlers<
              switchboard.v1.SendMessagesRequest,
              switchboard.v1.SendMessagesResponse>(
                service, METHODID_SEND_MESSAGES)))
        .addMethod(
          getGetMessageMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              switchboard.v1.GetMessageRequest,
              switchboard.v1.GetMessageResponse>(
                service, METHODID_GET_MESSAGE)))
        .addMethod(
          getWatchMessageMethod(),
          io.grpc.stub.ServerCalls.asyncServerStreamingCall(
            new MethodHandlers<
              switchboard.v1.WatchMessageRequest,
              switchboard.v1.WatchMessageResponse>(
                service, METHODID_WATCH_MESSAGE)))
        .addMethod(
          getGetConversationMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              switchboard.v1.GetConversationRequest,
              switchboard.v1.GetConversationResponse>(
                service, METHODID_GET_CONVERSATION)))
        .build();
  }

  private static abstract class MessageServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoFileDescriptorSupplier, io.grpc.protobuf.ProtoServiceDescriptorSupplier {
    MessageServiceBaseDescriptorSupplier() {}

    @java.lang.Override
    public com.google.protobuf.Descriptors.FileDescriptor getFileDescriptor() {
      return switchboard.v1.MessageServiceOuterClass.getDescriptor();
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.ServiceDescriptor getServiceDescriptor() {
      return getFileDescriptor().findServiceByName("MessageService");
    }
  }

  private static final class MessageServiceFileDescriptorSupplier
      extends MessageServiceBaseDescriptorSupplier {
    MessageServiceFileDescriptorSupplier() {}
  }

  private static final class MessageServiceMethodDescriptorSupplier
      extends MessageServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoMethodDescriptorSupplier {
    private final java.lang.String methodName;

    MessageServiceMethodDescriptorSupplier(java.lang.String methodName) {
      this.methodName = methodName;
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.MethodDescriptor getMethodDescriptor() {
      return getServiceDescriptor().findMethodByName(methodName);
    }
  }

  private static volatile io.grpc.ServiceDescriptor serviceDescriptor;

  public static io.grpc.ServiceDescriptor getServiceDescriptor() {
    io.grpc.ServiceDescriptor result = serviceDescriptor;
    if (result == null) {
      synchronized (MessageServiceGrpc.class) {
        result = serviceDescriptor;
        if (result == null) {
          serviceDescriptor = result = io.grpc.ServiceDescriptor.newBuilder(SERVICE_NAME)
              .setSchemaDescriptor(new MessageServiceFileDescriptorSupplier())
              .addMethod(getSendMessageMethod())
              .addMethod(getSendMediaMethod())
              .addMethod(getSendMessagesMethod())
              .addMethod(getGetMessageMethod())
              .addMethod(getWatchMessageMethod())
              .addMethod(getGetConversationMethod())
              .build();
        }
      }
    }
    return result;
  }
}
