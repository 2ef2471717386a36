package switchboard.v1;

import static io.grpc.MethodDescriptor.generateFullMethodName;

/**
 * <pre>
 * Reads an account's message templates and uploads media for them.
 * </pre>
 */
@io.grpc.stub.annotations.GrpcGenerated
public final class TemplateServiceGrpc {

  private TemplateServiceGrpc() {}

  public static final java.lang.String SERVICE_NAME = "switchboard.v1.TemplateService";

  // Static method descriptors that strictly reflect the proto.
  private static volatile io.grpc.MethodDescriptor<switchboard.v1.ListTemplatesRequest,
      switchboard.v1.ListTemplatesResponse> getListTemplatesMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "ListTemplates",
      requestType = switchboard.v1.ListTemplatesRequest.class,
      responseType = switchboard.v1.ListTemplatesResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<switchboard.v1.ListTemplatesRequest,
      switchboard.v1.ListTemplatesResponse> getListTemplatesMethod() {
    io.grpc.MethodDescriptor<switchboard.v1.ListTemplatesRequest, switchboard.v1.ListTemplatesResponse> getListTemplatesMethod;
    if ((getListTemplatesMethod = TemplateServiceGrpc.getListTemplatesMethod) == null) {
      synchronized (TemplateServiceGrpc.class) {
        if ((getListTemplatesMethod = TemplateServiceGrpc.getListTemplatesMethod) == null) {
          TemplateServiceGrpc.getListTemplatesMethod = getListTemplatesMethod =
              io.grpc.MethodDescriptor.<switchboard.v1.ListTemplatesRequest, switchboard.v1.ListTemplatesResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "ListTemplates"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.ListTemplatesRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.ListTemplatesResponse.getDefaultInstance()))
              .setSchemaDescriptor(new TemplateServiceMethodDescriptorSupplier("ListTemplates"))
              .build();
        }
      }
    }
    return getListTemplatesMethod;
  }

  private static volatile io.grpc.MethodDescriptor<switchboard.v1.GetTemplateRequest,
      switchboard.v1.GetTemplateResponse> getGetTemplateMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "GetTemplate",
      requestType = switchboard.v1.GetTemplateRequest.class,
      responseType = switchboard.v1.GetTemplateResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<switchboard.v1.GetTemplateRequest,
      switchboard.v1.GetTemplateResponse> getGetTemplateMethod() {
    io.grpc.MethodDescriptor<switchboard.v1.GetTemplateRequest, switchboard.v1.GetTemplateResponse> getGetTemplateMethod;
    if ((getGetTemplateMethod = TemplateServiceGrpc.getGetTemplateMethod) == null) {
      synchronized (TemplateServiceGrpc.class) {
        if ((getGetTemplateMethod = TemplateServiceGrpc.getGetTemplateMethod) == null) {
          TemplateServiceGrpc.getGetTemplateMethod = getGetTemplateMethod =
              io.grpc.MethodDescriptor.<switchboard.v1.GetTemplateRequest, switchboard.v1.GetTemplateResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "GetTemplate"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.GetTemplateRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.GetTemplateResponse.getDefaultInstance()))
              .setSchemaDescriptor(new TemplateServiceMethodDescriptorSupplier("GetTemplate"))
              .build();
        }
      }
    }
    return getGetTemplateMethod;
  }

  private static volatile io.grpc.MethodDescriptor<switchboard.v1.UploadTemplateMediaRequest,
      switchboard.v1.UploadTemplateMediaResponse> getUploadTemplateMediaMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "UploadTemplateMedia",
      requestType = switchboard.v1.UploadTemplateMediaRequest.class,
      responseType = switchboard.v1.UploadTemplateMediaResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.CLIENT_STREAMING)
  public static io.grpc.MethodDescriptor<switchboard.v1.UploadTemplateMediaRequest,
      switchboard.v1.UploadTemplateMediaResponse> getUploadTemplateMediaMethod() {
    io.grpc.MethodDescriptor<switchboard.v1.UploadTemplateMediaRequest, switchboard.v1.UploadTemplateMediaResponse> getUploadTemplateMediaMethod;
    if ((getUploadTemplateMediaMethod = TemplateServiceGrpc.getUploadTemplateMediaMethod) == null) {
      synchronized (TemplateServiceGrpc.class) {
        if ((getUploadTemplateMediaMethod = TemplateServiceGrpc.getUploadTemplateMediaMethod) == null) {
          TemplateServiceGrpc.getUploadTemplateMediaMethod = getUploadTemplateMediaMethod =
              io.grpc.MethodDescriptor.<switchboard.v1.UploadTemplateMediaRequest, switchboard.v1.UploadTemplateMediaResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.CLIENT_STREAMING)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "UploadTemplateMedia"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.UploadTemplateMediaRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.UploadTemplateMediaResponse.getDefaultInstance()))
              .setSchemaDescriptor(new TemplateServiceMethodDescriptorSupplier("UploadTemplateMedia"))
              .build();
        }
      }
    }
    return getUploadTemplateMediaMethod;
  }

  /**
   * Creates a new async stub that supports all call types for the service
   */
  public static TemplateServiceStub newStub(io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<TemplateServiceStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<TemplateServiceStub>() {
        @java.lang.Override
        public TemplateServiceStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new TemplateServiceStub(channel, callOptions);
        }
      };
    return TemplateServiceStub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports all types of calls on the service
   */
  public static TemplateServiceBlockingV2Stub newBlockingV2Stub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<TemplateServiceBlockingV2Stub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<TemplateServiceBlockingV2Stub>() {
        @java.lang.Override
        public TemplateServiceBlockingV2Stub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new TemplateServiceBlockingV2Stub(channel, callOptions);
        }
      };
    return TemplateServiceBlockingV2Stub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports unary and streaming output calls on the service
   */
  public static TemplateServiceBlockingStub newBlockingStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<TemplateServiceBlockingStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<TemplateServiceBlockingStub>() {
        @java.lang.Override
        public TemplateServiceBlockingStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new TemplateServiceBlockingStub(channel, callOptions);
        }
      };
    return TemplateServiceBlockingStub.newStub(factory, channel);
  }

  /**
   * Creates a new ListenableFuture-style stub that supports unary calls on the service
   */
  public static TemplateServiceFutureStub newFutureStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<TemplateServiceFutureStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<TemplateServiceFutureStub>() {
        @java.lang.Override
        public TemplateServiceFutureStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new TemplateServiceFutureStub(channel, callOptions);
        }
      };
    return TemplateServiceFutureStub.newStub(factory, channel);
  }

  /**
   * <pre>
   * Reads an account's message templates and uploads media for them.
   * </pre>
   */
  public interface AsyncService {

    /**
     * <pre>
     * Lists templates, one item per name and language, in the provider's order. ConnectBy gives them page by page;
     * Connectly all at once.
     * UNAVAILABLE `PROVIDER_UNAVAILABLE` may be tried again freely.
     * </pre>
     */
    default void listTemplates(switchboard.v1.ListTemplatesRequest request,
        io.grpc.stub.StreamObserver<switchboard.v1.ListTemplatesResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getListTemplatesMethod(), responseObserver);
    }

    /**
     * <pre>
     * Gets one template, by reading the provider's list until it is found.
     * Fails with NOT_FOUND `TEMPLATE_NOT_FOUND` when there is none of this name in this language.
     * </pre>
     */
    default void getTemplate(switchboard.v1.GetTemplateRequest request,
        io.grpc.stub.StreamObserver<switchboard.v1.GetTemplateResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getGetTemplateMethod(), responseObserver);
    }

    /**
     * <pre>
     * Uploads an image, video or document, to be named by its URL in a template's header. ConnectBy.
     * The first message carries the header, and may carry the whole file. The file is checked before anything goes to the
     * provider: its kind, told from its first bytes, and its size (`Limits`). A stream that ends before the caller has
     * closed it leaves nothing at the provider. Files and their names are those of `MessageService.SendMedia`, and fail
     * like them before anything goes to the provider.
     * UNAVAILABLE only when nothing reached the provider; FAILED_PRECONDITION `WRITE_OUTCOME_UNKNOWN` when nobody can tell.
     * </pre>
     */
    default io.grpc.stub.StreamObserver<switchboard.v1.UploadTemplateMediaRequest> uploadTemplateMedia(
        io.grpc.stub.StreamObserver<switchboard.v1.UploadTemplateMediaResponse> responseObserver) {
      return io.grpc.stub.ServerCalls.asyncUnimplementedStreamingCall(getUploadTemplateMediaMethod(), responseObserver);
    }
  }

  /**
   * Base class for the server implementation of the service TemplateService.
   * <pre>
   * Reads an account's message templates and uploads media for them.
   * </pre>
   */
  public static abstract class TemplateServiceImplBase
      implements io.grpc.BindableService, AsyncService {

    @java.lang.Override public final io.grpc.ServerServiceDefinition bindService() {
      return TemplateServiceGrpc.bindService(this);
    }
  }

  /**
   * A stub to allow clients to do asynchronous rpc calls to service TemplateService.
   * <pre>
   * Reads an account's message templates and uploads media for them.
   * </pre>
   */
  public static final class TemplateServiceStub
      extends io.grpc.stub.AbstractAsyncStub<TemplateServiceStub> {
    private TemplateServiceStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected TemplateServiceStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new TemplateServiceStub(channel, callOptions);
    }

    /**
     * <pre>
     * Lists templates, one item per name and language, in the provider's order. ConnectBy gives them page by page;
     * Connectly all at once.
     * UNAVAILABLE `PROVIDER_UNAVAILABLE` may be tried again freely.
     * </pre>
     */
    public void listTemplates(switchboard.v1.ListTemplatesRequest request,
        io.grpc.stub.StreamObserver<switchboard.v1.ListTemplatesResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getListTemplatesMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Gets one template, by reading the provider's list until it is found.
     * Fails with NOT_FOUND `TEMPLATE_NOT_FOUND` when there is none of this name in this language.
     * </pre>
     */
    public void getTemplate(switchboard.v1.GetTemplateRequest request,
        io.grpc.stub.StreamObserver<switchboard.v1.GetTemplateResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getGetTemplateMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Uploads an image, video or document, to be named by its URL in a template's header. ConnectBy.
     * The first message carries the header, and may carry the whole file. The file is checked before anything goes to the
     * provider: its kind, told from its first bytes, and its size (`Limits`). A stream that ends before the caller has
     * closed it leaves nothing at the provider. Files and their names are those of `MessageService.SendMedia`, and fail
     * like them before anything goes to the provider.
     * UNAVAILABLE only when nothing reached the provider; FAILED_PRECONDITION `WRITE_OUTCOME_UNKNOWN` when nobody can tell.
     * </pre>
     */
    public io.grpc.stub.StreamObserver<switchboard.v1.UploadTemplateMediaRequest> uploadTemplateMedia(
        io.grpc.stub.StreamObserver<switchboard.v1.UploadTemplateMediaResponse> responseObserver) {
      return io.grpc.stub.ClientCalls.asyncClientStreamingCall(
          getChannel().newCall(getUploadTemplateMediaMethod(), getCallOptions()), responseObserver);
    }
  }

  /**
   * A stub to allow clients to do synchronous rpc calls to service TemplateService.
   * <pre>
   * Reads an account's message templates and uploads media for them.
   * </pre>
   */
  public static final class TemplateServiceBlockingV2Stub
      extends io.grpc.stub.AbstractBlockingStub<TemplateServiceBlockingV2Stub> {
    private TemplateServiceBlockingV2Stub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected TemplateServiceBlockingV2Stub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new TemplateServiceBlockingV2Stub(channel, callOptions);
    }

    /**
     * <pre>
     * Lists templates, one item per name and language, in the provider's order. ConnectBy gives them page by page;
     * Connectly all at once.
     * UNAVAILABLE `PROVIDER_UNAVAILABLE` may be tried again freely.
     * </pre>
     */
    public switchboard.v1.ListTemplatesResponse listTemplates(switchboard.v1.ListTemplatesRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getListTemplatesMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Gets one template, by reading the provider's list until it is found.
     * Fails with NOT_FOUND `TEMPLATE_NOT_FOUND` when there is none of this name in this language.
     * </pre>
     */
    public switchboard.v1.GetTemplateResponse getTemplate(switchboard.v1.GetTemplateRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getGetTemplateMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Uploads an image, video or document, to be named by its URL in a template's header. ConnectBy.
     * The first message carries the header, and may carry the whole file. The file is checked before anything goes to the
     * provider: its kind, told from its first bytes, and its size (`Limits`). A stream that ends before the caller has
     * closed it leaves nothing at the provider. Files and their names are those of `MessageService.SendMedia`, and fail
     * like them before anything goes to the provider.
     * UNAVAILABLE only when nothing reached the provider; FAILED_PRECONDITION `WRITE_OUTCOME_UNKNOWN` when nobody can tell.
     * </pre>
     */
    @io.grpc.ExperimentalApi("https://github.com/grpc/grpc-java/issues/10918")
    public io.grpc.stub.BlockingClientCall<switchboard.v1.UploadTemplateMediaRequest, switchboard.v1.UploadTemplateMediaResponse>
        uploadTemplateMedia() {
      return io.grpc.stub.ClientCalls.blockingClientStreamingCall(
          getChannel(), getUploadTemplateMediaMethod(), getCallOptions());
    }
  }

  /**
   * A stub to allow clients to do limited synchronous rpc calls to service TemplateService.
   * <pre>
   * Reads an account's message templates and uploads media for them.
   * </pre>
   */
  public static final class TemplateServiceBlockingStub
      extends io.grpc.stub.AbstractBlockingStub<TemplateServiceBlockingStub> {
    private TemplateServiceBlockingStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected TemplateServiceBlockingStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new TemplateServiceBlockingStub(channel, callOptions);
    }

    /**
     * <pre>
     * Lists templates, one item per name and language, in the provider's order. ConnectBy gives them page by page;
     * Connectly all at once.
     * UNAVAILABLE `PROVIDER_UNAVAILABLE` may be tried again freely.
     * </pre>
     */
    public switchboard.v1.ListTemplatesResponse listTemplates(switchboard.v1.ListTemplatesRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getListTemplatesMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Gets one template, by reading the provider's list until it is found.
     * Fails with NOT_FOUND `TEMPLATE_NOT_FOUND` when there is none of this name in this language.
     * </pre>
     */
    public switchboard.v1.GetTemplateResponse getTemplate(switchboard.v1.GetTemplateRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getGetTemplateMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do ListenableFuture-style rpc calls to service TemplateService.
   * <pre>
   * Reads an account's message templates and uploads media for them.
   * </pre>
   */
  public static final class TemplateServiceFutureStub
      extends io.grpc.stub.AbstractFutureStub<TemplateServiceFutureStub> {
    private TemplateServiceFutureStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected TemplateServiceFutureStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new TemplateServiceFutureStub(channel, callOptions);
    }

    /**
     * <pre>
     * Lists templates, one item per name and language, in the provider's order. ConnectBy gives them page by page;
     * Connectly all at once.
     * UNAVAILABLE `PROVIDER_UNAVAILABLE` may be tried again freely.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<switchboard.v1.ListTemplatesResponse> listTemplates(
        switchboard.v1.ListTemplatesRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getListTemplatesMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Gets one template, by reading the provider's list until it is found.
     * Fails with NOT_FOUND `TEMPLATE_NOT_FOUND` when there is none of this name in this language.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<switchboard.v1.GetTemplateResponse> getTemplate(
        switchboard.v1.GetTemplateRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getGetTemplateMethod(), getCallOptions()), request);
    }
  }

  private static final int METHODID_LIST_TEMPLATES = 0;
  private static final int METHODID_GET_TEMPLATE = 1;
  private static final int METHODID_UPLOAD_TEMPLATE_MEDIA = 2;

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
        case METHODID_LIST_TEMPLATES:
          serviceImpl.listTemplates((switchboard.v1.ListTemplatesRequest) request,
              (io.grpc.stub.StreamObserver<switchboard.v1.ListTemplatesResponse>) responseObserver);
          break;
        case METHODID_GET_TEMPLATE:
          serviceImpl.getTemplate((switchboard.v1.GetTemplateRequest) request,
              (io.grpc.stub.StreamObserver<switchboard.v1.GetTemplateResponse>) responseObserver);
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
        case METHODID_UPLOAD_TEMPLATE_MEDIA:
          return (io.grpc.stub.StreamObserver<Req>) serviceImpl.uploadTemplateMedia(
              (io.grpc.stub.StreamObserver<switchboard.v1.UploadTemplateMediaResponse>) responseObserver);
        default:
          throw new AssertionError();
      }
    }
  }

  public static final io.grpc.ServerServiceDefinition bindService(AsyncService service) {
    return io.grpc.ServerServiceDefinition.builder(getServiceDescriptor())
        .addMethod(
          getListTemplatesMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              switchboard.v1.ListTemplatesRequest,
              switchboard.v1.ListTemplatesResponse>(
                service, METHODID_LIST_TEMPLATES)))
        .addMethod(
          getGetTemplateMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              switchboard.v1.GetTemplateRequest,
              switchboard.v1.GetTemplateResponse>(
                service, METHODID_GET_TEMPLATE)))
        .addMethod(
          getUploadTemplateMediaMethod(),
          io.grpc.stub.ServerCalls.asyncClientStreamingCall(
            new MethodHandlers<
              switchboard.v1.UploadTemplateMediaRequest,
              switchboard.v1.UploadTemplateMediaResponse>(
                service, METHODID_UPLOAD_TEMPLATE_MEDIA)))
        .build();
  }

  private static abstract class TemplateServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoFileDescriptorSupplier, io.grpc.protobuf.ProtoServiceDescriptorSupplier {
    TemplateServiceBaseDescriptorSupplier() {}

    @java.lang.Override
    public com.google.protobuf.Descriptors.FileDescriptor getFileDescriptor() {
      return switchboard.v1.TemplateServiceOuterClass.getDescriptor();
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.ServiceDescriptor getServiceDescriptor() {
      return getFileDescriptor().findServiceByName("TemplateService");
    }
  }

  private static final class TemplateServiceFileDescriptorSupplier
      extends TemplateServiceBaseDescriptorSupplier {
    TemplateServiceFileDescriptorSupplier() {}
  }

  private static final class TemplateServiceMethodDescriptorSupplier
      extends TemplateServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoMethodDescriptorSupplier {
    private final java.lang.String methodName;

    TemplateServiceMethodDescriptorSupplier(java.lang.String methodName) {
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
      synchronized (TemplateServiceGrpc.class) {
        result = serviceDescriptor;
        if (result == null) {
          serviceDescriptor = result = io.grpc.ServiceDescriptor.newBuilder(SERVICE_NAME)
              .setSchemaDescriptor(new TemplateServiceFileDescriptorSupplier())
              .addMethod(getListTemplatesMethod())
              .addMethod(getGetTemplateMethod())
              .addMethod(getUploadTemplateMediaMethod())
              .build();
        }
      }
    }
    return result;
  }
}
