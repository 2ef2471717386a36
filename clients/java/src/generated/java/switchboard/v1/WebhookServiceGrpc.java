package switchboard.v1;

import static io.grpc.MethodDescriptor.generateFullMethodName;

/**
 * <pre>
 * Keeps the addresses that a provider delivers events to. Connectly; but `VerifyWebhook` works wherever there are
 * webhooks.
 * Failures of a write: UNAVAILABLE only when nothing reached the provider; FAILED_PRECONDITION `WRITE_OUTCOME_UNKNOWN`
 * when nobody can tell whether the provider did it; any other code means that the provider said no and did nothing.
 * </pre>
 */
@io.grpc.stub.annotations.GrpcGenerated
public final class WebhookServiceGrpc {

  private WebhookServiceGrpc() {}

  public static final java.lang.String SERVICE_NAME = "switchboard.v1.WebhookService";

  // Static method descriptors that strictly reflect the proto.
  private static volatile io.grpc.MethodDescriptor<switchboard.v1.CreateWebhookRequest,
      switchboard.v1.CreateWebhookResponse> getCreateWebhookMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "CreateWebhook",
      requestType = switchboard.v1.CreateWebhookRequest.class,
      responseType = switchboard.v1.CreateWebhookResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<switchboard.v1.CreateWebhookRequest,
      switchboard.v1.CreateWebhookResponse> getCreateWebhookMethod() {
    io.grpc.MethodDescriptor<switchboard.v1.CreateWebhookRequest, switchboard.v1.CreateWebhookResponse> getCreateWebhookMethod;
    if ((getCreateWebhookMethod = WebhookServiceGrpc.getCreateWebhookMethod) == null) {
      synchronized (WebhookServiceGrpc.class) {
        if ((getCreateWebhookMethod = WebhookServiceGrpc.getCreateWebhookMethod) == null) {
          WebhookServiceGrpc.getCreateWebhookMethod = getCreateWebhookMethod =
              io.grpc.MethodDescriptor.<switchboard.v1.CreateWebhookRequest, switchboard.v1.CreateWebhookResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "CreateWebhook"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.CreateWebhookRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.CreateWebhookResponse.getDefaultInstance()))
              .setSchemaDescriptor(new WebhookServiceMethodDescriptorSupplier("CreateWebhook"))
              .build();
        }
      }
    }
    return getCreateWebhookMethod;
  }

  private static volatile io.grpc.MethodDescriptor<switchboard.v1.ListWebhooksRequest,
      switchboard.v1.ListWebhooksResponse> getListWebhooksMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "ListWebhooks",
      requestType = switchboard.v1.ListWebhooksRequest.class,
      responseType = switchboard.v1.ListWebhooksResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<switchboard.v1.ListWebhooksRequest,
      switchboard.v1.ListWebhooksResponse> getListWebhooksMethod() {
    io.grpc.MethodDescriptor<switchboard.v1.ListWebhooksRequest, switchboard.v1.ListWebhooksResponse> getListWebhooksMethod;
    if ((getListWebhooksMethod = WebhookServiceGrpc.getListWebhooksMethod) == null) {
      synchronized (WebhookServiceGrpc.class) {
        if ((getListWebhooksMethod = WebhookServiceGrpc.getListWebhooksMethod) == null) {
          WebhookServiceGrpc.getListWebhooksMethod = getListWebhooksMethod =
              io.grpc.MethodDescriptor.<switchboard.v1.ListWebhooksRequest, switchboard.v1.ListWebhooksResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "ListWebhooks"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.ListWebhooksRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.ListWebhooksResponse.getDefaultInstance()))
              .setSchemaDescriptor(new WebhookServiceMethodDescriptorSupplier("ListWebhooks"))
              .build();
        }
      }
    }
    return getListWebhooksMethod;
  }

  private static volatile io.grpc.MethodDescriptor<switchboard.v1.UpdateWebhookRequest,
      switchboard.v1.UpdateWebhookResponse> getUpdateWebhookMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "UpdateWebhook",
      requestType = switchboard.v1.UpdateWebhookRequest.class,
      responseType = switchboard.v1.UpdateWebhookResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<switchboard.v1.UpdateWebhookRequest,
      switchboard.v1.UpdateWebhookResponse> getUpdateWebhookMethod() {
    io.grpc.MethodDescriptor<switchboard.v1.UpdateWebhookRequest, switchboard.v1.UpdateWebhookResponse> getUpdateWebhookMethod;
    if ((getUpdateWebhookMethod = WebhookServiceGrpc.getUpdateWebhookMethod) == null) {
      synchronized (WebhookServiceGrpc.class) {
        if ((getUpdateWebhookMethod = WebhookServiceGrpc.getUpdateWebhookMethod) == null) {
          WebhookServiceGrpc.getUpdateWebhookMethod = getUpdateWebhookMethod =
              io.grpc.MethodDescriptor.<switchboard.v1.UpdateWebhookRequest, switchboard.v1.UpdateWebhookResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "UpdateWebhook"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.UpdateWebhookRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.UpdateWebhookResponse.getDefaultInstance()))
              .setSchemaDescriptor(new WebhookServiceMethodDescriptorSupplier("UpdateWebhook"))
              .build();
        }
      }
    }
    return getUpdateWebhookMethod;
  }

  private static volatile io.grpc.MethodDescriptor<switchboard.v1.DeleteWebhookRequest,
      switchboard.v1.DeleteWebhookResponse> getDeleteWebhookMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "DeleteWebhook",
      requestType = switchboard.v1.DeleteWebhookRequest.class,
      responseType = switchboard.v1.DeleteWebhookResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<switchboard.v1.DeleteWebhookRequest,
      switchboard.v1.DeleteWebhookResponse> getDeleteWebhookMethod() {
    io.grpc.MethodDescriptor<switchboard.v1.DeleteWebhookRequest, switchboard.v1.DeleteWebhookResponse> getDeleteWebhookMethod;
    if ((getDeleteWebhookMethod = WebhookServiceGrpc.getDeleteWebhookMethod) == null) {
      synchronized (WebhookServiceGrpc.class) {
        if ((getDeleteWebhookMethod = WebhookServiceGrpc.getDeleteWebhookMethod) == null) {
          WebhookServiceGrpc.getDeleteWebhookMethod = getDeleteWebhookMethod =
              io.grpc.MethodDescriptor.<switchboard.v1.DeleteWebhookRequest, switchboard.v1.DeleteWebhookResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "DeleteWebhook"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.DeleteWebhookRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.DeleteWebhookResponse.getDefaultInstance()))
              .setSchemaDescriptor(new WebhookServiceMethodDescriptorSupplier("DeleteWebhook"))
              .build();
        }
      }
    }
    return getDeleteWebhookMethod;
  }

  private static volatile io.grpc.MethodDescriptor<switchboard.v1.VerifyWebhookRequest,
      switchboard.v1.VerifyWebhookResponse> getVerifyWebhookMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "VerifyWebhook",
      requestType = switchboard.v1.VerifyWebhookRequest.class,
      responseType = switchboard.v1.VerifyWebhookResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<switchboard.v1.VerifyWebhookRequest,
      switchboard.v1.VerifyWebhookResponse> getVerifyWebhookMethod() {
    io.grpc.MethodDescriptor<switchboard.v1.VerifyWebhookRequest, switchboard.v1.VerifyWebhookResponse> getVerifyWebhookMethod;
    if ((getVerifyWebhookMethod = WebhookServiceGrpc.getVerifyWebhookMethod) == null) {
      synchronized (WebhookServiceGrpc.class) {
        if ((getVerifyWebhookMethod = WebhookServiceGrpc.getVerifyWebhookMethod) == null) {
          WebhookServiceGrpc.getVerifyWebhookMethod = getVerifyWebhookMethod =
              io.grpc.MethodDescriptor.<switchboard.v1.VerifyWebhookRequest, switchboard.v1.VerifyWebhookResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "VerifyWebhook"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.VerifyWebhookRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.VerifyWebhookResponse.getDefaultInstance()))
              .setSchemaDescriptor(new WebhookServiceMethodDescriptorSupplier("VerifyWebhook"))
              .build();
        }
      }
    }
    return getVerifyWebhookMethod;
  }

  /**
   * Creates a new async stub that supports all call types for the service
   */
  public static WebhookServiceStub newStub(io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<WebhookServiceStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<WebhookServiceStub>() {
        @java.lang.Override
        public WebhookServiceStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new WebhookServiceStub(channel, callOptions);
        }
      };
    return WebhookServiceStub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports all types of calls on the service
   */
  public static WebhookServiceBlockingV2Stub newBlockingV2Stub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<WebhookServiceBlockingV2Stub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<WebhookServiceBlockingV2Stub>() {
        @java.lang.Override
        public WebhookServiceBlockingV2Stub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new WebhookServiceBlockingV2Stub(channel, callOptions);
        }
      };
    return WebhookServiceBlockingV2Stub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports unary and streaming output calls on the service
   */
  public static WebhookServiceBlockingStub newBlockingStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<WebhookServiceBlockingStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<WebhookServiceBlockingStub>() {
        @java.lang.Override
        public WebhookServiceBlockingStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new WebhookServiceBlockingStub(channel, callOptions);
        }
      };
    return WebhookServiceBlockingStub.newStub(factory, channel);
  }

  /**
   * Creates a new ListenableFuture-style stub that supports unary calls on the service
   */
  public static WebhookServiceFutureStub newFutureStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<WebhookServiceFutureStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<WebhookServiceFutureStub>() {
        @java.lang.Override
        public WebhookServiceFutureStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new WebhookServiceFutureStub(channel, callOptions);
        }
      };
    return WebhookServiceFutureStub.newStub(factory, channel);
  }

  /**
   * <pre>
   * Keeps the addresses that a provider delivers events to. Connectly; but `VerifyWebhook` works wherever there are
   * webhooks.
   * Failures of a write: UNAVAILABLE only when nothing reached the provider; FAILED_PRECONDITION `WRITE_OUTCOME_UNKNOWN`
   * when nobody can tell whether the provider did it; any other code means that the provider said no and did nothing.
   * </pre>
   */
  public interface AsyncService {

    /**
     * <pre>
     * Registers an address for a topic. There is one address per topic.
     * The registrations are read before: when the topic has one already, `on_conflict` decides. (The provider itself
     * contradicts its own pages: a second registration is refused, or replaces the first in silence.) When they cannot be
     * read, nothing was written, and it fails as `ListWebhooks` does.
     * Fails with ALREADY_EXISTS `WEBHOOK_EXISTS` when the topic has an address and `on_conflict` is FAIL, and also when
     * somebody registered one between the look and the write; its metadata names the `webhook_id` and the `address`.
     * </pre>
     */
    default void createWebhook(switchboard.v1.CreateWebhookRequest request,
        io.grpc.stub.StreamObserver<switchboard.v1.CreateWebhookResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getCreateWebhookMethod(), responseObserver);
    }

    /**
     * <pre>
     * Lists all registrations; there are as many as topics at most, so there is no paging.
     * </pre>
     */
    default void listWebhooks(switchboard.v1.ListWebhooksRequest request,
        io.grpc.stub.StreamObserver<switchboard.v1.ListWebhooksResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getListWebhooksMethod(), responseObserver);
    }

    /**
     * <pre>
     * Changes a registration's address or configuration. What is absent stays as it is; the topic cannot be changed.
     * </pre>
     */
    default void updateWebhook(switchboard.v1.UpdateWebhookRequest request,
        io.grpc.stub.StreamObserver<switchboard.v1.UpdateWebhookResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getUpdateWebhookMethod(), responseObserver);
    }

    /**
     * <pre>
     * Deletes a registration, at once and for good: from now on the provider delivers nothing for its topic.
     * </pre>
     */
    default void deleteWebhook(switchboard.v1.DeleteWebhookRequest request,
        io.grpc.stub.StreamObserver<switchboard.v1.DeleteWebhookResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getDeleteWebhookMethod(), responseObserver);
    }

    /**
     * <pre>
     * Says which check a webhook passes or fails, without taking it in: for finding out why one is answered 401.
     * </pre>
     */
    default void verifyWebhook(switchboard.v1.VerifyWebhookRequest request,
        io.grpc.stub.StreamObserver<switchboard.v1.VerifyWebhookResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getVerifyWebhookMethod(), responseObserver);
    }
  }

  /**
   * Base class for the server implementation of the service WebhookService.
   * <pre>
   * Keeps the addresses that a provider delivers events to. Connectly; but `VerifyWebhook` works wherever there are
   * webhooks.
   * Failures of a write: UNAVAILABLE only when nothing reached the provider; FAILED_PRECONDITION `WRITE_OUTCOME_UNKNOWN`
   * when nobody can tell whether the provider did it; any other code means that the provider said no and did nothing.
   * </pre>
   */
  public static abstract class WebhookServiceImplBase
      implements io.grpc.BindableService, AsyncService {

    @java.lang.Override public final io.grpc.ServerServiceDefinition bindService() {
      return WebhookServiceGrpc.bindService(this);
    }
  }

  /**
   * A stub to allow clients to do asynchronous rpc calls to service WebhookService.
   * <pre>
   * Keeps the addresses that a provider delivers events to. Connectly; but `VerifyWebhook` works wherever there are
   * webhooks.
   * Failures of a write: UNAVAILABLE only when nothing reached the provider; FAILED_PRECONDITION `WRITE_OUTCOME_UNKNOWN`
   * when nobody can tell whether the provider did it; any other code means that the provider said no and did nothing.
   * </pre>
   */
  public static final class WebhookServiceStub
      extends io.grpc.stub.AbstractAsyncStub<WebhookServiceStub> {
    private WebhookServiceStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected WebhookServiceStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new WebhookServiceStub(channel, callOptions);
    }

    /**
     * <pre>
     * Registers an address for a topic. There is one address per topic.
     * The registrations are read before: when the topic has one already, `on_conflict` decides. (The provider itself
     * contradicts its own pages: a second registration is refused, or replaces the first in silence.) When they cannot be
     * read, nothing was written, and it fails as `ListWebhooks` does.
     * Fails with ALREADY_EXISTS `WEBHOOK_EXISTS` when the topic has an address and `on_conflict` is FAIL, and also when
     * somebody registered one between the look and the write; its metadata names the `webhook_id` and the `address`.
     * </pre>
     */
    public void createWebhook(switchboard.v1.CreateWebhookRequest request,
        io.grpc.stub.StreamObserver<switchboard.v1.CreateWebhookResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getCreateWebhookMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Lists all registrations; there are as many as topics at most, so there is no paging.
     * </pre>
     */
    public void listWebhooks(switchboard.v1.ListWebhooksRequest request,
        io.grpc.stub.StreamObserver<switchboard.v1.ListWebhooksResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getListWebhooksMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Changes a registration's address or configuration. What is absent stays as it is; the topic cannot be changed.
     * </pre>
     */
    public void updateWebhook(switchboard.v1.UpdateWebhookRequest request,
        io.grpc.stub.StreamObserver<switchboard.v1.UpdateWebhookResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getUpdateWebhookMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Deletes a registration, at once and for good: from now on the provider delivers nothing for its topic.
     * </pre>
     */
    public void deleteWebhook(switchboard.v1.DeleteWebhookRequest request,
        io.grpc.stub.StreamObserver<switchboard.v1.DeleteWebhookResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getDeleteWebhookMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Says which check a webhook passes or fails, without taking it in: for finding out why one is answered 401.
     * </pre>
     */
    public void verifyWebhook(switchboard.v1.VerifyWebhookRequest request,
        io.grpc.stub.StreamObserver<switchboard.v1.VerifyWebhookResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getVerifyWebhookMethod(), getCallOptions()), request, responseObserver);
    }
  }

  /**
   * A stub to allow clients to do synchronous rpc calls to service WebhookService.
   * <pre>
   * Keeps the addresses that a provider delivers events to. Connectly; but `VerifyWebhook` works wherever there are
   * webhooks.
   * Failures of a write: UNAVAILABLE only when nothing reached the provider; FAILED_PRECONDITION `WRITE_OUTCOME_UNKNOWN`
   * when nobody can tell whether the provider did it; any other code means that the provider said no and did nothing.
   * </pre>
   */
  public static final class WebhookServiceBlockingV2Stub
      extends io.grpc.stub.AbstractBlockingStub<WebhookServiceBlockingV2Stub> {
    private WebhookServiceBlockingV2Stub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected WebhookServiceBlockingV2Stub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new WebhookServiceBlockingV2Stub(channel, callOptions);
    }

    /**
     * <pre>
     * Registers an address for a topic. There is one address per topic.
     * The registrations are read before: when the topic has one already, `on_conflict` decides. (The provider itself
     * contradicts its own pages: a second registration is refused, or replaces the first in silence.) When they cannot be
     * read, nothing was written, and it fails as `ListWebhooks` does.
     * Fails with ALREADY_EXISTS `WEBHOOK_EXISTS` when the topic has an address and `on_conflict` is FAIL, and also when
     * somebody registered one between the look and the write; its metadata names the `webhook_id` and the `address`.
     * </pre>
     */
    public switchboard.v1.CreateWebhookResponse createWebhook(switchboard.v1.CreateWebhookRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getCreateWebhookMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Lists all registrations; there are as many as topics at most, so there is no paging.
     * </pre>
     */
    public switchboard.v1.ListWebhooksResponse listWebhooks(switchboard.v1.ListWebhooksRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getListWebhooksMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Changes a registration's address or configuration. What is absent stays as it is; the topic cannot be changed.
     * </pre>
     */
    public switchboard.v1.UpdateWebhookResponse updateWebhook(switchboard.v1.UpdateWebhookRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getUpdateWebhookMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Deletes a registration, at once and for good: from now on the provider delivers nothing for its topic.
     * </pre>
     */
    public switchboard.v1.DeleteWebhookResponse deleteWebhook(switchboard.v1.DeleteWebhookRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getDeleteWebhookMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Says which check a webhook passes or fails, without taking it in: for finding out why one is answered 401.
     * </pre>
     */
    public switchboard.v1.VerifyWebhookResponse verifyWebhook(switchboard.v1.VerifyWebhookRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getVerifyWebhookMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do limited synchronous rpc calls to service WebhookService.
   * <pre>
   * Keeps the addresses that a provider delivers events to. Connectly; but `VerifyWebhook` works wherever there are
   * webhooks.
   * Failures of a write: UNAVAILABLE only when nothing reached the provider; FAILED_PRECONDITION `WRITE_OUTCOME_UNKNOWN`
   * when nobody can tell whether the provider did it; any other code means that the provider said no and did nothing.
   * </pre>
   */
  public static final class WebhookServiceBlockingStub
      extends io.grpc.stub.AbstractBlockingStub<WebhookServiceBlockingStub> {
    private WebhookServiceBlockingStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected WebhookServiceBlockingStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new WebhookServiceBlockingStub(channel, callOptions);
    }

    /**
     * <pre>
     * Registers an address for a topic. There is one address per topic.
     * The registrations are read before: when the topic has one already, `on_conflict` decides. (The provider itself
     * contradicts its own pages: a second registration is refused, or replaces the first in silence.) When they cannot be
     * read, nothing was written, and it fails as `ListWebhooks` does.
     * Fails with ALREADY_EXISTS `WEBHOOK_EXISTS` when the topic has an address and `on_conflict` is FAIL, and also when
     * somebody registered one between the look and the write; its metadata names the `webhook_id` and the `address`.
     * </pre>
     */
    public switchboard.v1.CreateWebhookResponse createWebhook(switchboard.v1.CreateWebhookRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getCreateWebhookMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Lists all registrations; there are as many as topics at most, so there is no paging.
     * </pre>
     */
    public switchboard.v1.ListWebhooksResponse listWebhooks(switchboard.v1.ListWebhooksRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getListWebhooksMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Changes a registration's address or configuration. What is absent stays as it is; the topic cannot be changed.
     * </pre>
     */
    public switchboard.v1.UpdateWebhookResponse updateWebhook(switchboard.v1.UpdateWebhookRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getUpdateWebhookMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Deletes a registration, at once and for good: from now on the provider delivers nothing for its topic.
     * </pre>
     */
    public switchboard.v1.DeleteWebhookResponse deleteWebhook(switchboard.v1.DeleteWebhookRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getDeleteWebhookMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Says which check a webhook passes or fails, without taking it in: for finding out why one is answered 401.
     * </pre>
     */
    public switchboard.v1.VerifyWebhookResponse verifyWebhook(switchboard.v1.VerifyWebhookRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getVerifyWebhookMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do ListenableFuture-style rpc calls to service WebhookService.
   * <pre>
   * Keeps the addresses that a provider delivers events to. Connectly; but `VerifyWebhook` works wherever there are
   * webhooks.
   * Failures of a write: UNAVAILABLE only when nothing reached the provider; FAILED_PRECONDITION `WRITE_OUTCOME_UNKNOWN`
   * when nobody can tell whether the provider did it; any other code means that the provider said no and did nothing.
   * </pre>
   */
  public static final class WebhookServiceFutureStub
      extends io.grpc.stub.AbstractFutureStub<WebhookServiceFutureStub> {
    private WebhookServiceFutureStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected WebhookServiceFutureStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new WebhookServiceFutureStub(channel, callOptions);
    }

    /**
     * <pre>
     * Registers an address for a topic. There is one address per topic.
     * The registrations are read before: when the topic has one already, `on_conflict` decides. (The provider itself
     * contradicts its own pages: a second registration is refused, or replaces the first in silence.) When they cannot be
     * read, nothing was written, and it fails as `ListWebhooks` does.
     * Fails with ALREADY_EXISTS `WEBHOOK_EXISTS` when the topic has an address and `on_conflict` is FAIL, and also when
     * somebody registered one between the look and the write; its metadata names the `webhook_id` and the `address`.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<switchboard.v1.CreateWebhookResponse> createWebhook(
        switchboard.v1.CreateWebhookRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getCreateWebhookMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Lists all registrations; there are as many as topics at most, so there is no paging.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<switchboard.v1.ListWebhooksResponse> listWebhooks(
        switchboard.v1.ListWebhooksRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getListWebhooksMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Changes a registration's address or configuration. What is absent stays as it is; the topic cannot be changed.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<switchboard.v1.UpdateWebhookResponse> updateWebhook(
        switchboard.v1.UpdateWebhookRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getUpdateWebhookMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Deletes a registration, at once and for good: from now on the provider delivers nothing for its topic.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<switchboard.v1.DeleteWebhookResponse> deleteWebhook(
        switchboard.v1.DeleteWebhookRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getDeleteWebhookMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Says which check a webhook passes or fails, without taking it in: for finding out why one is answered 401.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<switchboard.v1.VerifyWebhookResponse> verifyWebhook(
        switchboard.v1.VerifyWebhookRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getVerifyWebhookMethod(), getCallOptions()), request);
    }
  }

  private static final int METHODID_CREATE_WEBHOOK = 0;
  private static final int METHODID_LIST_WEBHOOKS = 1;
  private static final int METHODID_UPDATE_WEBHOOK = 2;
  private static final int METHODID_DELETE_WEBHOOK = 3;
  private static final int METHODID_VERIFY_WEBHOOK = 4;

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
        case METHODID_CREATE_WEBHOOK:
          serviceImpl.createWebhook((switchboard.v1.CreateWebhookRequest) request,
              (io.grpc.stub.StreamObserver<switchboard.v1.CreateWebhookResponse>) responseObserver);
          break;
        case METHODID_LIST_WEBHOOKS:
          serviceImpl.listWebhooks((switchboard.v1.ListWebhooksRequest) request,
              (io.grpc.stub.StreamObserver<switchboard.v1.ListWebhooksResponse>) responseObserver);
          break;
        case METHODID_UPDATE_WEBHOOK:
          serviceImpl.updateWebhook((switchboard.v1.UpdateWebhookRequest) request,
              (io.grpc.stub.StreamObserver<switchboard.v1.UpdateWebhookResponse>) responseObserver);
          break;
        case METHODID_DELETE_WEBHOOK:
          serviceImpl.deleteWebhook((switchboard.v1.DeleteWebhookRequest) request,
              (io.grpc.stub.StreamObserver<switchboard.v1.DeleteWebhookResponse>) responseObserver);
          break;
        case METHODID_VERIFY_WEBHOOK:
          serviceImpl.verifyWebhook((switchboard.v1.VerifyWebhookRequest) request,
              (io.grpc.stub.StreamObserver<switchboard.v1.VerifyWebhookResponse>) responseObserver);
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
        default:
          throw new AssertionError();
      }
    }
  }

  public static final io.grpc.ServerServiceDefinition bindService(AsyncService service) {
    return io.grpc.ServerServiceDefinition.builder(getServiceDescriptor())
        .addMethod(
          getCreateWebhookMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              switchboard.v1.CreateWebhookRequest,
              switchboard.v1.CreateWebhookResponse>(
                service, METHODID_CREATE_WEBHOOK)))
        .addMethod(
          getListWebhooksMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              switchboard.v1.ListWebhooksRequest,
              switchboard.v1.ListWebhooksResponse>(
                service, METHODID_LIST_WEBHOOKS)))
        .addMethod(
          getUpdateWebhookMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              switchboard.v1.UpdateWebhookRequest,
              switchboard.v1.UpdateWebhookResponse>(
                service, METHODID_UPDATE_WEBHOOK)))
        .addMethod(
          getDeleteWebhookMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              switchboard.v1.DeleteWebhookRequest,
              switchboard.v1.DeleteWebhookResponse>(
                service, METHODID_DELETE_WEBHOOK)))
        .addMethod(
          getVerifyWebhookMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              switchboard.v1.VerifyWebhookRequest,
              switchboard.v1.VerifyWebhookResponse>(
                service, METHODID_VERIFY_WEBHOOK)))
        .build();
  }

  private static abstract class WebhookServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoFileDescriptorSupplier, io.grpc.protobuf.ProtoServiceDescriptorSupplier {
    WebhookServiceBaseDescriptorSupplier() {}

    @java.lang.Override
    public com.google.protobuf.Descriptors.FileDescriptor getFileDescriptor() {
      return switchboard.v1.WebhookServiceOuterClass.getDescriptor();
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.ServiceDescriptor getServiceDescriptor() {
      return getFileDescriptor().findServiceByName("WebhookService");
    }
  }

  private static final class WebhookServiceFileDescriptorSupplier
      extends WebhookServiceBaseDescriptorSupplier {
    WebhookServiceFileDescriptorSupplier() {}
  }

  private static final class WebhookServiceMethodDescriptorSupplier
      extends WebhookServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoMethodDescriptorSupplier {
    private final java.lang.String methodName;

    WebhookServiceMethodDescriptorSupplier(java.lang.String methodName) {
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
      synchronized (WebhookServiceGrpc.class) {
        result = serviceDescriptor;
        if (result == null) {
          serviceDescriptor = result = io.grpc.ServiceDescriptor.newBuilder(SERVICE_NAME)
              .setSchemaDescriptor(new WebhookServiceFileDescriptorSupplier())
              .addMethod(getCreateWebhookMethod())
              .addMethod(getListWebhooksMethod())
              .addMethod(getUpdateWebhookMethod())
              .addMethod(getDeleteWebhookMethod())
              .addMethod(getVerifyWebhookMethod())
              .build();
        }
      }
    }
    return result;
  }
}
