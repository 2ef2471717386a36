package switchboard.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.grpc.Attributes;
import io.grpc.CallCredentials;
import io.grpc.ChannelCredentials;
import io.grpc.CompositeChannelCredentials;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.SecurityLevel;
import io.grpc.ServerCredentials;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.TlsChannelCredentials;
import io.grpc.TlsServerCredentials;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.TrustManagerFactory;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import switchboard.v1.AccountServiceGrpc;
import switchboard.v1.GetAccountRequest;
import switchboard.v1.MediaHeader;
import switchboard.v1.SubscribeRequest;

/** TLS and tokens, with a server whose certificate the test creates. */
class ConnectionTest {
    private static final String TOKEN = "a-token-of-ours";
    private static final char[] PASSWORD = "only-for-this-test".toCharArray();

    private static KeyStore keys;

    @BeforeAll
    static void makeCertificate(@TempDir Path folder) throws Exception {
        Path store = folder.resolve("server.p12");
        Process keytool = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "keytool")
                                .toString(),
                        "-genkeypair",
                        "-keyalg",
                        "EC",
                        "-dname",
                        "CN=localhost",
                        "-ext",
                        "san=dns:localhost,ip:127.0.0.1",
                        "-validity",
                        "2",
                        "-storetype",
                        "PKCS12",
                        "-keystore",
                        store.toString(),
                        "-storepass",
                        new String(PASSWORD))
                .redirectErrorStream(true)
                .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                .start();
        assertTrue(keytool.waitFor(30, TimeUnit.SECONDS));
        keys = KeyStore.getInstance("PKCS12");
        try (InputStream in = Files.newInputStream(store)) {
            keys.load(in, PASSWORD);
        }
    }

    private static ServerCredentials certificate() throws Exception {
        KeyManagerFactory factory = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        factory.init(keys, PASSWORD);
        return TlsServerCredentials.newBuilder()
                .keyManager(factory.getKeyManagers())
                .build();
    }

    private static ChannelCredentials trusted() throws Exception {
        KeyStore certificates = KeyStore.getInstance("PKCS12");
        certificates.load(null, null);
        certificates.setCertificateEntry(
                "server", keys.getCertificate(keys.aliases().nextElement()));
        TrustManagerFactory factory = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        factory.init(certificates);
        return TlsChannelCredentials.newBuilder()
                .trustManager(factory.getTrustManagers())
                .build();
    }

    private static void getAccount(SwitchboardClient client) {
        client.accounts().withDeadlineAfter(Duration.ofSeconds(20)).getAccount(GetAccountRequest.getDefaultInstance());
    }

    @Test
    void tokenIsSentWithEveryCallOverTls() throws Exception {
        try (FakeServer server = new FakeServer(certificate());
                SwitchboardClient client = SwitchboardClient.builder("localhost:" + server.port())
                        .credentials(trusted())
                        .token(TOKEN)
                        .build()) {
            server.failures =
                    number -> number == 1 ? FakeServer.failure(Status.Code.UNAVAILABLE, "SERVER_STOPPING", -1) : null;
            getAccount(client);
            client.sendMedia(MediaHeader.getDefaultInstance(), Upload.of(new byte[] {1}), Duration.ofSeconds(20));
            server.failures = number -> FakeServer.failure(Status.Code.INVALID_ARGUMENT, "REQUEST_INVALID", -1);
            try (EventStream events = client.subscribe(SubscribeRequest.getDefaultInstance())) {
                assertThrows(SwitchboardException.class, () -> events.iterator().hasNext());
            }
            assertEquals(
                    List.of("GetAccount", "GetAccount", "SendMedia", "Subscribe"),
                    server.calls.stream().map(FakeServer.Call::method).toList());
            for (FakeServer.Call call : server.calls) {
                assertEquals("Bearer " + TOKEN, call.header("authorization"), call.method());
            }
        }
    }

    @Test
    void untrustedCertificateFailsTheCall() throws Exception {
        try (FakeServer server = new FakeServer(certificate());
                SwitchboardClient client = SwitchboardClient.builder("localhost:" + server.port())
                        .token(TOKEN)
                        .maxAttempts(1)
                        .build()) {
            assertThrows(StatusRuntimeException.class, () -> getAccount(client));
            assertEquals(List.of(), server.calls);
        }
    }

    @Test
    void clientWithoutTokenSendsNoAuthorization() throws Exception {
        try (FakeServer server = new FakeServer();
                SwitchboardClient client =
                        SwitchboardClient.builder(server.address()).plaintext().build()) {
            getAccount(client);
            assertNull(server.calls.get(0).header("authorization"));
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"127.0.0.1:", "localhost:", "dns:///localhost:"})
    void tokenIsSentInPlaintextOnLoopback(String host) throws Exception {
        try (FakeServer server = new FakeServer();
                SwitchboardClient client = SwitchboardClient.builder(host + server.port())
                        .plaintext()
                        .token(TOKEN)
                        .build()) {
            getAccount(client);
            assertEquals("Bearer " + TOKEN, server.calls.get(0).header("authorization"));
        }
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "switchboard.example.org:50051",
                "10.0.0.1:50051",
                "0.0.0.0:50051",
                "127.0.0.1.example.org:50051",
                "localhost.example.org:50051",
                "127.0.0.1@example.org:50051",
                "dns://127.0.0.1/example.org:50051",
                "dns:///example.org:50051",
                "[2001:db8::1]:50051"
            })
    void tokenInPlaintextBeyondLoopbackThrows(String target) throws Exception {
        for (ChannelCredentials insecure : List.of(
                InsecureChannelCredentials.create(),
                CompositeChannelCredentials.create(InsecureChannelCredentials.create(), new BearerToken("another")))) {
            var builder =
                    SwitchboardClient.builder(target).credentials(insecure).token(TOKEN);
            var e = assertThrows(IllegalStateException.class, builder::build);
            assertFalse(e.getMessage().contains(TOKEN));
        }
        SwitchboardClient.builder(target)
                .credentials(trusted())
                .token(TOKEN)
                .build()
                .close();
        SwitchboardClient.builder(target).plaintext().build().close();
    }

    /** A loopback name can resolve to another address, so the client checks the connection itself. */
    @ParameterizedTest
    @CsvSource({
        "127.0.0.1, NONE, true",
        "::1, NONE, true",
        "192.0.2.1, NONE, false",
        "192.0.2.1, INTEGRITY, false",
        "192.0.2.1, PRIVACY_AND_INTEGRITY, true",
        ", NONE, false"
    })
    void tokenIsSentOnlyOnTlsOrLoopbackConnections(String peer, SecurityLevel security, boolean goes) throws Exception {
        Attributes transport = peer == null
                ? Attributes.EMPTY
                : Attributes.newBuilder()
                        .set(Grpc.TRANSPORT_ATTR_REMOTE_ADDR, new InetSocketAddress(InetAddress.getByName(peer), 50051))
                        .build();
        List<Object> outcome = new ArrayList<>();
        new BearerToken(TOKEN).applyRequestMetadata(info(transport, security), Runnable::run, applier(outcome));
        if (goes) {
            assertEquals(Set.of("authorization"), ((Metadata) outcome.get(0)).keys());
        } else {
            assertEquals(Status.Code.UNAUTHENTICATED, ((Status) outcome.get(0)).getCode());
        }
        assertEquals(1, outcome.size());
    }

    private static CallCredentials.MetadataApplier applier(List<Object> outcome) {
        return new CallCredentials.MetadataApplier() {
            @Override
            public void apply(Metadata headers) {
                outcome.add(headers);
            }

            @Override
            public void fail(Status status) {
                outcome.add(status);
            }
        };
    }

    private static CallCredentials.RequestInfo info(Attributes transport, SecurityLevel security) {
        return new CallCredentials.RequestInfo() {
            @Override
            public MethodDescriptor<?, ?> getMethodDescriptor() {
                return AccountServiceGrpc.getGetAccountMethod();
            }

            @Override
            public SecurityLevel getSecurityLevel() {
                return security;
            }

            @Override
            public String getAuthority() {
                return "localhost";
            }

            @Override
            public Attributes getTransportAttrs() {
                return transport;
            }
        };
    }

    @ParameterizedTest
    @ValueSource(strings = {"", " ", "two words", "line\nbreak", "ümlaut"})
    void invalidTokenThrows(String token) {
        var builder = SwitchboardClient.builder("localhost:1");
        var e = assertThrows(IllegalArgumentException.class, () -> builder.token(token));
        assertFalse(e.getMessage().contains("\n"));
        assertThrows(IllegalArgumentException.class, () -> builder.maxAttempts(0));
    }

    @Test
    void userAgentContainsTheVersionOfTheLibrary() throws Exception {
        try (FakeServer server = new FakeServer();
                SwitchboardClient client =
                        SwitchboardClient.builder(server.address()).plaintext().build()) {
            getAccount(client);
            String agent = server.calls.get(0).header("user-agent");
            String expected = "switchboard-java/" + System.getProperty("project.version") + " grpc-java-";
            assertTrue(agent.startsWith(expected), agent);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "http://localhost:50051", "HTTPS://switchboard.example.com"})
    void unusableTargetThrows(String target) {
        assertThrows(IllegalArgumentException.class, () -> SwitchboardClient.builder(target));
    }

    private static int unusedPort() throws Exception {
        try (ServerSocket unused = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            return unused.getLocalPort();
        }
    }

    @Test
    void refusedConnectionIsNamedInTheMessage() throws Exception {
        try (SwitchboardClient client = SwitchboardClient.builder("127.0.0.1:" + unusedPort())
                .plaintext()
                .maxAttempts(1)
                .build()) {
            var e = SwitchboardException.of(assertThrows(StatusRuntimeException.class, () -> getAccount(client)));
            assertEquals(Status.Code.UNAVAILABLE, e.getCode());
            assertEquals(1, e.getMessage().split("Connection refused", -1).length - 1, e::getMessage);
            assertEquals("UNAVAILABLE: io exception", e.getMessage().substring(0, 25));
        }
    }

    @Test
    void waitingCallNamesTheRefusedConnection() throws Exception {
        try (SwitchboardClient client = SwitchboardClient.builder("127.0.0.1:" + unusedPort())
                .plaintext()
                .build()) {
            var stub = client.accounts().withDeadlineAfter(Duration.ofMillis(500));
            var e = SwitchboardException.of(assertThrows(
                    StatusRuntimeException.class, () -> stub.getAccount(GetAccountRequest.getDefaultInstance())));
            assertEquals(Status.Code.DEADLINE_EXCEEDED, e.getCode());
            assertTrue(e.getMessage().contains("Connection refused"), e::getMessage);
            assertFalse(e.getMessage().contains("\n"), e::getMessage);
        }
    }

    /** gRPC's own backoff would make three connections in this time, and later one in two minutes. */
    @Test
    void waitingCallReconnectsOften() throws Exception {
        try (Proxy proxy = new Proxy(0, Proxy.Behavior.CLOSE);
                SwitchboardClient client =
                        SwitchboardClient.builder(proxy.address()).plaintext().build()) {
            var stub = client.accounts().withDeadlineAfter(Duration.ofSeconds(3));
            assertThrows(StatusRuntimeException.class, () -> stub.getAccount(GetAccountRequest.getDefaultInstance()));
            assertTrue(proxy.connections() >= 4, () -> proxy.connections() + " connections");
        }
    }

    /** The program may exit or unload classes after close. */
    @Test
    void closeAwaitsTheTerminationOfEveryChannel() throws Exception {
        try (FakeServer server = new FakeServer()) {
            SwitchboardClient client =
                    SwitchboardClient.builder(server.address()).plaintext().build();
            getAccount(client);
            client.subscribe(SubscribeRequest.getDefaultInstance());
            Thread.currentThread().interrupt();
            client.close();
            assertTrue(Thread.interrupted(), "an interrupt stays pending");
            assertTrue(client.isTerminated());
        }
    }

    @Test
    void closeCancelsCallsAfterTheGrace() throws Exception {
        try (Proxy silent = new Proxy(0, Proxy.Behavior.SILENCE)) {
            SwitchboardClient client =
                    SwitchboardClient.builder(silent.address()).plaintext().build();
            var call = AccountServiceGrpc.newFutureStub(client.channel())
                    .withDeadlineAfter(Duration.ofMinutes(10))
                    .getAccount(GetAccountRequest.getDefaultInstance());
            long before = System.nanoTime();
            client.close();
            assertTrue(call.isDone());
            long took = System.nanoTime() - before;
            assertTrue(took < TimeUnit.SECONDS.toNanos(20), () -> took + " ns");
        }
    }

    /** A call that waits for its next attempt must not hold up close. */
    @Test
    void closeFailsCallsThatWaitForTheirNextAttempt() throws Exception {
        try (FakeServer server = new FakeServer()) {
            server.failures = number -> FakeServer.failure(Status.Code.UNAVAILABLE, "SERVER_STOPPING", 29_000);
            SwitchboardClient client =
                    SwitchboardClient.builder(server.address()).plaintext().build();
            var call = AccountServiceGrpc.newFutureStub(client.channel())
                    .getAccount(GetAccountRequest.getDefaultInstance());
            while (server.calls.isEmpty()) {
                Thread.onSpinWait();
            }
            long before = System.nanoTime();
            client.close();
            assertThrows(ExecutionException.class, () -> call.get(20, TimeUnit.SECONDS));
            long took = System.nanoTime() - before;
            assertTrue(took < TimeUnit.SECONDS.toNanos(20), () -> took + " ns");
        }
    }
}
