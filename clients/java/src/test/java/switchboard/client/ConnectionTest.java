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
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
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
}
