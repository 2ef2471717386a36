package switchboard.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.Any;
import com.google.protobuf.ByteString;
import com.google.rpc.ErrorInfo;
import io.grpc.Context;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.time.Duration;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import switchboard.sandbox.v1.ClearFaultsRequest;
import switchboard.sandbox.v1.FaultKind;
import switchboard.sandbox.v1.ListCallsRequest;
import switchboard.sandbox.v1.SetFaultRequest;
import switchboard.v1.AccountServiceGrpc;
import switchboard.v1.Failure;
import switchboard.v1.FieldViolation;
import switchboard.v1.GetAccountRequest;
import switchboard.v1.GetMessageRequest;
import switchboard.v1.ListContactsRequest;
import switchboard.v1.MediaHeader;
import switchboard.v1.Provider;
import switchboard.v1.Reason;
import switchboard.v1.SendMessageRequest;
import switchboard.v1.SubscribeRequest;
import switchboard.v1.Text;
import switchboard.v1.WatchMessageRequest;
import switchboard.v1.WatchMessageResponse;

/** Decoding of failures of the real server. */
class FailuresTest {
    private static final Duration LONG = Duration.ofSeconds(20);
    private Sandbox sandbox;
    private SwitchboardClient client;

    @BeforeEach
    void start() throws Exception {
        sandbox = Sandbox.start();
        client = sandbox.client();
    }

    @AfterEach
    void stop() {
        client.close();
        sandbox.close();
    }

    private void behaveAgain() {
        Sandbox.faults(client)
                .clearFaults(ClearFaultsRequest.newBuilder()
                        .setAccount("demo-connectby")
                        .build());
    }

    private void fault(SetFaultRequest.Builder fault) {
        Sandbox.faults(client).setFault(fault.setAccount("demo-connectby").build());
    }

    private static SendMessageRequest.Builder text() {
        return SendMessageRequest.newBuilder()
                .setAccount("demo-connectby")
                .setTo("+15550100001")
                .setText(Text.newBuilder().setBody("Hello!"));
    }

    private SwitchboardException failing(SendMessageRequest.Builder request) {
        var stub = client.messages().withDeadlineAfter(LONG);
        return SwitchboardException.of(
                assertThrows(StatusRuntimeException.class, () -> stub.sendMessage(request.build())));
    }

    @Test
    void invalidRequestListsEveryFieldViolation() {
        SwitchboardException e = failing(SendMessageRequest.newBuilder()
                .setAccount("demo-connectby")
                .setTo("unknown")
                .setSender("+15550100002")
                .setText(Text.getDefaultInstance()));
        assertEquals(Status.Code.INVALID_ARGUMENT, e.getCode());
        assertEquals("REQUEST_INVALID", e.getReason());
        assertEquals("switchboard", e.getDomain());
        assertEquals(Optional.empty(), e.getRetryDelay());
        assertEquals(
                List.of("to MALFORMED", "text.body REQUIRED", "sender UNSUPPORTED"),
                e.getFieldViolations().stream()
                        .map(violation -> violation.getField() + " " + violation.getReason())
                        .toList());
        assertTrue(e.getFieldViolations().stream()
                .noneMatch(violation -> violation.getDescription().isEmpty()));
        assertTrue(e.getMessage().startsWith("REQUEST_INVALID: INVALID_ARGUMENT: "), e.getMessage());
    }

    @Test
    void failureHasTheMetadataOfItsReason() {
        fault(SetFaultRequest.newBuilder()
                .setKind(FaultKind.FAULT_KIND_CUT_AFTER_READING)
                .setOperation("send_text")
                .setTimes(1));
        SwitchboardException e = failing(text());
        assertEquals(Status.Code.FAILED_PRECONDITION, e.getCode());
        assertEquals("SEND_OUTCOME_UNKNOWN", e.getReason());
        var repeated = client.messages()
                .withDeadlineAfter(LONG)
                .getMessage(GetMessageRequest.newBuilder()
                        .setAccount("demo-connectby")
                        .setRequestId(e.getRequestId())
                        .build());
        assertEquals(e.getMetadata().get("message_id"), repeated.getMessage().getMessageId());
        assertEquals("1", e.getMetadata().get("attempt"));
        assertTrue(e.getMetadata().get("message_id").startsWith("msg_"));
        assertEquals("connectby", e.getMetadata().get("provider"));
    }

