package switchboard.v1;

import static io.grpc.MethodDescriptor.generateFullMethodName;

/**
 * <pre>
 * Reads what customers filled into WhatsApp Flows. ConnectBy.
 * </pre>
 */
@io.grpc.stub.annotations.GrpcGenerated
public final class FlowServiceGrpc {

  private FlowServiceGrpc() {}

  public static final java.lang.String SERVICE_NAME = "switchboard.v1.FlowService";

  // Static method descriptors that strictly reflect the proto.
  private static volatile io.grpc.MethodDescriptor<switchboard.v1.ListFlowResponsesRequest,
      switchboard.v1.ListFlowResponsesResponse> getListFlowResponsesMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "ListFlowResponses",
      requestType = switchboard.v1.ListFlowResponsesRequest.class,
      responseType = switchboard.v1.ListFlowResponsesResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<switchboard.v1.ListFlowResponsesRequest,
      switchboard.v1.ListFlowResponsesResponse> getListFlowResponsesMethod() {
    io.grpc.MethodDescriptor<switchboard.v1.ListFlowResponsesRequest, switchboard.v1.ListFlowResponsesResponse> getListFlowResponsesMethod;
    if ((getListFlowResponsesMethod = FlowServiceGrpc.getListFlowResponsesMethod) == null) {
      synchronized (FlowServiceGrpc.class) {
        if ((getListFlowResponsesMethod = FlowServiceGrpc.getListFlowResponsesMethod) == null) {
          FlowServiceGrpc.getListFlowResponsesMethod = getListFlowResponsesMethod =
              io.grpc.MethodDescriptor.<switchboard.v1.ListFlowResponsesRequest, switchboard.v1.ListFlowResponsesResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "ListFlowResponses"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.ListFlowResponsesRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.ListFlowResponsesResponse.getDefaultInstance()))
              .setSchemaDescriptor(new FlowServiceMethodDescriptorSupplier("ListFlowResponses"))
              .build();
        }
      }
    }
    return getListFlowResponsesMethod;
  }

  /**
   * Creates a new async stub that supports all call types for the service
   */
  public static FlowServiceStub newStub(io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<FlowServiceStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<FlowServiceStub>() {
        @java.lang.Override
        public FlowServiceStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new FlowServiceStub(channel, callOptions);
        }
      };
    return FlowServiceStub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports all types of calls on the service
   */
  public static FlowServiceBlockingV2Stub newBlockingV2Stub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<FlowServiceBlockingV2Stub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<FlowServiceBlockingV2Stub>() {
        @java.lang.Override
        public FlowServiceBlockingV2Stub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new FlowServiceBlockingV2Stub(channel, callOptions);
        }
      };
    return FlowServiceBlockingV2Stub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports unary and streaming output calls on the service
   */
  public static FlowServiceBlockingStub newBlockingStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<FlowServiceBlockingStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<FlowServiceBlockingStub>() {
        @java.lang.Override
        public FlowServiceBlockingStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new FlowServiceBlockingStub(channel, callOptions);
        }
      };
    return FlowServiceBlockingStub.newStub(factory, channel);
  }

  /**
   * Creates a new ListenableFuture-style stub that supports unary calls on the service
   */
  public static FlowServiceFutureStub newFutureStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<FlowServiceFutureStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<FlowServiceFutureStub>() {
        @java.lang.Override
        public FlowServiceFutureStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new FlowServiceFutureStub(channel, callOptions);
        }
      };
    return FlowServiceFutureStub.newStub(factory, channel);
  }

  /**
   * <pre>
   * Reads what customers filled into WhatsApp Flows. ConnectBy.
   * </pre>
   */
  public interface AsyncService {

    /**
     * <pre>
     * Lists answers to flows, a page at a time, in the provider's order and with the provider's page size.
     * Pages are counted by the provider, so answers that arrive between two calls may be seen twice. The provider gives an
     * answer no id: `flow_id`, the sender, `create_time` and the answers together are the best identity there is.
     * UNAVAILABLE `PROVIDER_UNAVAILABLE` may be tried again freely.
     * </pre>
     */
    default void listFlowResponses(switchboard.v1.ListFlowResponsesRequest request,
        io.grpc.stub.StreamObserver<switchboard.v1.ListFlowResponsesResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getListFlowResponsesMethod(), responseObserver);
    }
  }

  /**
   * Base class for the server implementation of the service FlowService.
   * <pre>
   * Reads what customers filled into WhatsApp Flows. ConnectBy.
   * </pre>
   */
  public static abstract class FlowServiceImplBase
      implements io.grpc.BindableService, AsyncService {

    @java.lang.Override public final io.grpc.ServerServiceDefinition bindService() {
      return FlowServiceGrpc.bindService(this);
    }
  }

  /**
   * A stub to allow clients to do asynchronous rpc calls to service FlowService.
   * <pre>
   * Reads what customers filled into WhatsApp Flows. ConnectBy.
   * </pre>
   */
  public static final class FlowServiceStub
      extends io.grpc.stub.AbstractAsyncStub<FlowServiceStub> {
    private FlowServiceStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected FlowServiceStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new FlowServiceStub(channel, callOptions);
    }

    /**
     * <pre>
     * Lists answers to flows, a page at a time, in the provider's order and with the provider's page size.
     * Pages are counted by the provider, so answers that arrive between two calls may be seen twice. The provider gives an
     * answer no id: `flow_id`, the sender, `create_time` and the answers together are the best identity there is.
     * UNAVAILABLE `PROVIDER_UNAVAILABLE` may be tried again freely.
     * </pre>
     */
    public void listFlowResponses(switchboard.v1.ListFlowResponsesRequest request,
        io.grpc.stub.StreamObserver<switchboard.v1.ListFlowResponsesResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getListFlowResponsesMethod(), getCallOptions()), request, responseObserver);
    }
  }

  /**
   * A stub to allow clients to do synchronous rpc calls to service FlowService.
   * <pre>
   * Reads what customers filled into WhatsApp Flows. ConnectBy.
   * </pre>
   */
  public static final class FlowServiceBlockingV2Stub
      extends io.grpc.stub.AbstractBlockingStub<FlowServiceBlockingV2Stub> {
    private FlowServiceBlockingV2Stub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected FlowServiceBlockingV2Stub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new FlowServiceBlockingV2Stub(channel, callOptions);
    }

    /**
     * <pre>
     * Lists answers to flows, a page at a time, in the provider's order and with the provider's page size.
     * Pages are counted by the provider, so answers that arrive between two calls may be seen twice. The provider gives an
     * answer no id: `flow_id`, the sender, `create_time` and the answers together are the best identity there is.
     * UNAVAILABLE `PROVIDER_UNAVAILABLE` may be tried again freely.
     * </pre>
     */
    public switchboard.v1.ListFlowResponsesResponse listFlowResponses(switchboard.v1.ListFlowResponsesRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getListFlowResponsesMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do limited synchronous rpc calls to service FlowService.
   * <pre>
   * Reads what customers filled into WhatsApp Flows. ConnectBy.
   * </pre>
   */
  public static final class FlowServiceBlockingStub
      extends io.grpc.stub.AbstractBlockingStub<FlowServiceBlockingStub> {
    private FlowServiceBlockingStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected FlowServiceBlockingStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new FlowServiceBlockingStub(channel, callOptions);
    }

    /**
     * <pre>
     * Lists answers to flows, a page at a time, in the provider's order and with the provider's page size.
     * Pages are counted by the provider, so answers that arrive between two calls may be seen twice. The provider gives an
     * answer no id: `flow_id`, the sender, `create_time` and the answers together are the best identity there is.
     * UNAVAILABLE `PROVIDER_UNAVAILABLE` may be tried again freely.
     * </pre>
     */
    public switchboard.v1.ListFlowResponsesResponse listFlowResponses(switchboard.v1.ListFlowResponsesRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getListFlowResponsesMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do ListenableFuture-style rpc calls to service FlowService.
   * <pre>
   * Reads what customers filled into WhatsApp Flows. ConnectBy.
   * </pre>
   */
  public static final class FlowServiceFutureStub
      extends io.grpc.stub.AbstractFutureStub<FlowServiceFutureStub> {
    private FlowServiceFutureStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected FlowServiceFutureStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new FlowServiceFutureStub(channel, callOptions);
    }

    /**
     * <pre>
     * Lists answers to flows, a page at a time, in the provider's order and with the provider's page size.
     * Pages are counted by the provider, so answers that arrive between two calls may be seen twice. The provider gives an
     * answer no id: `flow_id`, the sender, `create_time` and the answers together are the best identity there is.
     * UNAVAILABLE `PROVIDER_UNAVAILABLE` may be tried again freely.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<switchboard.v1.ListFlowResponsesResponse> listFlowResponses(
        switchboard.v1.ListFlowResponsesRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getListFlowResponsesMethod(), getCallOptions()), request);
    }
  }

  private static final int METHODID_LIST_FLOW_RESPONSES = 0;

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
        case METHODID_LIST_FLOW_RESPONSES:
          serviceImpl.listFlowResponses((switchboard.v1.ListFlowResponsesRequest) request,
              (io.grpc.stub.StreamObserver<switchboard.v1.ListFlowResponsesResponse>) responseObserver);
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
          getListFlowResponsesMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              switchboard.v1.ListFlowResponsesRequest,
              switchboard.v1.ListFlowResponsesResponse>(
                service, METHODID_LIST_FLOW_RESPONSES)))
        .build();
  }

  private static abstract class FlowServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoFileDescriptorSupplier, io.grpc.protobuf.ProtoServiceDescriptorSupplier {
    FlowServiceBaseDescriptorSupplier() {}

    @java.lang.Override
    public com.google.protobuf.Descriptors.FileDescriptor getFileDescriptor() {
      return switchboard.v1.FlowServiceOuterClass.getDescriptor();
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.ServiceDescriptor getServiceDescriptor() {
      return getFileDescriptor().findServiceByName("FlowService");
    }
  }

  private static final class FlowServiceFileDescriptorSupplier
      extends FlowServiceBaseDescriptorSupplier {
    FlowServiceFileDescriptorSupplier() {}
  }

  private static final class FlowServiceMethodDescriptorSupplier
      extends FlowServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoMethodDescriptorSupplier {
    private final java.lang.String methodName;

    FlowServiceMethodDescriptorSupplier(java.lang.String methodName) {
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
      synchronized (FlowServiceGrpc.class) {
        result = serviceDescriptor;
        if (result == null) {
          serviceDescriptor = result = io.grpc.ServiceDescriptor.newBuilder(SERVICE_NAME)
              .setSchemaDescriptor(new FlowServiceFileDescriptorSupplier())
              .addMethod(getListFlowResponsesMethod())
              .build();
        }
      }
    }
    return result;
  }
}
