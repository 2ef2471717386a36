package switchboard.v1;

import static io.grpc.MethodDescriptor.generateFullMethodName;

/**
 * <pre>
 * Delivers what happens: what customers write, and what becomes of messages. A stream follows the journal, a list shows
 * a piece of it; both take the same cursors.
 * </pre>
 */
@io.grpc.stub.annotations.GrpcGenerated
public final class EventServiceGrpc {

  private EventServiceGrpc() {}

  public static final java.lang.String SERVICE_NAME = "switchboard.v1.EventService";

  // Static method descriptors that strictly reflect the proto.
  private static volatile io.grpc.MethodDescriptor<switchboard.v1.SubscribeRequest,
      switchboard.v1.SubscribeResponse> getSubscribeMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Subscribe",
      requestType = switchboard.v1.SubscribeRequest.class,
      responseType = switchboard.v1.SubscribeResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
  public static io.grpc.MethodDescriptor<switchboard.v1.SubscribeRequest,
      switchboard.v1.SubscribeResponse> getSubscribeMethod() {
    io.grpc.MethodDescriptor<switchboard.v1.SubscribeRequest, switchboard.v1.SubscribeResponse> getSubscribeMethod;
    if ((getSubscribeMethod = EventServiceGrpc.getSubscribeMethod) == null) {
      synchronized (EventServiceGrpc.class) {
        if ((getSubscribeMethod = EventServiceGrpc.getSubscribeMethod) == null) {
          EventServiceGrpc.getSubscribeMethod = getSubscribeMethod =
              io.grpc.MethodDescriptor.<switchboard.v1.SubscribeRequest, switchboard.v1.SubscribeResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Subscribe"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.SubscribeRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.SubscribeResponse.getDefaultInstance()))
              .setSchemaDescriptor(new EventServiceMethodDescriptorSupplier("Subscribe"))
              .build();
        }
      }
    }
    return getSubscribeMethod;
  }