    @Test
    void failureHasTheRetryDelay() {
        fault(SetFaultRequest.newBuilder()
                .setKind(FaultKind.FAULT_KIND_STATUS)
                .setOperation("list_contacts")
                .setHttpStatus(429)
                .setRetryAfter("60"));
        var stub = client.contacts().withDeadlineAfter(LONG);
        SwitchboardException e = SwitchboardException.of(assertThrows(
                StatusRuntimeException.class,
                () -> stub.listContacts(ListContactsRequest.newBuilder()
                        .setAccount("demo-connectby")
                        .build())));
        assertEquals(Status.Code.RESOURCE_EXHAUSTED, e.getCode());
        assertEquals("PROVIDER_THROTTLED", e.getReason());
        Duration delay = e.getRetryDelay().orElseThrow();
        assertTrue(
                delay.compareTo(Duration.ofSeconds(30)) > 0 && delay.compareTo(Duration.ofSeconds(60)) <= 0,
                "" + delay);
    }

    /** The server returns UNAVAILABLE for a message that was not sent, so the client retries it. */
    @Test
    void messageThatWasNotSentIsRetried() {
        fault(SetFaultRequest.newBuilder().setKind(FaultKind.FAULT_KIND_REFUSE));
        var stub = client.messages().withDeadlineAfter(Duration.ofSeconds(2));
        SwitchboardException e = SwitchboardException.of(
                assertThrows(StatusRuntimeException.class, () -> stub.sendMessage(text().build())));
        assertTrue(
                List.of(Status.Code.UNAVAILABLE, Status.Code.DEADLINE_EXCEEDED).contains(e.getCode()), e.getMessage());
        behaveAgain();
        var sent = client.messages().withDeadlineAfter(LONG).sendMessage(text().build());
        assertFalse(sent.getReplayed());
    }

    @Test
    void originalExceptionIsTheCause() {
        StatusRuntimeException original = assertThrows(StatusRuntimeException.class, () -> client.accounts()
                .withDeadlineAfter(LONG)
                .getAccount(GetAccountRequest.newBuilder().setAccount("unknown").build()));
        SwitchboardException e = SwitchboardException.of(original);
        assertSame(original, e.getCause());
        assertSame(original.getTrailers(), e.getTrailers());
        assertEquals(original.getStatus().getDescription(), e.getStatus().getDescription());
        assertSame(e, SwitchboardException.of(e));
        assertEquals(Map.of("account", "unknown"), e.getMetadata());
        assertThrows(UnsupportedOperationException.class, () -> e.getMetadata().clear());
    }

    @Test
    void futureFailureIsDecoded() {
        var future = AccountServiceGrpc.newFutureStub(client.channel())
                .getAccount(GetAccountRequest.newBuilder().setAccount("unknown").build());
        var e = assertThrows(ExecutionException.class, () -> future.get(20, TimeUnit.SECONDS));
        assertEquals("ACCOUNT_NOT_FOUND", SwitchboardException.of(e).getReason());
    }

    @Test
    void uploadFailureIsDecoded() {
        SwitchboardException e = assertThrows(
                SwitchboardException.class,
                () -> client.sendMedia(
                        MediaHeader.newBuilder()
                                .setAccount("demo-connectby")
                                .setTo("+15550100001")
                                .build(),
                        Upload.of(new byte[20_000_000]),
                        LONG));
        assertEquals("REQUEST_INVALID", e.getReason());
        assertEquals("chunk", e.getFieldViolations().get(0).getField());
    }

    @Test
    void streamFailureIsDecoded() {
        try (EventStream events = client.subscribe(
                SubscribeRequest.newBuilder().setAfterCursor("made-up").build())) {
            SwitchboardException e = assertThrows(
                    SwitchboardException.class, () -> events.iterator().hasNext());
            assertEquals("CURSOR_MALFORMED", e.getReason());
            assertEquals(
                    List.of("after_cursor"),
                    e.getFieldViolations().stream()
                            .map(FieldViolation::getField)
                            .toList());
        }
    }

