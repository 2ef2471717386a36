package switchboard

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	switchboardv1 "switchboard.example/go/switchboard/v1"
)

const secret = "a-secret-of-ours"

// certificate returns a certificate for localhost and a pool that trusts it.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "localhost"},
		DNSNames:              []string{"localhost"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// serveAccounts answers every call, unary and streaming, and reports the metadata of each call.
func serveAccounts(t *testing.T, options ...grpc.ServerOption) (<-chan metadata.MD, string) {
	t.Helper()
	seen := make(chan metadata.MD, 10)
	options = append(options, grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		came, _ := metadata.FromIncomingContext(stream.Context())
		seen <- came
		return stream.SendMsg(&switchboardv1.ListAccountsResponse{})
	}))
	return seen, serve(t, func(*grpc.Server) {}, options...)
}

func listAccounts(t *testing.T, client *Client) error {
	t.Helper()
	_, err := client.Accounts.ListAccounts(testContext(t), &switchboardv1.ListAccountsRequest{})
	return err
}

func TestTLSCallsCarryToken(t *testing.T) {
	cert, pool := certificate(t)
	seen, address := serveAccounts(t, grpc.Creds(credentials.NewServerTLSFromCert(&cert)))
	trust := credentials.NewTLS(&tls.Config{RootCAs: pool, ServerName: "localhost"})
	client := connect(t, address, WithTransportCredentials(trust), WithToken(secret))
	if err := listAccounts(t, client); err != nil {
		t.Fatal(err)
	}
	stream, err := client.Messages.WatchMessage(testContext(t), &switchboardv1.WatchMessageRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	// The stream's own connection carries the token too. This server ends the stream immediately.
	ctx, cancel := context.WithCancel(testContext(t))
	for range client.Subscribe(nil, OnReconnect(func(error) { cancel() })).Events(ctx) { // Until the loop ends.
	}
	for range 3 {
		came := receive(t, seen)
		if got := came.Get("authorization"); len(got) != 1 || got[0] != "Bearer "+secret {
			t.Errorf("the authorization is %q", got)
		}
		if got := came.Get("user-agent"); len(got) != 1 || !strings.HasPrefix(got[0], "switchboard-go/"+Version+" ") {
			t.Errorf("the user agent is %q", got)
		}
	}
}

func TestUntrustedServerReceivesNoCall(t *testing.T) {
	cert, _ := certificate(t)
	seen, address := serveAccounts(t, grpc.Creds(credentials.NewServerTLSFromCert(&cert)))
	_, otherPool := certificate(t)
	client := connect(t, address, WithToken(secret), WithMaxAttempts(1),
		WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: otherPool, ServerName: "localhost"})))
	if err := listAccounts(t, client); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got %v", err)
	}
	if len(seen) != 0 {
		t.Error("the server was called")
	}
}

// dialTo connects to this server for every address.
func dialTo(address string) Option {
	return WithDialOptions(grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", address)
	}))
}

func TestRemoteAddressUsesTLSUnlessPlaintextIsSet(t *testing.T) {
	seen, address := serveAccounts(t)
	const beyond = "passthrough:///switchboard.example:443"
	if err := listAccounts(t, connect(t, beyond, dialTo(address), WithMaxAttempts(1))); status.Code(err) != codes.Unavailable {
		t.Errorf("got %v", err)
	}
	if len(seen) != 0 {
		t.Error("a call was sent in plaintext without WithPlaintext")
	}
	if err := listAccounts(t, connect(t, beyond, dialTo(address), WithPlaintext())); err != nil {
		t.Error(err)
	}
}

func TestLoopbackPlaintextCarriesToken(t *testing.T) {
	seen, address := serveAccounts(t)
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	for _, client := range []*Client{
		connect(t, address, WithToken(secret)),
		connect(t, "dns:///"+address, WithToken(secret), WithPlaintext()),
		connect(t, net.JoinHostPort("localhost", port), WithToken(secret),
			WithTransportCredentials(insecure.NewCredentials())),
	} {
		if err := listAccounts(t, client); err != nil {
			t.Fatal(err)
		}
		if got := receive(t, seen).Get("authorization"); len(got) != 1 || got[0] != "Bearer "+secret {
			t.Errorf("the authorization is %q", got)
		}
	}
}