  private static volatile io.grpc.MethodDescriptor<switchboard.v1.ListEventsRequest,
      switchboard.v1.ListEventsResponse> getListEventsMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "ListEvents",
      requestType = switchboard.v1.ListEventsRequest.class,
      responseType = switchboard.v1.ListEventsResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<switchboard.v1.ListEventsRequest,
      switchboard.v1.ListEventsResponse> getListEventsMethod() {
    io.grpc.MethodDescriptor<switchboard.v1.ListEventsRequest, switchboard.v1.ListEventsResponse> getListEventsMethod;
    if ((getListEventsMethod = EventServiceGrpc.getListEventsMethod) == null) {
      synchronized (EventServiceGrpc.class) {
        if ((getListEventsMethod = EventServiceGrpc.getListEventsMethod) == null) {
          EventServiceGrpc.getListEventsMethod = getListEventsMethod =
              io.grpc.MethodDescriptor.<switchboard.v1.ListEventsRequest, switchboard.v1.ListEventsResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "ListEvents"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.ListEventsRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.ListEventsResponse.getDefaultInstance()))
              .setSchemaDescriptor(new EventServiceMethodDescriptorSupplier("ListEvents"))
              .build();
        }
      }
    }
    return getListEventsMethod;
  }

  /**
   * Creates a new async stub that supports all call types for the service
   */
  public static EventServiceStub newStub(io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<EventServiceStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<EventServiceStub>() {
        @java.lang.Override
        public EventServiceStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new EventServiceStub(channel, callOptions);
        }
      };
    return EventServiceStub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports all types of calls on the service
   */
  public static EventServiceBlockingV2Stub newBlockingV2Stub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<EventServiceBlockingV2Stub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<EventServiceBlockingV2Stub>() {
        @java.lang.Override
        public EventServiceBlockingV2Stub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new EventServiceBlockingV2Stub(channel, callOptions);
        }
      };
    return EventServiceBlockingV2Stub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports unary and streaming output calls on the service
   */
  public static EventServiceBlockingStub newBlockingStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<EventServiceBlockingStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<EventServiceBlockingStub>() {
        @java.lang.Override
        public EventServiceBlockingStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new EventServiceBlockingStub(channel, callOptions);
        }
      };
    return EventServiceBlockingStub.newStub(factory, channel);
  }

  /**
   * Creates a new ListenableFuture-style stub that supports unary calls on the service
   */
  public static EventServiceFutureStub newFutureStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<EventServiceFutureStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<EventServiceFutureStub>() {
        @java.lang.Override
        public EventServiceFutureStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new EventServiceFutureStub(channel, callOptions);
        }
      };
    return EventServiceFutureStub.newStub(factory, channel);
  }

  /**
   * <pre>
   * Delivers what happens: what customers write, and what becomes of messages. A stream follows the journal, a list shows
   * a piece of it; both take the same cursors.
   * </pre>
   */
  public interface AsyncService {

    /**
     * <pre>
     * Streams events in the order of the journal, from a chosen place on, and goes on as they happen.
     * `started` comes first and at once. Every matching event behind the starting place then comes exactly once on this
     * stream, in order, without holes, first out of the journal and then live. An event is sent only when it is on disk.
     * When nothing was sent for `heartbeat_interval`, a heartbeat is; a stream that is silent for two intervals is dead.
     * Keep the cursor of the last event that you have dealt with, or of a later heartbeat. When the stream breaks, open
     * it again with that as `after_cursor`: nothing is lost, and what was on its way comes again. UNAVAILABLE (also after
     * `closing`, when the server shuts down) means exactly that.
     * Other failures: INVALID_ARGUMENT `REQUEST_INVALID` with field paths; INVALID_ARGUMENT `CURSOR_MALFORMED` for a
     * cursor that this journal never gave; OUT_OF_RANGE `CURSOR_EXPIRED` when events behind the place are gone, with
     * `oldest_cursor` in the metadata: at the start, and also in the middle of a stream whose reader was slower than the
     * operator lets events go (`expired_policy` chooses a `gap` instead); OUT_OF_RANGE `CURSOR_LOST` for a cursor that the
     * journal has not come to, with `newest_cursor`; NOT_FOUND `ACCOUNT_NOT_FOUND`.
     * </pre>
     */
    default void subscribe(switchboard.v1.SubscribeRequest request,
        io.grpc.stub.StreamObserver<switchboard.v1.SubscribeResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getSubscribeMethod(), responseObserver);
    }

    /**
     * <pre>
     * Shows a piece of the journal, forward or back from a place.
     * The answer tells of all that happened between `previous_cursor` and `next_cursor`: every matching event in between
     * is in it, in the order of the journal, also when it was asked for backwards. Go on forward with `next_cursor` as
     * `after_cursor`, back with `previous_cursor` as `before_cursor`: pages meet without a hole and without an event twice,
     * also while new ones come in. `Subscribe` takes the same cursors.
     * One call looks through a bounded piece of the journal, and an answer stays below 4 MiB. So a page may hold fewer
     * events than `page_size`, or none, long before the end: go on until `reached_newest` or `reached_oldest` says so.
     * Fails as `Subscribe` does at its start. `CURSOR_EXPIRED` comes for a place of which the events behind it are no
     * longer all there, and, going back, for a place before which nothing is left of what was there; `expired_policy` is
     * for streams alone. To go on after it, give `oldest_cursor` as `after_cursor`.
     * </pre>
     */
    default void listEvents(switchboard.v1.ListEventsRequest request,
        io.grpc.stub.StreamObserver<switchboard.v1.ListEventsResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getListEventsMethod(), responseObserver);
    }
  }

  /**
   * Base class for the server implementation of the service EventService.
   * <pre>
   * Delivers what happens: what customers write, and what becomes of messages. A stream follows the journal, a list shows
   * a piece of it; both take the same cursors.
   * </pre>
   */
  public static abstract class EventServiceImplBase
      implements io.grpc.BindableService, AsyncService {

    @java.lang.Override public final io.grpc.ServerServiceDefinition bindService() {
      return EventServiceGrpc.bindService(this);
    }
  }

  /**
   * A stub to allow clients to do asynchronous rpc calls to service EventService.
   * <pre>
   * Delivers what happens: what customers write, and what becomes of messages. A stream follows the journal, a list shows
   * a piece of it; both take the same cursors.
   * </pre>
   */
  public static final class EventServiceStub
      extends io.grpc.stub.AbstractAsyncStub<EventServiceStub> {
    private EventServiceStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected EventServiceStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new EventServiceStub(channel, callOptions);
    }

    /**
     * <pre>
     * Streams events in the order of the journal, from a chosen place on, and goes on as they happen.
     * `started` comes first and at once. Every matching event behind the starting place then comes exactly once on this
     * stream, in order, without holes, first out of the journal and then live. An event is sent only when it is on disk.
     * When nothing was sent for `heartbeat_interval`, a heartbeat is; a stream that is silent for two intervals is dead.
     * Keep the cursor of the last event that you have dealt with, or of a later heartbeat. When the stream breaks, open
     * it again with that as `after_cursor`: nothing is lost, and what was on its way comes again. UNAVAILABLE (also after
     * `closing`, when the server shuts down) means exactly that.
     * Other failures: INVALID_ARGUMENT `REQUEST_INVALID` with field paths; INVALID_ARGUMENT `CURSOR_MALFORMED` for a
     * cursor that this journal never gave; OUT_OF_RANGE `CURSOR_EXPIRED` when events behind the place are gone, with
     * `oldest_cursor` in the metadata: at the start, and also in the middle of a stream whose reader was slower than the
     * operator lets events go (`expired_policy` chooses a `gap` instead); OUT_OF_RANGE `CURSOR_LOST` for a cursor that the
     * journal has not come to, with `newest_cursor`; NOT_FOUND `ACCOUNT_NOT_FOUND`.
     * </pre>
     */
    public void subscribe(switchboard.v1.SubscribeRequest request,
        io.grpc.stub.StreamObserver<switchboard.v1.SubscribeResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncServerStreamingCall(
          getChannel().newCall(getSubscribeMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Shows a piece of the journal, forward or back from a place.
     * The answer tells of all that happened between `previous_cursor` and `next_cursor`: every matching event in between
     * is in it, in the order of the journal, also when it was asked for backwards. Go on forward with `next_cursor` as
     * `after_cursor`, back with `previous_cursor` as `before_cursor`: pages meet without a hole and without an event twice,
     * also while new ones come in. `Subscribe` takes the same cursors.
     * One call looks through a bounded piece of the journal, and an answer stays below 4 MiB. So a page may hold fewer
     * events than `page_size`, or none, long before the end: go on until `reached_newest` or `reached_oldest` says so.
     * Fails as `Subscribe` does at its start. `CURSOR_EXPIRED` comes for a place of which the events behind it are no
     * longer all there, and, going back, for a place before which nothing is left of what was there; `expired_policy` is
     * for streams alone. To go on after it, give `oldest_cursor` as `after_cursor`.
     * </pre>
     */
    public void listEvents(switchboard.v1.ListEventsRequest request,
        io.grpc.stub.StreamObserver<switchboard.v1.ListEventsResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getListEventsMethod(), getCallOptions()), request, responseObserver);
    }
  }

  /**
   * A stub to allow clients to do synchronous rpc calls to service EventService.
   * <pre>
   * Delivers what happens: what customers write, and what becomes of messages. A stream follows the journal, a list shows
   * a piece of it; both take the same cursors.
   * </pre>
   */
  public static final class EventServiceBlockingV2Stub
      extends io.grpc.stub.AbstractBlockingStub<EventServiceBlockingV2Stub> {
    private EventServiceBlockingV2Stub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected EventServiceBlockingV2Stub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new EventServiceBlockingV2Stub(channel, callOptions);
    }

    /**
     * <pre>
     * Streams events in the order of the journal, from a chosen place on, and goes on as they happen.
     * `started` comes first and at once. Every matching event behind the starting place then comes exactly once on this
     * stream, in order, without holes, first out of the journal and then live. An event is sent only when it is on disk.
     * When nothing was sent for `heartbeat_interval`, a heartbeat is; a stream that is silent for two intervals is dead.
     * Keep the cursor of the last event that you have dealt with, or of a later heartbeat. When the stream breaks, open
     * it again with that as `after_cursor`: nothing is lost, and what was on its way comes again. UNAVAILABLE (also after
     * `closing`, when the server shuts down) means exactly that.
     * Other failures: INVALID_ARGUMENT `REQUEST_INVALID` with field paths; INVALID_ARGUMENT `CURSOR_MALFORMED` for a
     * cursor that this journal never gave; OUT_OF_RANGE `CURSOR_EXPIRED` when events behind the place are gone, with
     * `oldest_cursor` in the metadata: at the start, and also in the middle of a stream whose reader was slower than the
     * operator lets events go (`expired_policy` chooses a `gap` instead); OUT_OF_RANGE `CURSOR_LOST` for a cursor that the
     * journal has not come to, with `newest_cursor`; NOT_FOUND `ACCOUNT_NOT_FOUND`.
     * </pre>
     */
    @io.grpc.ExperimentalApi("https://github.com/grpc/grpc-java/issues/10918")
    public io.grpc.stub.BlockingClientCall<?, switchboard.v1.SubscribeResponse>
        subscribe(switchboard.v1.SubscribeRequest request) {
      return io.grpc.stub.ClientCalls.blockingV2ServerStreamingCall(
          getChannel(), getSubscribeMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Shows a piece of the journal, forward or back from a place.
     * The answer tells of all that happened between `previous_cursor` and `next_cursor`: every matching event in between
     * is in it, in the order of the journal, also when it was asked for backwards. Go on forward with `next_cursor` as
     * `after_cursor`, back with `previous_cursor` as `before_cursor`: pages meet without a hole and without an event twice,
     * also while new ones come in. `Subscribe` takes the same cursors.
     * One call looks through a bounded piece of the journal, and an answer stays below 4 MiB. So a page may hold fewer
     * events than `page_size`, or none, long before the end: go on until `reached_newest` or `reached_oldest` says so.
     * Fails as `Subscribe` does at its start. `CURSOR_EXPIRED` comes for a place of which the events behind it are no
     * longer all there, and, going back, for a place before which nothing is left of what was there; `expired_policy` is
     * for streams alone. To go on after it, give `oldest_cursor` as `after_cursor`.
     * </pre>
     */
    public switchboard.v1.ListEventsResponse listEvents(switchboard.v1.ListEventsRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getListEventsMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do limited synchronous rpc calls to service EventService.
   * <pre>
   * Delivers what happens: what customers write, and what becomes of messages. A stream follows the journal, a list shows
   * a piece of it; both take the same cursors.
   * </pre>
   */
  public static final class EventServiceBlockingStub
      extends io.grpc.stub.AbstractBlockingStub<EventServiceBlockingStub> {
    private EventServiceBlockingStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected EventServiceBlockingStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new EventServiceBlockingStub(channel, callOptions);
    }

    /**
     * <pre>
     * Streams events in the order of the journal, from a chosen place on, and goes on as they happen.
     * `started` comes first and at once. Every matching event behind the starting place then comes exactly once on this
     * stream, in order, without holes, first out of the journal and then live. An event is sent only when it is on disk.
     * When nothing was sent for `heartbeat_interval`, a heartbeat is; a stream that is silent for two intervals is dead.
     * Keep the cursor of the last event that you have dealt with, or of a later heartbeat. When the stream breaks, open
     * it again with that as `after_cursor`: nothing is lost, and what was on its way comes again. UNAVAILABLE (also after
     * `closing`, when the server shuts down) means exactly that.
     * Other failures: INVALID_ARGUMENT `REQUEST_INVALID` with field paths; INVALID_ARGUMENT `CURSOR_MALFORMED` for a
     * cursor that this journal never gave; OUT_OF_RANGE `CURSOR_EXPIRED` when events behind the place are gone, with
     * `oldest_cursor` in the metadata: at the start, and also in the middle of a stream whose reader was slower than the
     * operator lets events go (`expired_policy` chooses a `gap` instead); OUT_OF_RANGE `CURSOR_LOST` for a cursor that the
     * journal has not come to, with `newest_cursor`; NOT_FOUND `ACCOUNT_NOT_FOUND`.
     * </pre>
     */
    public java.util.Iterator<switchboard.v1.SubscribeResponse> subscribe(
        switchboard.v1.SubscribeRequest request) {
      return io.grpc.stub.ClientCalls.blockingServerStreamingCall(
          getChannel(), getSubscribeMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Shows a piece of the journal, forward or back from a place.
     * The answer tells of all that happened between `previous_cursor` and `next_cursor`: every matching event in between
     * is in it, in the order of the journal, also when it was asked for backwards. Go on forward with `next_cursor` as
     * `after_cursor`, back with `previous_cursor` as `before_cursor`: pages meet without a hole and without an event twice,
     * also while new ones come in. `Subscribe` takes the same cursors.
     * One call looks through a bounded piece of the journal, and an answer stays below 4 MiB. So a page may hold fewer
     * events than `page_size`, or none, long before the end: go on until `reached_newest` or `reached_oldest` says so.
     * Fails as `Subscribe` does at its start. `CURSOR_EXPIRED` comes for a place of which the events behind it are no
     * longer all there, and, going back, for a place before which nothing is left of what was there; `expired_policy` is
     * for streams alone. To go on after it, give `oldest_cursor` as `after_cursor`.
     * </pre>
     */
    public switchboard.v1.ListEventsResponse listEvents(switchboard.v1.ListEventsRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getListEventsMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do ListenableFuture-style rpc calls to service EventService.
   * <pre>
   * Delivers what happens: what customers write, and what becomes of messages. A stream follows the journal, a list shows
   * a piece of it; both take the same cursors.
   * </pre>
   */
  public static final class EventServiceFutureStub
      extends io.grpc.stub.AbstractFutureStub<EventServiceFutureStub> {
    private EventServiceFutureStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected EventServiceFutureStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new EventServiceFutureStub(channel, callOptions);
    }

    /**
     * <pre>
     * Shows a piece of the journal, forward or back from a place.
     * The answer tells of all that happened between `previous_cursor` and `next_cursor`: every matching event in between
     * is in it, in the order of the journal, also when it was asked for backwards. Go on forward with `next_cursor` as
     * `after_cursor`, back with `previous_cursor` as `before_cursor`: pages meet without a hole and without an event twice,
     * also while new ones come in. `Subscribe` takes the same cursors.
     * One call looks through a bounded piece of the journal, and an answer stays below 4 MiB. So a page may hold fewer
     * events than `page_size`, or none, long before the end: go on until `reached_newest` or `reached_oldest` says so.
     * Fails as `Subscribe` does at its start. `CURSOR_EXPIRED` comes for a place of which the events behind it are no
     * longer all there, and, going back, for a place before which nothing is left of what was there; `expired_policy` is
     * for streams alone. To go on after it, give `oldest_cursor` as `after_cursor`.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<switchboard.v1.ListEventsResponse> listEvents(
        switchboard.v1.ListEventsRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getListEventsMethod(), getCallOptions()), request);
    }
  }

  private static final int METHODID_SUBSCRIBE = 0;
  private static final int METHODID_LIST_EVENTS = 1;

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
        case METHODID_SUBSCRIBE:
          serviceImpl.subscribe((switchboard.v1.SubscribeRequest) request,
              (io.grpc.stub.StreamObserver<switchboard.v1.SubscribeResponse>) responseObserver);
          break;
        case METHODID_LIST_EVENTS:
          serviceImpl.listEvents((switchboard.v1.ListEventsRequest) request,
              (io.grpc.stub.StreamObserver<switchboard.v1.ListEventsResponse>) responseObserver);
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
          getSubscribeMethod(),
          io.grpc.stub.ServerCalls.asyncServerStreamingCall(
            new MethodHandlers<
              switchboard.v1.SubscribeRequest,
              switchboard.v1.SubscribeResponse>(
                service, METHODID_SUBSCRIBE)))
        .addMethod(
          getListEventsMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              switchboard.v1.ListEventsRequest,
              switchboard.v1.ListEventsResponse>(
                service, METHODID_LIST_EVENTS)))
        .build();
  }

  private static abstract class EventServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoFileDescriptorSupplier, io.grpc.protobuf.ProtoServiceDescriptorSupplier {
    EventServiceBaseDescriptorSupplier() {}

    @java.lang.Override
    public com.google.protobuf.Descriptors.FileDescriptor getFileDescriptor() {
      return switchboard.v1.EventServiceOuterClass.getDescriptor();
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.ServiceDescriptor getServiceDescriptor() {
      return getFileDescriptor().findServiceByName("EventService");
    }
  }

  private static final class EventServiceFileDescriptorSupplier
      extends EventServiceBaseDescriptorSupplier {
    EventServiceFileDescriptorSupplier() {}
  }

  private static final class EventServiceMethodDescriptorSupplier
      extends EventServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoMethodDescriptorSupplier {
    private final java.lang.String methodName;

    EventServiceMethodDescriptorSupplier(java.lang.String methodName) {
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
      synchronized (EventServiceGrpc.class) {
        result = serviceDescriptor;
        if (result == null) {
          serviceDescriptor = result = io.grpc.ServiceDescriptor.newBuilder(SERVICE_NAME)
              .setSchemaDescriptor(new EventServiceFileDescriptorSupplier())
              .addMethod(getSubscribeMethod())
              .addMethod(getListEventsMethod())
              .build();
        }
      }
    }
    return result;
  }
}