    @Test
    void failureMessageBecomesAnException() {
        FieldViolation violation = FieldViolation.newBuilder()
                .setField("to")
                .setReason("MALFORMED")
                .setDescription("must be a number")
                .build();
        SwitchboardException e = SwitchboardException.of(Failure.newBuilder()
                .setReason("PROVIDER_THROTTLED")
                .setCode(8)
                .setMessage("the provider is rate limiting")
                .setProvider(Provider.PROVIDER_CONNECTBY)
                .setProviderName("connectby")
                .setProviderCode("130429")
                .setProviderType("OAuthException")
                .setProviderTraceId("trace-1")
                .setProviderMessage("private text")
                .setRetryDelay(com.google.protobuf.Duration.newBuilder().setSeconds(7))
                .setRawJson("{\"error\":\"private text\"}")
                .addFieldViolations(violation)
                .putMetadata("attempt", "2")
                .build());
        assertEquals(Status.Code.RESOURCE_EXHAUSTED, e.getCode());
        assertEquals("PROVIDER_THROTTLED", e.getReason());
        assertEquals("switchboard", e.getDomain());
        assertEquals(Reason.REASON_PROVIDER_THROTTLED, Reasons.parse(e.getReason()));
        assertEquals(
                Map.of(
                        "attempt", "2",
                        "provider", "connectby",
                        "provider_code", "130429",
                        "provider_type", "OAuthException",
                        "provider_trace_id", "trace-1"),
                e.getMetadata());
        assertEquals("private text", e.getProviderMessage());
        assertEquals(Optional.of(Duration.ofSeconds(7)), e.getRetryDelay());
        assertEquals(List.of(violation), e.getFieldViolations());
        assertFalse(printed(e).contains("private text"));
    }

    @Test
    void failureMessageWithoutKnownValuesIsConverted() {
        for (int code : new int[] {0, 99}) {
            Failure failure = Failure.newBuilder().setCode(code).build();
            assertEquals(Status.Code.UNKNOWN, SwitchboardException.of(failure).getCode());
        }
        Failure.Builder newer = Failure.newBuilder().setProviderValue(99);
        assertEquals(Map.of(), SwitchboardException.of(newer.build()).getMetadata());
        newer.setProviderName("newer");
        assertEquals(
                Map.of("provider", "newer"),
                SwitchboardException.of(newer.build()).getMetadata());
        Failure known =
                Failure.newBuilder().setProvider(Provider.PROVIDER_CONNECTLY).build();
        assertEquals(
                Map.of("provider", "connectly"), SwitchboardException.of(known).getMetadata());
    }

    @Test
    void providerMessageIsNotPrinted() {
        var refused = com.google.rpc.Status.newBuilder()
                .setCode(Status.Code.FAILED_PRECONDITION.value())
                .setMessage("the provider refused")
                .addDetails(Any.pack(ErrorInfo.newBuilder()
                        .setDomain("switchboard")
                        .setReason("PROVIDER_REFUSED")
                        .putMetadata("provider", "connectly")
                        .putMetadata("provider_message", "private text")
                        .build()))
                .build();
        SwitchboardException e = SwitchboardException.of(StatusProto.toStatusRuntimeException(refused));
        assertEquals("private text", e.getProviderMessage());
        assertEquals(Map.of("provider", "connectly"), e.getMetadata());
        assertFalse((printed(e) + e).contains("private text"));
    }

    @Test
    void everyReasonTextHasAConstant() {
        for (var value : Reason.getDescriptor().getValues()) {
            Reason reason = Reasons.parse(value.getName().substring("REASON_".length()));
            assertEquals(value.getName(), reason.name());
        }
        assertTrue(Reason.getDescriptor().getValues().size() > 40);
    }

    @Test
    void unknownReasonTextStaysAvailable() {
        for (String text : List.of("", "NEWER_THAN_THE_LIBRARY", "REASON_REQUEST_INVALID", "UNRECOGNIZED")) {
            assertEquals(Reason.REASON_UNSPECIFIED, Reasons.parse(text));
            Failure failure = Failure.newBuilder().setReason(text).build();
            assertEquals(text, SwitchboardException.of(failure).getReason());
        }
    }

