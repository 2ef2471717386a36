package switchboard.v1;

import static io.grpc.MethodDescriptor.generateFullMethodName;

/**
 * <pre>
 * Keeps an account's contact list at its provider. ConnectBy.
 * Failures of a write: UNAVAILABLE only when nothing reached the provider; FAILED_PRECONDITION `WRITE_OUTCOME_UNKNOWN`
 * when nobody can tell whether the provider did it; any other code means that the provider said no and did nothing. A
 * read that fails with UNAVAILABLE `PROVIDER_UNAVAILABLE` may be tried again freely.
 * </pre>
 */
@io.grpc.stub.annotations.GrpcGenerated
public final class ContactServiceGrpc {

  private ContactServiceGrpc() {}

  public static final java.lang.String SERVICE_NAME = "switchboard.v1.ContactService";

  // Static method descriptors that strictly reflect the proto.
  private static volatile io.grpc.MethodDescriptor<switchboard.v1.ListContactsRequest,
      switchboard.v1.ListContactsResponse> getListContactsMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "ListContacts",
      requestType = switchboard.v1.ListContactsRequest.class,
      responseType = switchboard.v1.ListContactsResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<switchboard.v1.ListContactsRequest,
      switchboard.v1.ListContactsResponse> getListContactsMethod() {
    io.grpc.MethodDescriptor<switchboard.v1.ListContactsRequest, switchboard.v1.ListContactsResponse> getListContactsMethod;
    if ((getListContactsMethod = ContactServiceGrpc.getListContactsMethod) == null) {
      synchronized (ContactServiceGrpc.class) {
        if ((getListContactsMethod = ContactServiceGrpc.getListContactsMethod) == null) {
          ContactServiceGrpc.getListContactsMethod = getListContactsMethod =
              io.grpc.MethodDescriptor.<switchboard.v1.ListContactsRequest, switchboard.v1.ListContactsResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "ListContacts"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.ListContactsRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.ListContactsResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ContactServiceMethodDescriptorSupplier("ListContacts"))
              .build();
        }
      }
    }
    return getListContactsMethod;
  }

  private static volatile io.grpc.MethodDescriptor<switchboard.v1.CreateContactRequest,
      switchboard.v1.CreateContactResponse> getCreateContactMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "CreateContact",
      requestType = switchboard.v1.CreateContactRequest.class,
      responseType = switchboard.v1.CreateContactResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<switchboard.v1.CreateContactRequest,
      switchboard.v1.CreateContactResponse> getCreateContactMethod() {
    io.grpc.MethodDescriptor<switchboard.v1.CreateContactRequest, switchboard.v1.CreateContactResponse> getCreateContactMethod;
    if ((getCreateContactMethod = ContactServiceGrpc.getCreateContactMethod) == null) {
      synchronized (ContactServiceGrpc.class) {
        if ((getCreateContactMethod = ContactServiceGrpc.getCreateContactMethod) == null) {
          ContactServiceGrpc.getCreateContactMethod = getCreateContactMethod =
              io.grpc.MethodDescriptor.<switchboard.v1.CreateContactRequest, switchboard.v1.CreateContactResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "CreateContact"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.CreateContactRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.CreateContactResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ContactServiceMethodDescriptorSupplier("CreateContact"))
              .build();
        }
      }
    }
    return getCreateContactMethod;
  }

  private static volatile io.grpc.MethodDescriptor<switchboard.v1.UpdateContactRequest,
      switchboard.v1.UpdateContactResponse> getUpdateContactMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "UpdateContact",
      requestType = switchboard.v1.UpdateContactRequest.class,
      responseType = switchboard.v1.UpdateContactResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<switchboard.v1.UpdateContactRequest,
      switchboard.v1.UpdateContactResponse> getUpdateContactMethod() {
    io.grpc.MethodDescriptor<switchboard.v1.UpdateContactRequest, switchboard.v1.UpdateContactResponse> getUpdateContactMethod;
    if ((getUpdateContactMethod = ContactServiceGrpc.getUpdateContactMethod) == null) {
      synchronized (ContactServiceGrpc.class) {
        if ((getUpdateContactMethod = ContactServiceGrpc.getUpdateContactMethod) == null) {
          ContactServiceGrpc.getUpdateContactMethod = getUpdateContactMethod =
              io.grpc.MethodDescriptor.<switchboard.v1.UpdateContactRequest, switchboard.v1.UpdateContactResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "UpdateContact"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.UpdateContactRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.UpdateContactResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ContactServiceMethodDescriptorSupplier("UpdateContact"))
              .build();
        }
      }
    }
    return getUpdateContactMethod;
  }

  private static volatile io.grpc.MethodDescriptor<switchboard.v1.DeleteContactRequest,
      switchboard.v1.DeleteContactResponse> getDeleteContactMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "DeleteContact",
      requestType = switchboard.v1.DeleteContactRequest.class,
      responseType = switchboard.v1.DeleteContactResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<switchboard.v1.DeleteContactRequest,
      switchboard.v1.DeleteContactResponse> getDeleteContactMethod() {
    io.grpc.MethodDescriptor<switchboard.v1.DeleteContactRequest, switchboard.v1.DeleteContactResponse> getDeleteContactMethod;
    if ((getDeleteContactMethod = ContactServiceGrpc.getDeleteContactMethod) == null) {
      synchronized (ContactServiceGrpc.class) {
        if ((getDeleteContactMethod = ContactServiceGrpc.getDeleteContactMethod) == null) {
          ContactServiceGrpc.getDeleteContactMethod = getDeleteContactMethod =
              io.grpc.MethodDescriptor.<switchboard.v1.DeleteContactRequest, switchboard.v1.DeleteContactResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "DeleteContact"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.DeleteContactRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  switchboard.v1.DeleteContactResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ContactServiceMethodDescriptorSupplier("DeleteContact"))
              .build();
        }
      }
    }
    return getDeleteContactMethod;
  }

  /**
   * Creates a new async stub that supports all call types for the service
   */
  public static ContactServiceStub newStub(io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<ContactServiceStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<ContactServiceStub>() {
        @java.lang.Override
        public ContactServiceStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new ContactServiceStub(channel, callOptions);
        }
      };
    return ContactServiceStub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports all types of calls on the service
   */
  public static ContactServiceBlockingV2Stub newBlockingV2Stub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<ContactServiceBlockingV2Stub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<ContactServiceBlockingV2Stub>() {
        @java.lang.Override
        public ContactServiceBlockingV2Stub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new ContactServiceBlockingV2Stub(channel, callOptions);
        }
      };
    return ContactServiceBlockingV2Stub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports unary and streaming output calls on the service
   */
  public static ContactServiceBlockingStub newBlockingStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<ContactServiceBlockingStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<ContactServiceBlockingStub>() {
        @java.lang.Override
        public ContactServiceBlockingStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new ContactServiceBlockingStub(channel, callOptions);
        }
      };
    return ContactServiceBlockingStub.newStub(factory, channel);
  }

  /**
   * Creates a new ListenableFuture-style stub that supports unary calls on the service
   */
  public static ContactServiceFutureStub newFutureStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<ContactServiceFutureStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<ContactServiceFutureStub>() {
        @java.lang.Override
        public ContactServiceFutureStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new ContactServiceFutureStub(channel, callOptions);
        }
      };
    return ContactServiceFutureStub.newStub(factory, channel);
  }

  /**
   * <pre>
   * Keeps an account's contact list at its provider. ConnectBy.
   * Failures of a write: UNAVAILABLE only when nothing reached the provider; FAILED_PRECONDITION `WRITE_OUTCOME_UNKNOWN`
   * when nobody can tell whether the provider did it; any other code means that the provider said no and did nothing. A
   * read that fails with UNAVAILABLE `PROVIDER_UNAVAILABLE` may be tried again freely.
   * </pre>
   */
  public interface AsyncService {

    /**
     * <pre>
     * Lists contacts, a page at a time, in the provider's order and with the provider's page size.
     * Pages are counted by the provider, so contacts that come or go between two calls may be seen twice or not at all.
     * </pre>
     */
    default void listContacts(switchboard.v1.ListContactsRequest request,
        io.grpc.stub.StreamObserver<switchboard.v1.ListContactsResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getListContactsMethod(), responseObserver);
    }

    /**
     * <pre>
     * Creates a contact.
     * What the provider does with a phone number that it knows already is not documented: it may refuse or make a second
     * contact.
     * </pre>
     */
    default void createContact(switchboard.v1.CreateContactRequest request,
        io.grpc.stub.StreamObserver<switchboard.v1.CreateContactResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getCreateContactMethod(), responseObserver);
    }

    /**
     * <pre>
     * Updates a contact.
     * The provider needs `contact.name` each time, and nothing can read one contact: so this is no partial update
     * (`Capabilities.partial_contact_updates` is false), and whether fields that are absent are kept or cleared is not
     * documented. Phone number and country code cannot be changed.
     * </pre>
     */
    default void updateContact(switchboard.v1.UpdateContactRequest request,
        io.grpc.stub.StreamObserver<switchboard.v1.UpdateContactResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getUpdateContactMethod(), responseObserver);
    }

    /**
     * <pre>
     * Deletes a contact. What the provider answers to an id that it does not know is not documented.
     * </pre>
     */
    default void deleteContact(switchboard.v1.DeleteContactRequest request,
        io.grpc.stub.StreamObserver<switchboard.v1.DeleteContactResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getDeleteContactMethod(), responseObserver);
    }
  }

  /**
   * Base class for the server implementation of the service ContactService.
   * <pre>
   * Keeps an account's contact list at its provider. ConnectBy.
   * Failures of a write: UNAVAILABLE only when nothing reached the provider; FAILED_PRECONDITION `WRITE_OUTCOME_UNKNOWN`
   * when nobody can tell whether the provider did it; any other code means that the provider said no and did nothing. A
   * read that fails with UNAVAILABLE `PROVIDER_UNAVAILABLE` may be tried again freely.
   * </pre>
   */
  public static abstract class ContactServiceImplBase
      implements io.grpc.BindableService, AsyncService {

    @java.lang.Override public final io.grpc.ServerServiceDefinition bindService() {
      return ContactServiceGrpc.bindService(this);
    }
  }

  /**
   * A stub to allow clients to do asynchronous rpc calls to service ContactService.
   * <pre>
   * Keeps an account's contact list at its provider. ConnectBy.
   * Failures of a write: UNAVAILABLE only when nothing reached the provider; FAILED_PRECONDITION `WRITE_OUTCOME_UNKNOWN`
   * when nobody can tell whether the provider did it; any other code means that the provider said no and did nothing. A
   * read that fails with UNAVAILABLE `PROVIDER_UNAVAILABLE` may be tried again freely.
   * </pre>
   */
  public static final class ContactServiceStub
      extends io.grpc.stub.AbstractAsyncStub<ContactServiceStub> {
    private ContactServiceStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected ContactServiceStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new ContactServiceStub(channel, callOptions);
    }

    /**
     * <pre>
     * Lists contacts, a page at a time, in the provider's order and with the provider's page size.
     * Pages are counted by the provider, so contacts that come or go between two calls may be seen twice or not at all.
     * </pre>
     */
    public void listContacts(switchboard.v1.ListContactsRequest request,
        io.grpc.stub.StreamObserver<switchboard.v1.ListContactsResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getListContactsMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Creates a contact.
     * What the provider does with a phone number that it knows already is not documented: it may refuse or make a second
     * contact.
     * </pre>
     */
    public void createContact(switchboard.v1.CreateContactRequest request,
        io.grpc.stub.StreamObserver<switchboard.v1.CreateContactResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getCreateContactMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Updates a contact.
     * The provider needs `contact.name` each time, and nothing can read one contact: so this is no partial update
     * (`Capabilities.partial_contact_updates` is false), and whether fields that are absent are kept or cleared is not
     * documented. Phone number and country code cannot be changed.
     * </pre>
     */
    public void updateContact(switchboard.v1.UpdateContactRequest request,
        io.grpc.stub.StreamObserver<switchboard.v1.UpdateContactResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getUpdateContactMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Deletes a contact. What the provider answers to an id that it does not know is not documented.
     * </pre>
     */
    public void deleteContact(switchboard.v1.DeleteContactRequest request,
        io.grpc.stub.StreamObserver<switchboard.v1.DeleteContactResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getDeleteContactMethod(), getCallOptions()), request, responseObserver);
    }
  }

  /**
   * A stub to allow clients to do synchronous rpc calls to service ContactService.
   * <pre>
   * Keeps an account's contact list at its provider. ConnectBy.
   * Failures of a write: UNAVAILABLE only when nothing reached the provider; FAILED_PRECONDITION `WRITE_OUTCOME_UNKNOWN`
   * when nobody can tell whether the provider did it; any other code means that the provider said no and did nothing. A
   * read that fails with UNAVAILABLE `PROVIDER_UNAVAILABLE` may be tried again freely.
   * </pre>
   */
  public static final class ContactServiceBlockingV2Stub
      extends io.grpc.stub.AbstractBlockingStub<ContactServiceBlockingV2Stub> {
    private ContactServiceBlockingV2Stub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected ContactServiceBlockingV2Stub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new ContactServiceBlockingV2Stub(channel, callOptions);
    }

    /**
     * <pre>
     * Lists contacts, a page at a time, in the provider's order and with the provider's page size.
     * Pages are counted by the provider, so contacts that come or go between two calls may be seen twice or not at all.
     * </pre>
     */
    public switchboard.v1.ListContactsResponse listContacts(switchboard.v1.ListContactsRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getListContactsMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Creates a contact.
     * What the provider does with a phone number that it knows already is not documented: it may refuse or make a second
     * contact.
     * </pre>
     */
    public switchboard.v1.CreateContactResponse createContact(switchboard.v1.CreateContactRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getCreateContactMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Updates a contact.
     * The provider needs `contact.name` each time, and nothing can read one contact: so this is no partial update
     * (`Capabilities.partial_contact_updates` is false), and whether fields that are absent are kept or cleared is not
     * documented. Phone number and country code cannot be changed.
     * </pre>
     */
    public switchboard.v1.UpdateContactResponse updateContact(switchboard.v1.UpdateContactRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getUpdateContactMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Deletes a contact. What the provider answers to an id that it does not know is not documented.
     * </pre>
     */
    public switchboard.v1.DeleteContactResponse deleteContact(switchboard.v1.DeleteContactRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getDeleteContactMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do limited synchronous rpc calls to service ContactService.
   * <pre>
   * Keeps an account's contact list at its provider. ConnectBy.
   * Failures of a write: UNAVAILABLE only when nothing reached the provider; FAILED_PRECONDITION `WRITE_OUTCOME_UNKNOWN`
   * when nobody can tell whether the provider did it; any other code means that the provider said no and did nothing. A
   * read that fails with UNAVAILABLE `PROVIDER_UNAVAILABLE` may be tried again freely.
   * </pre>
   */
  public static final class ContactServiceBlockingStub
      extends io.grpc.stub.AbstractBlockingStub<ContactServiceBlockingStub> {
    private ContactServiceBlockingStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected ContactServiceBlockingStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new ContactServiceBlockingStub(channel, callOptions);
    }

    /**
     * <pre>
     * Lists contacts, a page at a time, in the provider's order and with the provider's page size.
     * Pages are counted by the provider, so contacts that come or go between two calls may be seen twice or not at all.
     * </pre>
     */
    public switchboard.v1.ListContactsResponse listContacts(switchboard.v1.ListContactsRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getListContactsMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Creates a contact.
     * What the provider does with a phone number that it knows already is not documented: it may refuse or make a second
     * contact.
     * </pre>
     */
    public switchboard.v1.CreateContactResponse createContact(switchboard.v1.CreateContactRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getCreateContactMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Updates a contact.
     * The provider needs `contact.name` each time, and nothing can read one contact: so this is no partial update
     * (`Capabilities.partial_contact_updates` is false), and whether fields that are absent are kept or cleared is not
     * documented. Phone number and country code cannot be changed.
     * </pre>
     */
    public switchboard.v1.UpdateContactResponse updateContact(switchboard.v1.UpdateContactRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getUpdateContactMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Deletes a contact. What the provider answers to an id that it does not know is not documented.
     * </pre>
     */
    public switchboard.v1.DeleteContactResponse deleteContact(switchboard.v1.DeleteContactRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getDeleteContactMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do ListenableFuture-style rpc calls to service ContactService.
   * <pre>
   * Keeps an account's contact list at its provider. ConnectBy.
   * Failures of a write: UNAVAILABLE only when nothing reached the provider; FAILED_PRECONDITION `WRITE_OUTCOME_UNKNOWN`
   * when nobody can tell whether the provider did it; any other code means that the provider said no and did nothing. A
   * read that fails with UNAVAILABLE `PROVIDER_UNAVAILABLE` may be tried again freely.
   * </pre>
   */
  public static final class ContactServiceFutureStub
      extends io.grpc.stub.AbstractFutureStub<ContactServiceFutureStub> {
    private ContactServiceFutureStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected ContactServiceFutureStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new ContactServiceFutureStub(channel, callOptions);
    }

    /**
     * <pre>
     * Lists contacts, a page at a time, in the provider's order and with the provider's page size.
     * Pages are counted by the provider, so contacts that come or go between two calls may be seen twice or not at all.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<switchboard.v1.ListContactsResponse> listContacts(
        switchboard.v1.ListContactsRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getListContactsMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Creates a contact.
     * What the provider does with a phone number that it knows already is not documented: it may refuse or make a second
     * contact.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<switchboard.v1.CreateContactResponse> createContact(
        switchboard.v1.CreateContactRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getCreateContactMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Updates a contact.
     * The provider needs `contact.name` each time, and nothing can read one contact: so this is no partial update
     * (`Capabilities.partial_contact_updates` is false), and whether fields that are absent are kept or cleared is not
     * documented. Phone number and country code cannot be changed.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<switchboard.v1.UpdateContactResponse> updateContact(
        switchboard.v1.UpdateContactRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getUpdateContactMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Deletes a contact. What the provider answers to an id that it does not know is not documented.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<switchboard.v1.DeleteContactResponse> deleteContact(
        switchboard.v1.DeleteContactRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getDeleteContactMethod(), getCallOptions()), request);
    }
  }

  private static final int METHODID_LIST_CONTACTS = 0;
  private static final int METHODID_CREATE_CONTACT = 1;
  private static final int METHODID_UPDATE_CONTACT = 2;
  private static final int METHODID_DELETE_CONTACT = 3;

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
        case METHODID_LIST_CONTACTS:
          serviceImpl.listContacts((switchboard.v1.ListContactsRequest) request,
              (io.grpc.stub.StreamObserver<switchboard.v1.ListContactsResponse>) responseObserver);
          break;
        case METHODID_CREATE_CONTACT:
          serviceImpl.createContact((switchboard.v1.CreateContactRequest) request,
              (io.grpc.stub.StreamObserver<switchboard.v1.CreateContactResponse>) responseObserver);
          break;
        case METHODID_UPDATE_CONTACT:
          serviceImpl.updateContact((switchboard.v1.UpdateContactRequest) request,
              (io.grpc.stub.StreamObserver<switchboard.v1.UpdateContactResponse>) responseObserver);
          break;
        case METHODID_DELETE_CONTACT:
          serviceImpl.deleteContact((switchboard.v1.DeleteContactRequest) request,
              (io.grpc.stub.StreamObserver<switchboard.v1.DeleteContactResponse>) responseObserver);
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
          getListContactsMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              switchboard.v1.ListContactsRequest,
              switchboard.v1.ListContactsResponse>(
                service, METHODID_LIST_CONTACTS)))
        .addMethod(
          getCreateContactMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              switchboard.v1.CreateContactRequest,
              switchboard.v1.CreateContactResponse>(
                service, METHODID_CREATE_CONTACT)))
        .addMethod(
          getUpdateContactMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              switchboard.v1.UpdateContactRequest,
              switchboard.v1.UpdateContactResponse>(
                service, METHODID_UPDATE_CONTACT)))
        .addMethod(
          getDeleteContactMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              switchboard.v1.DeleteContactRequest,
              switchboard.v1.DeleteContactResponse>(
                service, METHODID_DELETE_CONTACT)))
        .build();
  }

  private static abstract class ContactServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoFileDescriptorSupplier, io.grpc.protobuf.ProtoServiceDescriptorSupplier {
    ContactServiceBaseDescriptorSupplier() {}

    @java.lang.Override
    public com.google.protobuf.Descriptors.FileDescriptor getFileDescriptor() {
      return switchboard.v1.ContactServiceOuterClass.getDescriptor();
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.ServiceDescriptor getServiceDescriptor() {
      return getFileDescriptor().findServiceByName("ContactService");
    }
  }

  private static final class ContactServiceFileDescriptorSupplier
      extends ContactServiceBaseDescriptorSupplier {
    ContactServiceFileDescriptorSupplier() {}
  }

  private static final class ContactServiceMethodDescriptorSupplier
      extends ContactServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoMethodDescriptorSupplier {
    private final java.lang.String methodName;

    ContactServiceMethodDescriptorSupplier(java.lang.String methodName) {
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
      synchronized (ContactServiceGrpc.class) {
        result = serviceDescriptor;
        if (result == null) {
          serviceDescriptor = result = io.grpc.ServiceDescriptor.newBuilder(SERVICE_NAME)
              .setSchemaDescriptor(new ContactServiceFileDescriptorSupplier())
              .addMethod(getListContactsMethod())
              .addMethod(getCreateContactMethod())
              .addMethod(getUpdateContactMethod())
              .addMethod(getDeleteContactMethod())
              .build();
        }
      }
    }
    return result;
  }
}
