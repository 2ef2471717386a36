package switchboard.sandbox.v1;

import static io.grpc.MethodDescriptor.generateFullMethodName;

/**
 * <pre>
 * Steers the imitated providers, for tests in any language. Served by `switchboard sandbox` alone.
 * Every request names an account of the sandbox, `demo-connectby` or `demo-connectly`, and works on the imitated
 * provider behind it. An account that does not exist fails with NOT_FOUND; a provider that has no webhooks, with
 * UNIMPLEMENTED.
 * </pre>
 */
@io.grpc.stub.annotations.GrpcGenerated
public final class SandboxServiceGrpc {

  private SandboxServiceGrpc() {}

  public static final java.lang.String SERVICE_NAME = "switchboard.sandbox.v1.SandboxService";

  // Static method descriptors that strictly reflect the proto.
  private static volatile io.grpc.MethodDescriptor<switchboard.sandbox.v1.InjectMessageRequest,
      switchboard.sandbox.v1.InjectMessageResponse> getInjectMessageMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "InjectMessage",
      requestType = switchboard.sandbox.v1.InjectMessageRequest.class,
      responseType = switchboard.sandbox.v1.InjectMessageResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<switchboard.sandbox.v1.InjectMessageRequest,
      switchboard.sandbox.v1.InjectMessageResponse> getInjectMessageMethod() {
    io.grpc.MethodDescriptor<switchboard.sandbox.v1.InjectMessageRequest, switchboard.sandbox.v1.InjectMessageResponse> getInjectMessageMethod;
    if ((getInjectMessageMethod = SandboxServiceGrpc.getInjectMessageMethod) == null) {
      synchronized (SandboxServiceGrpc.class) {
        if ((getInjectMessageMethod = SandboxServiceGrpc.getInjectMessageMethod) == null) {
          SandboxServiceGrpc.getInjectMessageMethod = getInjectMessageMethod =
              io.grpc.MethodDescriptor.<switchboard.sandbox.v1.InjectMessageRequest, switchboard.sandbox.v1.InjectMessageResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "InjectMessage"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.sandbox.v1.InjectMessageRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.sandbox.v1.InjectMessageResponse.getDefaultInstance()))
              .setSchemaDescriptor(new SandboxServiceMethodDescriptorSupplier("InjectMessage"))
              .build();
        }
      }
    }
    return getInjectMessageMethod;
  }

  private static volatile io.grpc.MethodDescriptor<switchboard.sandbox.v1.InjectWebhookRequest,
      switchboard.sandbox.v1.InjectWebhookResponse> getInjectWebhookMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "InjectWebhook",
      requestType = switchboard.sandbox.v1.InjectWebhookRequest.class,
      responseType = switchboard.sandbox.v1.InjectWebhookResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<switchboard.sandbox.v1.InjectWebhookRequest,
      switchboard.sandbox.v1.InjectWebhookResponse> getInjectWebhookMethod() {
    io.grpc.MethodDescriptor<switchboard.sandbox.v1.InjectWebhookRequest, switchboard.sandbox.v1.InjectWebhookResponse> getInjectWebhookMethod;
    if ((getInjectWebhookMethod = SandboxServiceGrpc.getInjectWebhookMethod) == null) {
      synchronized (SandboxServiceGrpc.class) {
        if ((getInjectWebhookMethod = SandboxServiceGrpc.getInjectWebhookMethod) == null) {
          SandboxServiceGrpc.getInjectWebhookMethod = getInjectWebhookMethod =
              io.grpc.MethodDescriptor.<switchboard.sandbox.v1.InjectWebhookRequest, switchboard.sandbox.v1.InjectWebhookResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "InjectWebhook"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.sandbox.v1.InjectWebhookRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.sandbox.v1.InjectWebhookResponse.getDefaultInstance()))
              .setSchemaDescriptor(new SandboxServiceMethodDescriptorSupplier("InjectWebhook"))
              .build();
        }
      }
    }
    return getInjectWebhookMethod;
  }

  private static volatile io.grpc.MethodDescriptor<switchboard.sandbox.v1.SetFaultRequest,
      switchboard.sandbox.v1.SetFaultResponse> getSetFaultMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "SetFault",
      requestType = switchboard.sandbox.v1.SetFaultRequest.class,
      responseType = switchboard.sandbox.v1.SetFaultResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<switchboard.sandbox.v1.SetFaultRequest,
      switchboard.sandbox.v1.SetFaultResponse> getSetFaultMethod() {
    io.grpc.MethodDescriptor<switchboard.sandbox.v1.SetFaultRequest, switchboard.sandbox.v1.SetFaultResponse> getSetFaultMethod;
    if ((getSetFaultMethod = SandboxServiceGrpc.getSetFaultMethod) == null) {
      synchronized (SandboxServiceGrpc.class) {
        if ((getSetFaultMethod = SandboxServiceGrpc.getSetFaultMethod) == null) {
          SandboxServiceGrpc.getSetFaultMethod = getSetFaultMethod =
              io.grpc.MethodDescriptor.<switchboard.sandbox.v1.SetFaultRequest, switchboard.sandbox.v1.SetFaultResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "SetFault"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.sandbox.v1.SetFaultRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.sandbox.v1.SetFaultResponse.getDefaultInstance()))
              .setSchemaDescriptor(new SandboxServiceMethodDescriptorSupplier("SetFault"))
              .build();
        }
      }
    }
    return getSetFaultMethod;
  }

  private static volatile io.grpc.MethodDescriptor<switchboard.sandbox.v1.ClearFaultsRequest,
      switchboard.sandbox.v1.ClearFaultsResponse> getClearFaultsMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "ClearFaults",
      requestType = switchboard.sandbox.v1.ClearFaultsRequest.class,
      responseType = switchboard.sandbox.v1.ClearFaultsResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<switchboard.sandbox.v1.ClearFaultsRequest,
      switchboard.sandbox.v1.ClearFaultsResponse> getClearFaultsMethod() {
    io.grpc.MethodDescriptor<switchboard.sandbox.v1.ClearFaultsRequest, switchboard.sandbox.v1.ClearFaultsResponse> getClearFaultsMethod;
    if ((getClearFaultsMethod = SandboxServiceGrpc.getClearFaultsMethod) == null) {
      synchronized (SandboxServiceGrpc.class) {
        if ((getClearFaultsMethod = SandboxServiceGrpc.getClearFaultsMethod) == null) {
          SandboxServiceGrpc.getClearFaultsMethod = getClearFaultsMethod =
              io.grpc.MethodDescriptor.<switchboard.sandbox.v1.ClearFaultsRequest, switchboard.sandbox.v1.ClearFaultsResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "ClearFaults"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.sandbox.v1.ClearFaultsRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.sandbox.v1.ClearFaultsResponse.getDefaultInstance()))
              .setSchemaDescriptor(new SandboxServiceMethodDescriptorSupplier("ClearFaults"))
              .build();
        }
      }
    }
    return getClearFaultsMethod;
  }

  private static volatile io.grpc.MethodDescriptor<switchboard.sandbox.v1.ListCallsRequest,
      switchboard.sandbox.v1.ListCallsResponse> getListCallsMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "ListCalls",
      requestType = switchboard.sandbox.v1.ListCallsRequest.class,
      responseType = switchboard.sandbox.v1.ListCallsResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<switchboard.sandbox.v1.ListCallsRequest,
      switchboard.sandbox.v1.ListCallsResponse> getListCallsMethod() {
    io.grpc.MethodDescriptor<switchboard.sandbox.v1.ListCallsRequest, switchboard.sandbox.v1.ListCallsResponse> getListCallsMethod;
    if ((getListCallsMethod = SandboxServiceGrpc.getListCallsMethod) == null) {
      synchronized (SandboxServiceGrpc.class) {
        if ((getListCallsMethod = SandboxServiceGrpc.getListCallsMethod) == null) {
          SandboxServiceGrpc.getListCallsMethod = getListCallsMethod =
              io.grpc.MethodDescriptor.<switchboard.sandbox.v1.ListCallsRequest, switchboard.sandbox.v1.ListCallsResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "ListCalls"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.sandbox.v1.ListCallsRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.sandbox.v1.ListCallsResponse.getDefaultInstance()))
              .setSchemaDescriptor(new SandboxServiceMethodDescriptorSupplier("ListCalls"))
              .build();
        }
      }
    }
    return getListCallsMethod;
  }

  /**
   * Creates a new async stub that supports all call types for the service
   */
  public static SandboxServiceStub newStub(io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<SandboxServiceStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<SandboxServiceStub>() {
        @java.lang.Override
        public SandboxServiceStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new SandboxServiceStub(channel, callOptions);
        }
      };
    return SandboxServiceStub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports all types of calls on the service
   */
  public static SandboxServiceBlockingV2Stub newBlockingV2Stub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<SandboxServiceBlockingV2Stub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<SandboxServiceBlockingV2Stub>() {
        @java.lang.Override
        public SandboxServiceBlockingV2Stub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new SandboxServiceBlockingV2Stub(channel, callOptions);
        }
      };
    return SandboxServiceBlockingV2Stub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports unary and streaming output calls on the service
   */
  public static SandboxServiceBlockingStub newBlockingStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<SandboxServiceBlockingStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<SandboxServiceBlockingStub>() {
        @java.lang.Override
        public SandboxServiceBlockingStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new SandboxServiceBlockingStub(channel, callOptions);
        }
      };
    return SandboxServiceBlockingStub.newStub(factory, channel);
  }

  /**
   * Creates a new ListenableFuture-style stub that supports unary calls on the service
   */
  public static SandboxServiceFutureStub newFutureStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<SandboxServiceFutureStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<SandboxServiceFutureStub>() {
        @java.lang.Override
        public SandboxServiceFutureStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new SandboxServiceFutureStub(channel, callOptions);
        }
      };
    return SandboxServiceFutureStub.newStub(factory, channel);
  }

  /**
   * <pre>
   * Steers the imitated providers, for tests in any language. Served by `switchboard sandbox` alone.
   * Every request names an account of the sandbox, `demo-connectby` or `demo-connectly`, and works on the imitated
   * provider behind it. An account that does not exist fails with NOT_FOUND; a provider that has no webhooks, with
   * UNIMPLEMENTED.
   * </pre>
   */
  public interface AsyncService {

    /**
     * <pre>
     * Lets a customer write a text: the imitated provider sends a signed webhook, once, and the answer to it is told.
     * </pre>
     */
    default void injectMessage(switchboard.sandbox.v1.InjectMessageRequest request,
        io.grpc.stub.StreamObserver<switchboard.sandbox.v1.InjectMessageResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getInjectMessageMethod(), responseObserver);
    }

    /**
     * <pre>
     * Lets the imitated provider send a webhook of any body, rightly signed, wrongly, or not at all.
     * </pre>
     */
    default void injectWebhook(switchboard.sandbox.v1.InjectWebhookRequest request,
        io.grpc.stub.StreamObserver<switchboard.sandbox.v1.InjectWebhookResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getInjectWebhookMethod(), responseObserver);
    }

    /**
     * <pre>
     * Makes the imitated provider misbehave. Faults are tried in the order in which they were set.
     * </pre>
     */
    default void setFault(switchboard.sandbox.v1.SetFaultRequest request,
        io.grpc.stub.StreamObserver<switchboard.sandbox.v1.SetFaultResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getSetFaultMethod(), responseObserver);
    }

    /**
     * <pre>
     * Takes all faults of a provider back.
     * </pre>
     */
    default void clearFaults(switchboard.sandbox.v1.ClearFaultsRequest request,
        io.grpc.stub.StreamObserver<switchboard.sandbox.v1.ClearFaultsResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getClearFaultsMethod(), responseObserver);
    }

    /**
     * <pre>
     * Lists what reached the imitated provider since it was started.
     * </pre>
     */
    default void listCalls(switchboard.sandbox.v1.ListCallsRequest request,
        io.grpc.stub.StreamObserver<switchboard.sandbox.v1.ListCallsResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getListCallsMethod(), responseObserver);
    }
  }

  /**
   * Base class for the server implementation of the service SandboxService.
   * <pre>
   * Steers the imitated providers, for tests in any language. Served by `switchboard sandbox` alone.
   * Every request names an account of the sandbox, `demo-connectby` or `demo-connectly`, and works on the imitated
   * provider behind it. An account that does not exist fails with NOT_FOUND; a provider that has no webhooks, with
   * UNIMPLEMENTED.
   * </pre>
   */
  public static abstract class SandboxServiceImplBase
      implements io.grpc.BindableService, AsyncService {

    @java.lang.Override public final io.grpc.ServerServiceDefinition bindService() {
      return SandboxServiceGrpc.bindService(this);
    }
  }

  /**
   * A stub to allow clients to do asynchronous rpc calls to service SandboxService.
   * <pre>
   * Steers the imitated providers, for tests in any language. Served by `switchboard sandbox` alone.
   * Every request names an account of the sandbox, `demo-connectby` or `demo-connectly`, and works on the imitated
   * provider behind it. An account that does not exist fails with NOT_FOUND; a provider that has no webhooks, with
   * UNIMPLEMENTED.
   * </pre>
   */
  public static final class SandboxServiceStub
      extends io.grpc.stub.AbstractAsyncStub<SandboxServiceStub> {
    private SandboxServiceStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected SandboxServiceStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new SandboxServiceStub(channel, callOptions);
    }

    /**
     * <pre>
     * Lets a customer write a text: the imitated provider sends a signed webhook, once, and the answer to it is told.
     * </pre>
     */
    public void injectMessage(switchboard.sandbox.v1.InjectMessageRequest request,
        io.grpc.stub.StreamObserver<switchboard.sandbox.v1.InjectMessageResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getInjectMessageMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Lets the imitated provider send a webhook of any body, rightly signed, wrongly, or not at all.
     * </pre>
     */
    public void injectWebhook(switchboard.sandbox.v1.InjectWebhookRequest request,
        io.grpc.stub.StreamObserver<switchboard.sandbox.v1.InjectWebhookResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getInjectWebhookMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Makes the imitated provider misbehave. Faults are tried in the order in which they were set.
     * </pre>
     */
    public void setFault(switchboard.sandbox.v1.SetFaultRequest request,
        io.grpc.stub.StreamObserver<switchboard.sandbox.v1.SetFaultResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getSetFaultMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Takes all faults of a provider back.
     * </pre>
     */
    public void clearFaults(switchboard.sandbox.v1.ClearFaultsRequest request,
        io.grpc.stub.StreamObserver<switchboard.sandbox.v1.ClearFaultsResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getClearFaultsMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Lists what reached the imitated provider since it was started.
     * </pre>
     */
    public void listCalls(switchboard.sandbox.v1.ListCallsRequest request,
        io.grpc.stub.StreamObserver<switchboard.sandbox.v1.ListCallsResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getListCallsMethod(), getCallOptions()), request, responseObserver);
    }
  }

  /**
   * A stub to allow clients to do synchronous rpc calls to service SandboxService.
   * <pre>
   * Steers the imitated providers, for tests in any language. Served by `switchboard sandbox` alone.
   * Every request names an account of the sandbox, `demo-connectby` or `demo-connectly`, and works on the imitated
   * provider behind it. An account that does not exist fails with NOT_FOUND; a provider that has no webhooks, with
   * UNIMPLEMENTED.
   * </pre>
   */
  public static final class SandboxServiceBlockingV2Stub
      extends io.grpc.stub.AbstractBlockingStub<SandboxServiceBlockingV2Stub> {
    private SandboxServiceBlockingV2Stub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected SandboxServiceBlockingV2Stub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new SandboxServiceBlockingV2Stub(channel, callOptions);
    }

    /**
     * <pre>
     * Lets a customer write a text: the imitated provider sends a signed webhook, once, and the answer to it is told.
     * </pre>
     */
    public switchboard.sandbox.v1.InjectMessageResponse injectMessage(switchboard.sandbox.v1.InjectMessageRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getInjectMessageMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Lets the imitated provider send a webhook of any body, rightly signed, wrongly, or not at all.
     * </pre>
     */
    public switchboard.sandbox.v1.InjectWebhookResponse injectWebhook(switchboard.sandbox.v1.InjectWebhookRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getInjectWebhookMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Makes the imitated provider misbehave. Faults are tried in the order in which they were set.
     * </pre>
     */
    public switchboard.sandbox.v1.SetFaultResponse setFault(switchboard.sandbox.v1.SetFaultRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getSetFaultMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Takes all faults of a provider back.
     * </pre>
     */
    public switchboard.sandbox.v1.ClearFaultsResponse clearFaults(switchboard.sandbox.v1.ClearFaultsRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getClearFaultsMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Lists what reached the imitated provider since it was started.
     * </pre>
     */
    public switchboard.sandbox.v1.ListCallsResponse listCalls(switchboard.sandbox.v1.ListCallsRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getListCallsMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do limited synchronous rpc calls to service SandboxService.
   * <pre>
   * Steers the imitated providers, for tests in any language. Served by `switchboard sandbox` alone.
   * Every request names an account of the sandbox, `demo-connectby` or `demo-connectly`, and works on the imitated
   * provider behind it. An account that does not exist fails with NOT_FOUND; a provider that has no webhooks, with
   * UNIMPLEMENTED.
   * </pre>
   */
  public static final class SandboxServiceBlockingStub
      extends io.grpc.stub.AbstractBlockingStub<SandboxServiceBlockingStub> {
    private SandboxServiceBlockingStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected SandboxServiceBlockingStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new SandboxServiceBlockingStub(channel, callOptions);
    }

    /**
     * <pre>
     * Lets a customer write a text: the imitated provider sends a signed webhook, once, and the answer to it is told.
     * </pre>
     */
    public switchboard.sandbox.v1.InjectMessageResponse injectMessage(switchboard.sandbox.v1.InjectMessageRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getInjectMessageMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Lets the imitated provider send a webhook of any body, rightly signed, wrongly, or not at all.
     * </pre>
     */
    public switchboard.sandbox.v1.InjectWebhookResponse injectWebhook(switchboard.sandbox.v1.InjectWebhookRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getInjectWebhookMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Makes the imitated provider misbehave. Faults are tried in the order in which they were set.
     * </pre>
     */
    public switchboard.sandbox.v1.SetFaultResponse setFault(switchboard.sandbox.v1.SetFaultRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getSetFaultMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Takes all faults of a provider back.
     * </pre>
     */
    public switchboard.sandbox.v1.ClearFaultsResponse clearFaults(switchboard.sandbox.v1.ClearFaultsRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getClearFaultsMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Lists what reached the imitated provider since it was started.
     * </pre>
     */
    public switchboard.sandbox.v1.ListCallsResponse listCalls(switchboard.sandbox.v1.ListCallsRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getListCallsMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do ListenableFuture-style rpc calls to service SandboxService.
   * <pre>
   * Steers the imitated providers, for tests in any language. Served by `switchboard sandbox` alone.
   * Every request names an account of the sandbox, `demo-connectby` or `demo-connectly`, and works on the imitated
   * provider behind it. An account that does not exist fails with NOT_FOUND; a provider that has no webhooks, with
   * UNIMPLEMENTED.
   * </pre>
   */
  public static final class SandboxServiceFutureStub
      extends io.grpc.stub.AbstractFutureStub<SandboxServiceFutureStub> {
    private SandboxServiceFutureStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected SandboxServiceFutureStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new SandboxServiceFutureStub(channel, callOptions);
    }

    /**
     * <pre>
     * Lets a customer write a text: the imitated provider sends a signed webhook, once, and the answer to it is told.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<switchboard.sandbox.v1.InjectMessageResponse> injectMessage(
        switchboard.sandbox.v1.InjectMessageRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getInjectMessageMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Lets the imitated provider send a webhook of any body, rightly signed, wrongly, or not at all.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<switchboard.sandbox.v1.InjectWebhookResponse> injectWebhook(
        switchboard.sandbox.v1.InjectWebhookRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getInjectWebhookMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Makes the imitated provider misbehave. Faults are tried in the order in which they were set.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<switchboard.sandbox.v1.SetFaultResponse> setFault(
        switchboard.sandbox.v1.SetFaultRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getSetFaultMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Takes all faults of a provider back.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<switchboard.sandbox.v1.ClearFaultsResponse> clearFaults(
        switchboard.sandbox.v1.ClearFaultsRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getClearFaultsMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Lists what reached the imitated provider since it was started.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<switchboard.sandbox.v1.ListCallsResponse> listCalls(
        switchboard.sandbox.v1.ListCallsRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getListCallsMethod(), getCallOptions()), request);
    }
  }

  private static final int METHODID_INJECT_MESSAGE = 0;
  private static final int METHODID_INJECT_WEBHOOK = 1;
  private static final int METHODID_SET_FAULT = 2;
  private static final int METHODID_CLEAR_FAULTS = 3;
  private static final int METHODID_LIST_CALLS = 4;

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
        case METHODID_INJECT_MESSAGE:
          serviceImpl.injectMessage((switchboard.sandbox.v1.InjectMessageRequest) request,
              (io.grpc.stub.StreamObserver<switchboard.sandbox.v1.InjectMessageResponse>) responseObserver);
          break;
        case METHODID_INJECT_WEBHOOK:
          serviceImpl.injectWebhook((switchboard.sandbox.v1.InjectWebhookRequest) request,
              (io.grpc.stub.StreamObserver<switchboard.sandbox.v1.InjectWebhookResponse>) responseObserver);
          break;
        case METHODID_SET_FAULT:
          serviceImpl.setFault((switchboard.sandbox.v1.SetFaultRequest) request,
              (io.grpc.stub.StreamObserver<switchboard.sandbox.v1.SetFaultResponse>) responseObserver);
          break;
        case METHODID_CLEAR_FAULTS:
          serviceImpl.clearFaults((switchboard.sandbox.v1.ClearFaultsRequest) request,
              (io.grpc.stub.StreamObserver<switchboard.sandbox.v1.ClearFaultsResponse>) responseObserver);
          break;
        case METHODID_LIST_CALLS:
          serviceImpl.listCalls((switchboard.sandbox.v1.ListCallsRequest) request,
              (io.grpc.stub.StreamObserver<switchboard.sandbox.v1.ListCallsResponse>) responseObserver);
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
          getInjectMessageMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              switchboard.sandbox.v1.InjectMessageRequest,
              switchboard.sandbox.v1.InjectMessageResponse>(
                service, METHODID_INJECT_MESSAGE)))
        .addMethod(
          getInjectWebhookMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              switchboard.sandbox.v1.InjectWebhookRequest,
              switchboard.sandbox.v1.InjectWebhookResponse>(
                service, METHODID_INJECT_WEBHOOK)))
        .addMethod(
          getSetFaultMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              switchboard.sandbox.v1.SetFaultRequest,
              switchboard.sandbox.v1.SetFaultResponse>(
                service, METHODID_SET_FAULT)))
        .addMethod(
          getClearFaultsMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              switchboard.sandbox.v1.ClearFaultsRequest,
              switchboard.sandbox.v1.ClearFaultsResponse>(
                service, METHODID_CLEAR_FAULTS)))
        .addMethod(
          getListCallsMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              switchboard.sandbox.v1.ListCallsRequest,
              switchboard.sandbox.v1.ListCallsResponse>(
                service, METHODID_LIST_CALLS)))
        .build();
  }

  private static abstract class SandboxServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoFileDescriptorSupplier, io.grpc.protobuf.ProtoServiceDescriptorSupplier {
    SandboxServiceBaseDescriptorSupplier() {}

    @java.lang.Override
    public com.google.protobuf.Descriptors.FileDescriptor getFileDescriptor() {
      return switchboard.sandbox.v1.SandboxServiceOuterClass.getDescriptor();
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.ServiceDescriptor getServiceDescriptor() {
      return getFileDescriptor().findServiceByName("SandboxService");
    }
  }

  private static final class SandboxServiceFileDescriptorSupplier
      extends SandboxServiceBaseDescriptorSupplier {
    SandboxServiceFileDescriptorSupplier() {}
  }

  private static final class SandboxServiceMethodDescriptorSupplier
      extends SandboxServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoMethodDescriptorSupplier {
    private final java.lang.String methodName;

    SandboxServiceMethodDescriptorSupplier(java.lang.String methodName) {
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
      synchronized (SandboxServiceGrpc.class) {
        result = serviceDescriptor;
        if (result == null) {
          serviceDescriptor = result = io.grpc.ServiceDescriptor.newBuilder(SERVICE_NAME)
              .setSchemaDescriptor(new SandboxServiceFileDescriptorSupplier())
              .addMethod(getInjectMessageMethod())
              .addMethod(getInjectWebhookMethod())
              .addMethod(getSetFaultMethod())
              .addMethod(getClearFaultsMethod())
              .addMethod(getListCallsMethod())
              .build();
        }
      }
    }
    return result;
  }
}