    @Test
    void passedDeadlineHasNoReason() {
        fault(SetFaultRequest.newBuilder()
                .setKind(FaultKind.FAULT_KIND_LATENCY)
                .setLatency(com.google.protobuf.Duration.newBuilder().setSeconds(30)));
        var stub = client.messages().withDeadlineAfter(Duration.ofMillis(500));
        SwitchboardException e = SwitchboardException.of(
                assertThrows(StatusRuntimeException.class, () -> stub.sendMessage(text().build())));
        assertEquals(Status.Code.DEADLINE_EXCEEDED, e.getCode());
        assertEquals("", e.getReason());
    }

    @Test
    void cancelledCallHasNoReason() {
        var sent = client.messages()
                .withDeadlineAfter(LONG)
                .sendMessage(text().setAccount("demo-connectly").build());
        Context.CancellableContext context = Context.current().withCancellation();
        context.run(() -> {
            Iterator<WatchMessageResponse> watch = client.messages()
                    .withDeadlineAfter(LONG)
                    .watchMessage(WatchMessageRequest.newBuilder()
                            .setAccount("demo-connectly")
                            .setMessageId(sent.getMessage().getMessageId())
                            .build());
            assertTrue(watch.next().hasMessage());
            context.cancel(null);
            SwitchboardException e = SwitchboardException.of(assertThrows(StatusRuntimeException.class, () -> {
                while (watch.hasNext()) {
                    watch.next();
                }
            }));
            assertEquals(Status.Code.CANCELLED, e.getCode());
        });
    }

    @Test
    void undecodableDetailsAreIgnored() {
        var broken = com.google.rpc.Status.newBuilder()
                .setCode(Status.Code.NOT_FOUND.value())
                .setMessage("deleted")
                .addDetails(Any.newBuilder()
                        .setTypeUrl("type.googleapis.com/google.rpc.ErrorInfo")
                        .setValue(ByteString.copyFrom(new byte[] {(byte) 0xff})))
                .build();
        SwitchboardException e = SwitchboardException.of(StatusProto.toStatusRuntimeException(broken));
        assertEquals(Status.Code.NOT_FOUND, e.getCode());
        assertEquals("", e.getReason());

        Metadata garbage = new Metadata();
        garbage.put(
                Metadata.Key.of("grpc-status-details-bin", Metadata.BINARY_BYTE_MARSHALLER), new byte[] {(byte) 0xff});
        assertEquals("", SwitchboardException.of(Status.INTERNAL, garbage).getReason());
        assertEquals(
                Status.Code.UNKNOWN,
                SwitchboardException.of(new IllegalStateException("not a status"))
                        .getCode());
    }

    /** The text of a failed send in a log. */
    @Test
    void printedFailureContainsNoMessageTextOrNumber() {
        SwitchboardException e = failing(text().setTo("+15550177777777777777")
                .setText(Text.newBuilder().setBody("a very private text".repeat(1000))));
        String printed = printed(e) + client + Upload.of(new byte[] {65, 66});
        assertFalse(printed.contains("private"), printed);
        assertFalse(printed.contains("1555017777"), printed);
    }

    private static String printed(Exception e) {
        StringWriter out = new StringWriter();
        e.printStackTrace(new PrintWriter(out));
        return out.toString();
    }

    /** The fake provider received as many calls as messages were sent. */
    @Test
    void refusedSendIsNotRetried() {
        fault(SetFaultRequest.newBuilder()
                .setKind(FaultKind.FAULT_KIND_SUCCESS_FALSE)
                .setOperation("send_text")
                .setCode(131047)
                .setTimes(1));
        int before = sends();
        assertEquals("SESSION_WINDOW_CLOSED", failing(text()).getReason());
        assertEquals(before + 1, sends());
    }

    private int sends() {
        return (int) Sandbox.faults(client)
                .listCalls(ListCallsRequest.newBuilder()
                        .setAccount("demo-connectby")
                        .build())
                .getCallsList()
                .stream()
                .filter(call -> call.getOperation().equals("send_text"))
                .count();
    }
}
