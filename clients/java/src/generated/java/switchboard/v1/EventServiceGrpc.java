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

  private static volatile io.grpc.MethodDescriptor<switchboard.v1.CreateSubscriptionRequest,
      switchboard.v1.CreateSubscriptionResponse> getCreateSubscriptionMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "CreateSubscription",
      requestType = switchboard.v1.CreateSubscriptionRequest.class,
      responseType = switchboard.v1.CreateSubscriptionResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<switchboard.v1.CreateSubscriptionRequest,
      switchboard.v1.CreateSubscriptionResponse> getCreateSubscriptionMethod() {
    io.grpc.MethodDescriptor<switchboard.v1.CreateSubscriptionRequest, switchboard.v1.CreateSubscriptionResponse> getCreateSubscriptionMethod;
    if ((getCreateSubscriptionMethod = EventServiceGrpc.getCreateSubscriptionMethod) == null) {
      synchronized (EventServiceGrpc.class) {
        if ((getCreateSubscriptionMethod = EventServiceGrpc.getCreateSubscriptionMethod) == null) {
          EventServiceGrpc.getCreateSubscriptionMethod = getCreateSubscriptionMethod =
              io.grpc.MethodDescriptor.<switchboard.v1.CreateSubscriptionRequest, switchboard.v1.CreateSubscriptionResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "CreateSubscription"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.CreateSubscriptionRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.CreateSubscriptionResponse.getDefaultInstance()))
              .setSchemaDescriptor(new EventServiceMethodDescriptorSupplier("CreateSubscription"))
              .build();
        }
      }
    }
    return getCreateSubscriptionMethod;
  }

  private static volatile io.grpc.MethodDescriptor<switchboard.v1.GetSubscriptionRequest,
      switchboard.v1.GetSubscriptionResponse> getGetSubscriptionMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "GetSubscription",
      requestType = switchboard.v1.GetSubscriptionRequest.class,
      responseType = switchboard.v1.GetSubscriptionResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<switchboard.v1.GetSubscriptionRequest,
      switchboard.v1.GetSubscriptionResponse> getGetSubscriptionMethod() {
    io.grpc.MethodDescriptor<switchboard.v1.GetSubscriptionRequest, switchboard.v1.GetSubscriptionResponse> getGetSubscriptionMethod;
    if ((getGetSubscriptionMethod = EventServiceGrpc.getGetSubscriptionMethod) == null) {
      synchronized (EventServiceGrpc.class) {
        if ((getGetSubscriptionMethod = EventServiceGrpc.getGetSubscriptionMethod) == null) {
          EventServiceGrpc.getGetSubscriptionMethod = getGetSubscriptionMethod =
              io.grpc.MethodDescriptor.<switchboard.v1.GetSubscriptionRequest, switchboard.v1.GetSubscriptionResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "GetSubscription"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.GetSubscriptionRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.GetSubscriptionResponse.getDefaultInstance()))
              .setSchemaDescriptor(new EventServiceMethodDescriptorSupplier("GetSubscription"))
              .build();
        }
      }
    }
    return getGetSubscriptionMethod;
  }

  private static volatile io.grpc.MethodDescriptor<switchboard.v1.ListSubscriptionsRequest,
      switchboard.v1.ListSubscriptionsResponse> getListSubscriptionsMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "ListSubscriptions",
      requestType = switchboard.v1.ListSubscriptionsRequest.class,
      responseType = switchboard.v1.ListSubscriptionsResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<switchboard.v1.ListSubscriptionsRequest,
      switchboard.v1.ListSubscriptionsResponse> getListSubscriptionsMethod() {
    io.grpc.MethodDescriptor<switchboard.v1.ListSubscriptionsRequest, switchboard.v1.ListSubscriptionsResponse> getListSubscriptionsMethod;
    if ((getListSubscriptionsMethod = EventServiceGrpc.getListSubscriptionsMethod) == null) {
      synchronized (EventServiceGrpc.class) {
        if ((getListSubscriptionsMethod = EventServiceGrpc.getListSubscriptionsMethod) == null) {
          EventServiceGrpc.getListSubscriptionsMethod = getListSubscriptionsMethod =
              io.grpc.MethodDescriptor.<switchboard.v1.ListSubscriptionsRequest, switchboard.v1.ListSubscriptionsResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "ListSubscriptions"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.ListSubscriptionsRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.ListSubscriptionsResponse.getDefaultInstance()))
              .setSchemaDescriptor(new EventServiceMethodDescriptorSupplier("ListSubscriptions"))
              .build();
        }
      }
    }
    return getListSubscriptionsMethod;
  }

  private static volatile io.grpc.MethodDescriptor<switchboard.v1.UpdateSubscriptionRequest,
      switchboard.v1.UpdateSubscriptionResponse> getUpdateSubscriptionMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "UpdateSubscription",
      requestType = switchboard.v1.UpdateSubscriptionRequest.class,
      responseType = switchboard.v1.UpdateSubscriptionResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<switchboard.v1.UpdateSubscriptionRequest,
      switchboard.v1.UpdateSubscriptionResponse> getUpdateSubscriptionMethod() {
    io.grpc.MethodDescriptor<switchboard.v1.UpdateSubscriptionRequest, switchboard.v1.UpdateSubscriptionResponse> getUpdateSubscriptionMethod;
    if ((getUpdateSubscriptionMethod = EventServiceGrpc.getUpdateSubscriptionMethod) == null) {
      synchronized (EventServiceGrpc.class) {
        if ((getUpdateSubscriptionMethod = EventServiceGrpc.getUpdateSubscriptionMethod) == null) {
          EventServiceGrpc.getUpdateSubscriptionMethod = getUpdateSubscriptionMethod =
              io.grpc.MethodDescriptor.<switchboard.v1.UpdateSubscriptionRequest, switchboard.v1.UpdateSubscriptionResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "UpdateSubscription"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.UpdateSubscriptionRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.UpdateSubscriptionResponse.getDefaultInstance()))
              .setSchemaDescriptor(new EventServiceMethodDescriptorSupplier("UpdateSubscription"))
              .build();
        }
      }
    }
    return getUpdateSubscriptionMethod;
  }

  private static volatile io.grpc.MethodDescriptor<switchboard.v1.SeekSubscriptionRequest,
      switchboard.v1.SeekSubscriptionResponse> getSeekSubscriptionMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "SeekSubscription",
      requestType = switchboard.v1.SeekSubscriptionRequest.class,
      responseType = switchboard.v1.SeekSubscriptionResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<switchboard.v1.SeekSubscriptionRequest,
      switchboard.v1.SeekSubscriptionResponse> getSeekSubscriptionMethod() {
    io.grpc.MethodDescriptor<switchboard.v1.SeekSubscriptionRequest, switchboard.v1.SeekSubscriptionResponse> getSeekSubscriptionMethod;
    if ((getSeekSubscriptionMethod = EventServiceGrpc.getSeekSubscriptionMethod) == null) {
      synchronized (EventServiceGrpc.class) {
        if ((getSeekSubscriptionMethod = EventServiceGrpc.getSeekSubscriptionMethod) == null) {
          EventServiceGrpc.getSeekSubscriptionMethod = getSeekSubscriptionMethod =
              io.grpc.MethodDescriptor.<switchboard.v1.SeekSubscriptionRequest, switchboard.v1.SeekSubscriptionResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "SeekSubscription"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.SeekSubscriptionRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.SeekSubscriptionResponse.getDefaultInstance()))
              .setSchemaDescriptor(new EventServiceMethodDescriptorSupplier("SeekSubscription"))
              .build();
        }
      }
    }
    return getSeekSubscriptionMethod;
  }

  private static volatile io.grpc.MethodDescriptor<switchboard.v1.DeleteSubscriptionRequest,
      switchboard.v1.DeleteSubscriptionResponse> getDeleteSubscriptionMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "DeleteSubscription",
      requestType = switchboard.v1.DeleteSubscriptionRequest.class,
      responseType = switchboard.v1.DeleteSubscriptionResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<switchboard.v1.DeleteSubscriptionRequest,
      switchboard.v1.DeleteSubscriptionResponse> getDeleteSubscriptionMethod() {
    io.grpc.MethodDescriptor<switchboard.v1.DeleteSubscriptionRequest, switchboard.v1.DeleteSubscriptionResponse> getDeleteSubscriptionMethod;
    if ((getDeleteSubscriptionMethod = EventServiceGrpc.getDeleteSubscriptionMethod) == null) {
      synchronized (EventServiceGrpc.class) {
        if ((getDeleteSubscriptionMethod = EventServiceGrpc.getDeleteSubscriptionMethod) == null) {
          EventServiceGrpc.getDeleteSubscriptionMethod = getDeleteSubscriptionMethod =
              io.grpc.MethodDescriptor.<switchboard.v1.DeleteSubscriptionRequest, switchboard.v1.DeleteSubscriptionResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "DeleteSubscription"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.DeleteSubscriptionRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.DeleteSubscriptionResponse.getDefaultInstance()))
              .setSchemaDescriptor(new EventServiceMethodDescriptorSupplier("DeleteSubscription"))
              .build();
        }
      }
    }
    return getDeleteSubscriptionMethod;
  }

  private static volatile io.grpc.MethodDescriptor<switchboard.v1.AcknowledgeRequest,
      switchboard.v1.AcknowledgeResponse> getAcknowledgeMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Acknowledge",
      requestType = switchboard.v1.AcknowledgeRequest.class,
      responseType = switchboard.v1.AcknowledgeResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<switchboard.v1.AcknowledgeRequest,
      switchboard.v1.AcknowledgeResponse> getAcknowledgeMethod() {
    io.grpc.MethodDescriptor<switchboard.v1.AcknowledgeRequest, switchboard.v1.AcknowledgeResponse> getAcknowledgeMethod;
    if ((getAcknowledgeMethod = EventServiceGrpc.getAcknowledgeMethod) == null) {
      synchronized (EventServiceGrpc.class) {
        if ((getAcknowledgeMethod = EventServiceGrpc.getAcknowledgeMethod) == null) {
          EventServiceGrpc.getAcknowledgeMethod = getAcknowledgeMethod =
              io.grpc.MethodDescriptor.<switchboard.v1.AcknowledgeRequest, switchboard.v1.AcknowledgeResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Acknowledge"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.AcknowledgeRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.AcknowledgeResponse.getDefaultInstance()))
              .setSchemaDescriptor(new EventServiceMethodDescriptorSupplier("Acknowledge"))
              .build();
        }
      }
    }
    return getAcknowledgeMethod;
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
     * A named subscription keeps the place for you: give its id as `subscription`, and `Acknowledge` what you have dealt
     * with. The stream starts behind the place that is acknowledged when it is opened, and is not held up by what is not
     * acknowledged: within one stream nothing comes twice. Every stream of a subscription gets every event of it: two
     * streams share no work.
     * Other failures: INVALID_ARGUMENT `REQUEST_INVALID` with field paths; INVALID_ARGUMENT `CURSOR_MALFORMED` for a
     * cursor that this journal never gave; OUT_OF_RANGE `CURSOR_EXPIRED` when events behind the place are gone, with
     * `oldest_cursor` in the metadata: at the start, and also in the middle of a stream whose reader was slower than the
     * operator lets events go (`expired_policy` chooses a `gap` instead); OUT_OF_RANGE `CURSOR_LOST` for a cursor that the
     * journal has not come to, with `newest_cursor`; NOT_FOUND `ACCOUNT_NOT_FOUND` or `SUBSCRIPTION_NOT_FOUND`; UNAVAILABLE
     * `SUBSCRIPTION_CHANGED` after `closing`, when the subscription was changed: open the stream again.
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
     * One call looks through a bounded piece of the journal, and an answer stays below 4 MiB unless it is one event that
     * is larger. So a page may hold fewer events than `page_size`, or none, long before the end: go on until
     * `reached_newest` or `reached_oldest` says so.
     * Fails as `Subscribe` does at its start. `CURSOR_EXPIRED` comes, forward and back, for a place of which the events
     * behind it are no longer all there; `expired_policy` is for streams alone. To go on after it, give `oldest_cursor` as
     * `after_cursor`.
     * </pre>
     */
    default void listEvents(switchboard.v1.ListEventsRequest request,
        io.grpc.stub.StreamObserver<switchboard.v1.ListEventsResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getListEventsMethod(), responseObserver);
    }

    /**
     * <pre>
     * Makes a subscription: a named place in the journal that the server keeps, with a filter. From then on, events that
     * it has not acknowledged are kept for longer than others: up to the operator's `journal.subscription_retention`, and
     * as long as all events take no more than `journal.retention_bytes`.
     * Fails with ALREADY_EXISTS `SUBSCRIPTION_EXISTS` when there is one of that id, whatever its filter, and nothing is
     * changed: a service that makes its subscription at every start takes that for success. That comes first, also when
     * the place that is named is gone by now. There are at most 1,000:
     * RESOURCE_EXHAUSTED `SUBSCRIPTIONS_EXHAUSTED`. Places and filters fail as in `Subscribe` without an `expired_policy`.
     * </pre>
     */
    default void createSubscription(switchboard.v1.CreateSubscriptionRequest request,
        io.grpc.stub.StreamObserver<switchboard.v1.CreateSubscriptionResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getCreateSubscriptionMethod(), responseObserver);
    }

    /**
     * <pre>
     * Gets a subscription: where it stands and how far it is behind.
     * Fails with NOT_FOUND `SUBSCRIPTION_NOT_FOUND`.
     * </pre>
     */
    default void getSubscription(switchboard.v1.GetSubscriptionRequest request,
        io.grpc.stub.StreamObserver<switchboard.v1.GetSubscriptionResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getGetSubscriptionMethod(), responseObserver);
    }

    /**
     * <pre>
     * Lists the subscriptions, in the order of their ids.
     * </pre>
     */
    default void listSubscriptions(switchboard.v1.ListSubscriptionsRequest request,
        io.grpc.stub.StreamObserver<switchboard.v1.ListSubscriptionsResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getListSubscriptionsMethod(), responseObserver);
    }

    /**
     * <pre>
     * Gives a subscription another filter. Its place stays: of the events behind it, those that match the new filter come.
     * Those that the old filter passed over were not held for it, and may be gone: then the place has moved on over them.
     * Its open streams end with `closing` and UNAVAILABLE, and start with the new filter when they are opened again. Once
     * the change is answered, no further event is put on them; what was on its way by then may still come before
     * `closing`. Whoever acknowledges that with the stream's `generation` is refused, so that it cannot undo the change.
     * Fails with NOT_FOUND `SUBSCRIPTION_NOT_FOUND`; filters fail as in `Subscribe`.
     * </pre>
     */
    default void updateSubscription(switchboard.v1.UpdateSubscriptionRequest request,
        io.grpc.stub.StreamObserver<switchboard.v1.UpdateSubscriptionResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getUpdateSubscriptionMethod(), responseObserver);
    }

    /**
     * <pre>
     * Moves a subscription to another place, forward or back. Its open streams end as `UpdateSubscription` says, and start
     * at the new place when they are opened again.
     * Fails with NOT_FOUND `SUBSCRIPTION_NOT_FOUND`; places fail as in `Subscribe` without an `expired_policy`.
     * </pre>
     */
    default void seekSubscription(switchboard.v1.SeekSubscriptionRequest request,
        io.grpc.stub.StreamObserver<switchboard.v1.SeekSubscriptionResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getSeekSubscriptionMethod(), responseObserver);
    }

    /**
     * <pre>
     * Deletes a subscription, and holds nothing for it any longer. Its open streams end with `closing` and NOT_FOUND, as
     * promptly as `UpdateSubscription` says.
     * One that is made anew with the same id is another one, of another generation: what was on its way to the old one is
     * not acknowledged to it by mistake.
     * Fails with NOT_FOUND `SUBSCRIPTION_NOT_FOUND`, also the second time.
     * </pre>
     */
    default void deleteSubscription(switchboard.v1.DeleteSubscriptionRequest request,
        io.grpc.stub.StreamObserver<switchboard.v1.DeleteSubscriptionResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getDeleteSubscriptionMethod(), responseObserver);
    }

    /**
     * <pre>
     * Says that all events up to a place are dealt with: a stream of the subscription starts behind it from then on.
     * It is on disk when it is answered, and never goes back: a place before the one that stands changes nothing, and the
     * answer says which one stands. So it may be repeated freely, and once for many events is enough. Acknowledge the
     * cursors of heartbeats too: where little matches the filter, they are what keeps the subscription's place near.
     * Any cursor of the journal will do, also one that no stream of the subscription has sent: a list's, say. Open streams
     * go on as they are.
     * Fails with NOT_FOUND `SUBSCRIPTION_NOT_FOUND`; FAILED_PRECONDITION `SUBSCRIPTION_GENERATION_STALE` when `generation`
     * was given and the subscription was changed since: events of the stream that this is about may come again;
     * INVALID_ARGUMENT `CURSOR_MALFORMED`; OUT_OF_RANGE `CURSOR_LOST`.
     * </pre>
     */
    default void acknowledge(switchboard.v1.AcknowledgeRequest request,
        io.grpc.stub.StreamObserver<switchboard.v1.AcknowledgeResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getAcknowledgeMethod(), responseObserver);
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
     * A named subscription keeps the place for you: give its id as `subscription`, and `Acknowledge` what you have dealt
     * with. The stream starts behind the place that is acknowledged when it is opened, and is not held up by what is not
     * acknowledged: within one stream nothing comes twice. Every stream of a subscription gets every event of it: two
     * streams share no work.
     * Other failures: INVALID_ARGUMENT `REQUEST_INVALID` with field paths; INVALID_ARGUMENT `CURSOR_MALFORMED` for a
     * cursor that this journal never gave; OUT_OF_RANGE `CURSOR_EXPIRED` when events behind the place are gone, with
     * `oldest_cursor` in the metadata: at the start, and also in the middle of a stream whose reader was slower than the
     * operator lets events go (`expired_policy` chooses a `gap` instead); OUT_OF_RANGE `CURSOR_LOST` for a cursor that the
     * journal has not come to, with `newest_cursor`; NOT_FOUND `ACCOUNT_NOT_FOUND` or `SUBSCRIPTION_NOT_FOUND`; UNAVAILABLE
     * `SUBSCRIPTION_CHANGED` after `closing`, when the subscription was changed: open the stream again.
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
     * One call looks through a bounded piece of the journal, and an answer stays below 4 MiB unless it is one event that
     * is larger. So a page may hold fewer events than `page_size`, or none, long before the end: go on until
     * `reached_newest` or `reached_oldest` says so.
     * Fails as `Subscribe` does at its start. `CURSOR_EXPIRED` comes, forward and back, for a place of which the events
     * behind it are no longer all there; `expired_policy` is for streams alone. To go on after it, give `oldest_cursor` as
     * `after_cursor`.
     * </pre>
     */
    public void listEvents(switchboard.v1.ListEventsRequest request,
        io.grpc.stub.StreamObserver<switchboard.v1.ListEventsResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getListEventsMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Makes a subscription: a named place in the journal that the server keeps, with a filter. From then on, events that
     * it has not acknowledged are kept for longer than others: up to the operator's `journal.subscription_retention`, and
     * as long as all events take no more than `journal.retention_bytes`.
     * Fails with ALREADY_EXISTS `SUBSCRIPTION_EXISTS` when there is one of that id, whatever its filter, and nothing is
     * changed: a service that makes its subscription at every start takes that for success. That comes first, also when
     * the place that is named is gone by now. There are at most 1,000:
     * RESOURCE_EXHAUSTED `SUBSCRIPTIONS_EXHAUSTED`. Places and filters fail as in `Subscribe` without an `expired_policy`.
     * </pre>
     */
    public void createSubscription(switchboard.v1.CreateSubscriptionRequest request,
        io.grpc.stub.StreamObserver<switchboard.v1.CreateSubscriptionResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getCreateSubscriptionMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Gets a subscription: where it stands and how far it is behind.
     * Fails with NOT_FOUND `SUBSCRIPTION_NOT_FOUND`.
     * </pre>
     */
    public void getSubscription(switchboard.v1.GetSubscriptionRequest request,
        io.grpc.stub.StreamObserver<switchboard.v1.GetSubscriptionResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getGetSubscriptionMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Lists the subscriptions, in the order of their ids.
     * </pre>
     */
    public void listSubscriptions(switchboard.v1.ListSubscriptionsRequest request,
        io.grpc.stub.StreamObserver<switchboard.v1.ListSubscriptionsResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getListSubscriptionsMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Gives a subscription another filter. Its place stays: of the events behind it, those that match the new filter come.
     * Those that the old filter passed over were not held for it, and may be gone: then the place has moved on over them.
     * Its open streams end with `closing` and UNAVAILABLE, and start with the new filter when they are opened again. Once
     * the change is answered, no further event is put on them; what was on its way by then may still come before
     * `closing`. Whoever acknowledges that with the stream's `generation` is refused, so that it cannot undo the change.
     * Fails with NOT_FOUND `SUBSCRIPTION_NOT_FOUND`; filters fail as in `Subscribe`.
     * </pre>
     */
    public void updateSubscription(switchboard.v1.UpdateSubscriptionRequest request,
        io.grpc.stub.StreamObserver<switchboard.v1.UpdateSubscriptionResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getUpdateSubscriptionMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Moves a subscription to another place, forward or back. Its open streams end as `UpdateSubscription` says, and start
     * at the new place when they are opened again.
     * Fails with NOT_FOUND `SUBSCRIPTION_NOT_FOUND`; places fail as in `Subscribe` without an `expired_policy`.
     * </pre>
     */
    public void seekSubscription(switchboard.v1.SeekSubscriptionRequest request,
        io.grpc.stub.StreamObserver<switchboard.v1.SeekSubscriptionResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getSeekSubscriptionMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Deletes a subscription, and holds nothing for it any longer. Its open streams end with `closing` and NOT_FOUND, as
     * promptly as `UpdateSubscription` says.
     * One that is made anew with the same id is another one, of another generation: what was on its way to the old one is
     * not acknowledged to it by mistake.
     * Fails with NOT_FOUND `SUBSCRIPTION_NOT_FOUND`, also the second time.
     * </pre>
     */
    public void deleteSubscription(switchboard.v1.DeleteSubscriptionRequest request,
        io.grpc.stub.StreamObserver<switchboard.v1.DeleteSubscriptionResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getDeleteSubscriptionMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Says that all events up to a place are dealt with: a stream of the subscription starts behind it from then on.
     * It is on disk when it is answered, and never goes back: a place before the one that stands changes nothing, and the
     * answer says which one stands. So it may be repeated freely, and once for many events is enough. Acknowledge the
     * cursors of heartbeats too: where little matches the filter, they are what keeps the subscription's place near.
     * Any cursor of the journal will do, also one that no stream of the subscription has sent: a list's, say. Open streams
     * go on as they are.
     * Fails with NOT_FOUND `SUBSCRIPTION_NOT_FOUND`; FAILED_PRECONDITION `SUBSCRIPTION_GENERATION_STALE` when `generation`
     * was given and the subscription was changed since: events of the stream that this is about may come again;
     * INVALID_ARGUMENT `CURSOR_MALFORMED`; OUT_OF_RANGE `CURSOR_LOST`.
     * </pre>
     */
    public void acknowledge(switchboard.v1.AcknowledgeRequest request,
        io.grpc.stub.StreamObserver<switchboard.v1.AcknowledgeResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getAcknowledgeMethod(), getCallOptions()), request, responseObserver);
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
     * A named subscription keeps the place for you: give its id as `subscription`, and `Acknowledge` what you have dealt
     * with. The stream starts behind the place that is acknowledged when it is opened, and is not held up by what is not
     * acknowledged: within one stream nothing comes twice. Every stream of a subscription gets every event of it: two
     * streams share no work.
     * Other failures: INVALID_ARGUMENT `REQUEST_INVALID` with field paths; INVALID_ARGUMENT `CURSOR_MALFORMED` for a
     * cursor that this journal never gave; OUT_OF_RANGE `CURSOR_EXPIRED` when events behind the place are gone, with
     * `oldest_cursor` in the metadata: at the start, and also in the middle of a stream whose reader was slower than the
     * operator lets events go (`expired_policy` chooses a `gap` instead); OUT_OF_RANGE `CURSOR_LOST` for a cursor that the
     * journal has not come to, with `newest_cursor`; NOT_FOUND `ACCOUNT_NOT_FOUND` or `SUBSCRIPTION_NOT_FOUND`; UNAVAILABLE
     * `SUBSCRIPTION_CHANGED` after `closing`, when the subscription was changed: open the stream again.
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
     * One call looks through a bounded piece of the journal, and an answer stays below 4 MiB unless it is one event that
     * is larger. So a page may hold fewer events than `page_size`, or none, long before the end: go on until
     * `reached_newest` or `reached_oldest` says so.
     * Fails as `Subscribe` does at its start. `CURSOR_EXPIRED` comes, forward and back, for a place of which the events
     * behind it are no longer all there; `expired_policy` is for streams alone. To go on after it, give `oldest_cursor` as
     * `after_cursor`.
     * </pre>
     */
    public switchboard.v1.ListEventsResponse listEvents(switchboard.v1.ListEventsRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getListEventsMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Makes a subscription: a named place in the journal that the server keeps, with a filter. From then on, events that
     * it has not acknowledged are kept for longer than others: up to the operator's `journal.subscription_retention`, and
     * as long as all events take no more than `journal.retention_bytes`.
     * Fails with ALREADY_EXISTS `SUBSCRIPTION_EXISTS` when there is one of that id, whatever its filter, and nothing is
     * changed: a service that makes its subscription at every start takes that for success. That comes first, also when
     * the place that is named is gone by now. There are at most 1,000:
     * RESOURCE_EXHAUSTED `SUBSCRIPTIONS_EXHAUSTED`. Places and filters fail as in `Subscribe` without an `expired_policy`.
     * </pre>
     */
    public switchboard.v1.CreateSubscriptionResponse createSubscription(switchboard.v1.CreateSubscriptionRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getCreateSubscriptionMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Gets a subscription: where it stands and how far it is behind.
     * Fails with NOT_FOUND `SUBSCRIPTION_NOT_FOUND`.
     * </pre>
     */
    public switchboard.v1.GetSubscriptionResponse getSubscription(switchboard.v1.GetSubscriptionRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getGetSubscriptionMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Lists the subscriptions, in the order of their ids.
     * </pre>
     */
    public switchboard.v1.ListSubscriptionsResponse listSubscriptions(switchboard.v1.ListSubscriptionsRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getListSubscriptionsMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Gives a subscription another filter. Its place stays: of the events behind it, those that match the new filter come.
     * Those that the old filter passed over were not held for it, and may be gone: then the place has moved on over them.
     * Its open streams end with `closing` and UNAVAILABLE, and start with the new filter when they are opened again. Once
     * the change is answered, no further event is put on them; what was on its way by then may still come before
     * `closing`. Whoever acknowledges that with the stream's `generation` is refused, so that it cannot undo the change.
     * Fails with NOT_FOUND `SUBSCRIPTION_NOT_FOUND`; filters fail as in `Subscribe`.
     * </pre>
     */
    public switchboard.v1.UpdateSubscriptionResponse updateSubscription(switchboard.v1.UpdateSubscriptionRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getUpdateSubscriptionMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Moves a subscription to another place, forward or back. Its open streams end as `UpdateSubscription` says, and start
     * at the new place when they are opened again.
     * Fails with NOT_FOUND `SUBSCRIPTION_NOT_FOUND`; places fail as in `Subscribe` without an `expired_policy`.
     * </pre>
     */
    public switchboard.v1.SeekSubscriptionResponse seekSubscription(switchboard.v1.SeekSubscriptionRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getSeekSubscriptionMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Deletes a subscription, and holds nothing for it any longer. Its open streams end with `closing` and NOT_FOUND, as
     * promptly as `UpdateSubscription` says.
     * One that is made anew with the same id is another one, of another generation: what was on its way to the old one is
     * not acknowledged to it by mistake.
     * Fails with NOT_FOUND `SUBSCRIPTION_NOT_FOUND`, also the second time.
     * </pre>
     */
    public switchboard.v1.DeleteSubscriptionResponse deleteSubscription(switchboard.v1.DeleteSubscriptionRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getDeleteSubscriptionMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Says that all events up to a place are dealt with: a stream of the subscription starts behind it from then on.
     * It is on disk when it is answered, and never goes back: a place before the one that stands changes nothing, and the
     * answer says which one stands. So it may be repeated freely, and once for many events is enough. Acknowledge the
     * cursors of heartbeats too: where little matches the filter, they are what keeps the subscription's place near.
     * Any cursor of the journal will do, also one that no stream of the subscription has sent: a list's, say. Open streams
     * go on as they are.
     * Fails with NOT_FOUND `SUBSCRIPTION_NOT_FOUND`; FAILED_PRECONDITION `SUBSCRIPTION_GENERATION_STALE` when `generation`
     * was given and the subscription was changed since: events of the stream that this is about may come again;
     * INVALID_ARGUMENT `CURSOR_MALFORMED`; OUT_OF_RANGE `CURSOR_LOST`.
     * </pre>
     */
    public switchboard.v1.AcknowledgeResponse acknowledge(switchboard.v1.AcknowledgeRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getAcknowledgeMethod(), getCallOptions(), request);
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
     * A named subscription keeps the place for you: give its id as `subscription`, and `Acknowledge` what you have dealt
     * with. The stream starts behind the place that is acknowledged when it is opened, and is not held up by what is not
     * acknowledged: within one stream nothing comes twice. Every stream of a subscription gets every event of it: two
     * streams share no work.
     * Other failures: INVALID_ARGUMENT `REQUEST_INVALID` with field paths; INVALID_ARGUMENT `CURSOR_MALFORMED` for a
     * cursor that this journal never gave; OUT_OF_RANGE `CURSOR_EXPIRED` when events behind the place are gone, with
     * `oldest_cursor` in the metadata: at the start, and also in the middle of a stream whose reader was slower than the
     * operator lets events go (`expired_policy` chooses a `gap` instead); OUT_OF_RANGE `CURSOR_LOST` for a cursor that the
     * journal has not come to, with `newest_cursor`; NOT_FOUND `ACCOUNT_NOT_FOUND` or `SUBSCRIPTION_NOT_FOUND`; UNAVAILABLE
     * `SUBSCRIPTION_CHANGED` after `closing`, when the subscription was changed: open the stream again.
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
     * One call looks through a bounded piece of the journal, and an answer stays below 4 MiB unless it is one event that
     * is larger. So a page may hold fewer events than `page_size`, or none, long before the end: go on until
     * `reached_newest` or `reached_oldest` says so.
     * Fails as `Subscribe` does at its start. `CURSOR_EXPIRED` comes, forward and back, for a place of which the events
     * behind it are no longer all there; `expired_policy` is for streams alone. To go on after it, give `oldest_cursor` as
     * `after_cursor`.
     * </pre>
     */
    public switchboard.v1.ListEventsResponse listEvents(switchboard.v1.ListEventsRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getListEventsMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Makes a subscription: a named place in the journal that the server keeps, with a filter. From then on, events that
     * it has not acknowledged are kept for longer than others: up to the operator's `journal.subscription_retention`, and
     * as long as all events take no more than `journal.retention_bytes`.
     * Fails with ALREADY_EXISTS `SUBSCRIPTION_EXISTS` when there is one of that id, whatever its filter, and nothing is
     * changed: a service that makes its subscription at every start takes that for success. That comes first, also when
     * the place that is named is gone by now. There are at most 1,000:
     * RESOURCE_EXHAUSTED `SUBSCRIPTIONS_EXHAUSTED`. Places and filters fail as in `Subscribe` without an `expired_policy`.
     * </pre>
     */
    public switchboard.v1.CreateSubscriptionResponse createSubscription(switchboard.v1.CreateSubscriptionRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getCreateSubscriptionMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Gets a subscription: where it stands and how far it is behind.
     * Fails with NOT_FOUND `SUBSCRIPTION_NOT_FOUND`.
     * </pre>
     */
    public switchboard.v1.GetSubscriptionResponse getSubscription(switchboard.v1.GetSubscriptionRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getGetSubscriptionMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Lists the subscriptions, in the order of their ids.
     * </pre>
     */
    public switchboard.v1.ListSubscriptionsResponse listSubscriptions(switchboard.v1.ListSubscriptionsRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getListSubscriptionsMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Gives a subscription another filter. Its place stays: of the events behind it, those that match the new filter come.
     * Those that the old filter passed over were not held for it, and may be gone: then the place has moved on over them.
     * Its open streams end with `closing` and UNAVAILABLE, and start with the new filter when they are opened again. Once
     * the change is answered, no further event is put on them; what was on its way by then may still come before
     * `closing`. Whoever acknowledges that with the stream's `generation` is refused, so that it cannot undo the change.
     * Fails with NOT_FOUND `SUBSCRIPTION_NOT_FOUND`; filters fail as in `Subscribe`.
     * </pre>
     */
    public switchboard.v1.UpdateSubscriptionResponse updateSubscription(switchboard.v1.UpdateSubscriptionRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getUpdateSubscriptionMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Moves a subscription to another place, forward or back. Its open streams end as `UpdateSubscription` says, and start
     * at the new place when they are opened again.
     * Fails with NOT_FOUND `SUBSCRIPTION_NOT_FOUND`; places fail as in `Subscribe` without an `expired_policy`.
     * </pre>
     */
    public switchboard.v1.SeekSubscriptionResponse seekSubscription(switchboard.v1.SeekSubscriptionRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getSeekSubscriptionMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Deletes a subscription, and holds nothing for it any longer. Its open streams end with `closing` and NOT_FOUND, as
     * promptly as `UpdateSubscription` says.
     * One that is made anew with the same id is another one, of another generation: what was on its way to the old one is
     * not acknowledged to it by mistake.
     * Fails with NOT_FOUND `SUBSCRIPTION_NOT_FOUND`, also the second time.
     * </pre>
     */
    public switchboard.v1.DeleteSubscriptionResponse deleteSubscription(switchboard.v1.DeleteSubscriptionRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getDeleteSubscriptionMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Says that all events up to a place are dealt with: a stream of the subscription starts behind it from then on.
     * It is on disk when it is answered, and never goes back: a place before the one that stands changes nothing, and the
     * answer says which one stands. So it may be repeated freely, and once for many events is enough. Acknowledge the
     * cursors of heartbeats too: where little matches the filter, they are what keeps the subscription's place near.
     * Any cursor of the journal will do, also one that no stream of the subscription has sent: a list's, say. Open streams
     * go on as they are.
     * Fails with NOT_FOUND `SUBSCRIPTION_NOT_FOUND`; FAILED_PRECONDITION `SUBSCRIPTION_GENERATION_STALE` when `generation`
     * was given and the subscription was changed since: events of the stream that this is about may come again;
     * INVALID_ARGUMENT `CURSOR_MALFORMED`; OUT_OF_RANGE `CURSOR_LOST`.
     * </pre>
     */
    public switchboard.v1.AcknowledgeResponse acknowledge(switchboard.v1.AcknowledgeRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getAcknowledgeMethod(), getCallOptions(), request);
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
     * One call looks through a bounded piece of the journal, and an answer stays below 4 MiB unless it is one event that
     * is larger. So a page may hold fewer events than `page_size`, or none, long before the end: go on until
     * `reached_newest` or `reached_oldest` says so.
     * Fails as `Subscribe` does at its start. `CURSOR_EXPIRED` comes, forward and back, for a place of which the events
     * behind it are no longer all there; `expired_policy` is for streams alone. To go on after it, give `oldest_cursor` as
     * `after_cursor`.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<switchboard.v1.ListEventsResponse> listEvents(
        switchboard.v1.ListEventsRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getListEventsMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Makes a subscription: a named place in the journal that the server keeps, with a filter. From then on, events that
     * it has not acknowledged are kept for longer than others: up to the operator's `journal.subscription_retention`, and
     * as long as all events take no more than `journal.retention_bytes`.
     * Fails with ALREADY_EXISTS `SUBSCRIPTION_EXISTS` when there is one of that id, whatever its filter, and nothing is
     * changed: a service that makes its subscription at every start takes that for success. That comes first, also when
     * the place that is named is gone by now. There are at most 1,000:
     * RESOURCE_EXHAUSTED `SUBSCRIPTIONS_EXHAUSTED`. Places and filters fail as in `Subscribe` without an `expired_policy`.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<switchboard.v1.CreateSubscriptionResponse> createSubscription(
        switchboard.v1.CreateSubscriptionRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getCreateSubscriptionMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Gets a subscription: where it stands and how far it is behind.
     * Fails with NOT_FOUND `SUBSCRIPTION_NOT_FOUND`.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<switchboard.v1.GetSubscriptionResponse> getSubscription(
        switchboard.v1.GetSubscriptionRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getGetSubscriptionMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Lists the subscriptions, in the order of their ids.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<switchboard.v1.ListSubscriptionsResponse> listSubscriptions(
        switchboard.v1.ListSubscriptionsRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getListSubscriptionsMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Gives a subscription another filter. Its place stays: of the events behind it, those that match the new filter come.
     * Those that the old filter passed over were not held for it, and may be gone: then the place has moved on over them.
     * Its open streams end with `closing` and UNAVAILABLE, and start with the new filter when they are opened again. Once
     * the change is answered, no further event is put on them; what was on its way by then may still come before
     * `closing`. Whoever acknowledges that with the stream's `generation` is refused, so that it cannot undo the change.
     * Fails with NOT_FOUND `SUBSCRIPTION_NOT_FOUND`; filters fail as in `Subscribe`.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<switchboard.v1.UpdateSubscriptionResponse> updateSubscription(
        switchboard.v1.UpdateSubscriptionRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getUpdateSubscriptionMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Moves a subscription to another place, forward or back. Its open streams end as `UpdateSubscription` says, and start
     * at the new place when they are opened again.
     * Fails with NOT_FOUND `SUBSCRIPTION_NOT_FOUND`; places fail as in `Subscribe` without an `expired_policy`.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<switchboard.v1.SeekSubscriptionResponse> seekSubscription(
        switchboard.v1.SeekSubscriptionRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getSeekSubscriptionMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Deletes a subscription, and holds nothing for it any longer. Its open streams end with `closing` and NOT_FOUND, as
     * promptly as `UpdateSubscription` says.
     * One that is made anew with the same id is another one, of another generation: what was on its way to the old one is
     * not acknowledged to it by mistake.
     * Fails with NOT_FOUND `SUBSCRIPTION_NOT_FOUND`, also the second time.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<switchboard.v1.DeleteSubscriptionResponse> deleteSubscription(
        switchboard.v1.DeleteSubscriptionRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getDeleteSubscriptionMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Says that all events up to a place are dealt with: a stream of the subscription starts behind it from then on.
     * It is on disk when it is answered, and never goes back: a place before the one that stands changes nothing, and the
     * answer says which one stands. So it may be repeated freely, and once for many events is enough. Acknowledge the
     * cursors of heartbeats too: where little matches the filter, they are what keeps the subscription's place near.
     * Any cursor of the journal will do, also one that no stream of the subscription has sent: a list's, say. Open streams
     * go on as they are.
     * Fails with NOT_FOUND `SUBSCRIPTION_NOT_FOUND`; FAILED_PRECONDITION `SUBSCRIPTION_GENERATION_STALE` when `generation`
     * was given and the subscription was changed since: events of the stream that this is about may come again;
     * INVALID_ARGUMENT `CURSOR_MALFORMED`; OUT_OF_RANGE `CURSOR_LOST`.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<switchboard.v1.AcknowledgeResponse> acknowledge(
        switchboard.v1.AcknowledgeRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getAcknowledgeMethod(), getCallOptions()), request);
    }
  }

  private static final int METHODID_SUBSCRIBE = 0;
  private static final int METHODID_LIST_EVENTS = 1;
  private static final int METHODID_CREATE_SUBSCRIPTION = 2;
  private static final int METHODID_GET_SUBSCRIPTION = 3;
  private static final int METHODID_LIST_SUBSCRIPTIONS = 4;
  private static final int METHODID_UPDATE_SUBSCRIPTION = 5;
  private static final int METHODID_SEEK_SUBSCRIPTION = 6;
  private static final int METHODID_DELETE_SUBSCRIPTION = 7;
  private static final int METHODID_ACKNOWLEDGE = 8;

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
        case METHODID_CREATE_SUBSCRIPTION:
          serviceImpl.createSubscription((switchboard.v1.CreateSubscriptionRequest) request,
              (io.grpc.stub.StreamObserver<switchboard.v1.CreateSubscriptionResponse>) responseObserver);
          break;
        case METHODID_GET_SUBSCRIPTION:
          serviceImpl.getSubscription((switchboard.v1.GetSubscriptionRequest) request,
              (io.grpc.stub.StreamObserver<switchboard.v1.GetSubscriptionResponse>) responseObserver);
          break;
        case METHODID_LIST_SUBSCRIPTIONS:
          serviceImpl.listSubscriptions((switchboard.v1.ListSubscriptionsRequest) request,
              (io.grpc.stub.StreamObserver<switchboard.v1.ListSubscriptionsResponse>) responseObserver);
          break;
        case METHODID_UPDATE_SUBSCRIPTION:
          serviceImpl.updateSubscription((switchboard.v1.UpdateSubscriptionRequest) request,
              (io.grpc.stub.StreamObserver<switchboard.v1.UpdateSubscriptionResponse>) responseObserver);
          break;
        case METHODID_SEEK_SUBSCRIPTION:
          serviceImpl.seekSubscription((switchboard.v1.SeekSubscriptionRequest) request,
              (io.grpc.stub.StreamObserver<switchboard.v1.SeekSubscriptionResponse>) responseObserver);
          break;
        case METHODID_DELETE_SUBSCRIPTION:
          serviceImpl.deleteSubscription((switchboard.v1.DeleteSubscriptionRequest) request,
              (io.grpc.stub.StreamObserver<switchboard.v1.DeleteSubscriptionResponse>) responseObserver);
          break;
        case METHODID_ACKNOWLEDGE:
          serviceImpl.acknowledge((switchboard.v1.AcknowledgeRequest) request,
              (io.grpc.stub.StreamObserver<switchboard.v1.AcknowledgeResponse>) responseObserver);
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
        .addMethod(
          getCreateSubscriptionMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              switchboard.v1.CreateSubscriptionRequest,
              switchboard.v1.CreateSubscriptionResponse>(
                service, METHODID_CREATE_SUBSCRIPTION)))
        .addMethod(
          getGetSubscriptionMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              switchboard.v1.GetSubscriptionRequest,
              switchboard.v1.GetSubscriptionResponse>(
                service, METHODID_GET_SUBSCRIPTION)))
        .addMethod(
          getListSubscriptionsMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              switchboard.v1.ListSubscriptionsRequest,
              switchboard.v1.ListSubscriptionsResponse>(
                service, METHODID_LIST_SUBSCRIPTIONS)))
        .addMethod(
          getUpdateSubscriptionMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              switchboard.v1.UpdateSubscriptionRequest,
              switchboard.v1.UpdateSubscriptionResponse>(
                service, METHODID_UPDATE_SUBSCRIPTION)))
        .addMethod(
          getSeekSubscriptionMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              switchboard.v1.SeekSubscriptionRequest,
              switchboard.v1.SeekSubscriptionResponse>(
                service, METHODID_SEEK_SUBSCRIPTION)))
        .addMethod(
          getDeleteSubscriptionMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              switchboard.v1.DeleteSubscriptionRequest,
              switchboard.v1.DeleteSubscriptionResponse>(
                service, METHODID_DELETE_SUBSCRIPTION)))
        .addMethod(
          getAcknowledgeMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              switchboard.v1.AcknowledgeRequest,
              switchboard.v1.AcknowledgeResponse>(
                service, METHODID_ACKNOWLEDGE)))
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
              .addMethod(getCreateSubscriptionMethod())
              .addMethod(getGetSubscriptionMethod())
              .addMethod(getListSubscriptionsMethod())
              .addMethod(getUpdateSubscriptionMethod())
              .addMethod(getSeekSubscriptionMethod())
              .addMethod(getDeleteSubscriptionMethod())
              .addMethod(getAcknowledgeMethod())
              .build();
        }
      }
    }
    return result;
  }
}