func TestUnixSocketCountsAsLoopback(t *testing.T) {
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	switchboardv1.RegisterAccountServiceServer(server, switchboardv1.UnimplementedAccountServiceServer{})
	go server.Serve(listener) // Returns after Stop.
	t.Cleanup(server.Stop)
	client := connect(t, "unix://"+listener.Addr().String(), WithToken(secret))
	if err := listAccounts(t, client); status.Code(err) != codes.Unimplemented {
		t.Errorf("got %v", err)
	}
}

// remoteConn reports a peer address beyond this host.
type remoteConn struct{ net.Conn }

func (remoteConn) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 50051} }

func TestLoopbackNameOfRemoteHostReceivesNoCall(t *testing.T) {
	seen, address := serveAccounts(t)
	client := connect(t, "passthrough:///localhost:50051", WithToken(secret), WithMaxAttempts(1),
		WithDialOptions(grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
			return remoteConn{conn}, err
		})))
	if err := listAccounts(t, client); status.Code(err) != codes.Unavailable {
		t.Errorf("got %v", err)
	}
	if len(seen) != 0 {
		t.Error("the server was called")
	}
}

func TestTokenWithRemotePlaintextIsRejected(t *testing.T) {
	for _, address := range []string{
		"switchboard.example:50051", "192.0.2.1:50051", "[2001:db8::1]:50051", "dns:///switchboard.example",
		"127.0.0.1.example:50051", "localhost.example:50051", "0.0.0.0:50051",
	} {
		for name, options := range map[string][]Option{
			"WithPlaintext": {WithPlaintext(), WithToken(secret)},
			"insecure":      {WithToken(secret), WithTransportCredentials(insecure.NewCredentials())},
		} {
			client, err := NewClient(address, options...)
			if err == nil {
				client.Close()
				t.Errorf("%s, %s: NewClient succeeded", address, name)
			} else if strings.Contains(err.Error(), secret) || !strings.HasPrefix(err.Error(), "switchboard: ") {
				t.Errorf("%s, %s: the error lacks the prefix or shows the token", address, name)
			}
		}
	}
}

func TestDialOptionsCannotDowngradeTokenToPlaintext(t *testing.T) {
	seen, address := serveAccounts(t)
	client := connect(t, "passthrough:///switchboard.example:443", dialTo(address), WithToken(secret), WithMaxAttempts(1),
		WithDialOptions(grpc.WithTransportCredentials(insecure.NewCredentials())))
	if err := listAccounts(t, client); status.Code(err) != codes.Unavailable {
		t.Errorf("got %v", err)
	}
	if len(seen) != 0 {
		t.Error("the server was called")
	}
}

func TestInvalidOptionsReturnErrors(t *testing.T) {
	for name, options := range map[string][]Option{
		"token with a line break": {WithToken("one\ntwo")},
		"token with a space":      {WithToken("one two")},
		"token beyond ASCII":      {WithToken("tökén")},
		"zero attempts":           {WithMaxAttempts(0)},
		"conflicting security":    {WithPlaintext(), WithTransportCredentials(credentials.NewTLS(nil))},
	} {
		if client, err := NewClient("127.0.0.1:50051", options...); err == nil {
			client.Close()
			t.Errorf("%s: NewClient succeeded", name)
		}
	}
}

func TestFormattedValuesNeverShowToken(t *testing.T) {
	client := connect(t, "127.0.0.1:50051", WithToken(secret))
	option := WithToken(secret)
	for _, value := range []any{client, *client, option, bearer(secret, true), client.Subscribe(nil)} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
			if strings.Contains(fmt.Sprintf(verb, value), secret) {
				t.Errorf("%s of a %T shows the token", verb, value)
			}
		}
	}
}

func TestVersionMatchesServer(t *testing.T) {
	manifest := repositoryFile(t, "Cargo.toml")
	version := regexp.MustCompile(`(?m)^version = "(.*)"$`).FindSubmatch(manifest)
	if version == nil || string(version[1]) != Version {
		t.Errorf("the server's version is %q, the client's is %q", version, Version)
	}
}

func TestUnusableAddressIsRejected(t *testing.T) {
	for address, want := range map[string]string{
		"":                         "the address is empty",
		"http://127.0.0.1:50051":   "is a URL",
		"https://example.com":      "is a URL",
		"HTTPS://example.com:443/": "is a URL",
	} {
		if client, err := NewClient(address); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("NewClient(%q) returned %v, %v", address, client, err)
		}
	}
	for _, address := range []string{"127.0.0.1:50051", "dns:///example.com:443", "unix:///run/switchboard.sock"} {
		connect(t, address)
	}
}
