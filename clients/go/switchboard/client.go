package switchboard

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/credentials/local"
	"google.golang.org/grpc/keepalive"

	switchboardv1 "switchboard.example/go/switchboard/v1"
)

// Client calls one Switchboard. It is safe for concurrent use, and one is enough for a program.
type Client struct {
	// The generated clients. Everything that this package promises holds for calls through them.
	Accounts  switchboardv1.AccountServiceClient
	Contacts  switchboardv1.ContactServiceClient
	Events    switchboardv1.EventServiceClient
	Flows     switchboardv1.FlowServiceClient
	Messages  switchboardv1.MessageServiceClient
	Templates switchboardv1.TemplateServiceClient
	Webhooks  switchboardv1.WebhookServiceClient

	conn  *grpc.ClientConn
	dial  func() (*grpc.ClientConn, error)
	retry retrier
}

// Option changes how a client connects or calls.
type Option func(*options)

type options struct {
	credentials credentials.TransportCredentials
	plaintext   bool
	token       string
	attempts    int
	dial        []grpc.DialOption
}

// WithTransportCredentials sets how the connection is secured, such as credentials.NewTLS of a tls.Config of your own.
// Without it, a client uses TLS and trusts the system's roots; to a loopback address or a Unix socket, it uses plaintext.
func WithTransportCredentials(creds credentials.TransportCredentials) Option {
	return func(o *options) { o.credentials = creds }
}

// WithPlaintext allows plaintext to an address beyond loopback. Whoever is on the way can read and change everything.
func WithPlaintext() Option {
	return func(o *options) { o.plaintext = true }
}

// WithToken sends the token with every call, as "authorization: Bearer <token>". An empty token is none. [NewClient]
// refuses to send it in plaintext, but to a loopback address or a Unix socket.
func WithToken(token string) Option {
	return func(o *options) { o.token = token }
}

// WithMaxAttempts sets how often a call is made at most; the default is 4, and 1 means that nothing is tried again.
//
// Only calls that fail with UNAVAILABLE are tried again, within their deadlines, after a delay that grows and is never
// shorter than the server asks for, unless it asks for more than 30 seconds: reads, and writes that carry a request_id. A
// write that has a field for it and was given none gets a random one, so that all attempts together are done once. Streams
// are not tried again.
func WithMaxAttempts(attempts int) Option {
	return func(o *options) { o.attempts = attempts }
}

// WithDialOptions adds options of gRPC's own, such as interceptors, a stats handler or larger messages. Interceptors see
// every attempt of a call. Transport credentials do not belong here: see [WithTransportCredentials].
func WithDialOptions(dial ...grpc.DialOption) Option {
	return func(o *options) { o.dial = append(o.dial, dial...) }
}

// NewClient makes a client for the server at address: "host:port", "unix:///path", or another target of gRPC's. It does
// not connect yet: the first call does. Close the client when it is not used any more.
func NewClient(address string, opts ...Option) (*Client, error) {
	o := options{attempts: 4}
	for _, option := range opts {
		option(&o)
	}
	if o.attempts < 1 {
		return nil, errors.New("switchboard: at least one attempt must be allowed")
	}
	creds, err := o.transport(address)
	if err != nil {
		return nil, err
	}

	retry := retrier{attempts: o.attempts}
	dial := []grpc.DialOption{
		grpc.WithUserAgent("switchboard-go/" + Version),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: initialBackoff, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 10 * time.Second},
			MinConnectTimeout: connectTimeout,
		}),
		// What is tried again is decided here, and not also by a service config.
		grpc.WithDisableRetry(),
		grpc.WithChainUnaryInterceptor(retry.unary),
		grpc.WithChainStreamInterceptor(stream),
	}
	dial = append(dial, o.dial...)
	dial = append(dial, grpc.WithTransportCredentials(creds))
	if o.token != "" {
		dial = append(dial, grpc.WithPerRPCCredentials(bearer(o.token, isLocal(creds))))
	}

	connect := func() (*grpc.ClientConn, error) { return grpc.NewClient(address, dial...) }
	conn, err := connect()
	if err != nil {
		return nil, err
	}
	return &Client{
		Accounts:  switchboardv1.NewAccountServiceClient(conn),
		Contacts:  switchboardv1.NewContactServiceClient(conn),
		Events:    switchboardv1.NewEventServiceClient(conn),
		Flows:     switchboardv1.NewFlowServiceClient(conn),
		Messages:  switchboardv1.NewMessageServiceClient(conn),
		Templates: switchboardv1.NewTemplateServiceClient(conn),
		Webhooks:  switchboardv1.NewWebhookServiceClient(conn),
		conn:      conn,
		dial:      connect,
		retry:     retry,
	}, nil
}

// Conn is the client's connection, for services that have no field here, such as grpc.health.v1.
func (c *Client) Conn() grpc.ClientConnInterface { return c.conn }

// Close closes the connection; calls under way fail. A [EventStream] has connections of its own: its context ends it.
func (c *Client) Close() error { return c.conn.Close() }

// transport chooses how the connection is secured, and keeps a token out of plaintext.
func (o *options) transport(address string) (credentials.TransportCredentials, error) {
	if strings.ContainsFunc(o.token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("switchboard: the token must be printable ASCII without blanks")
	}
	creds, plaintext := o.credentials, o.plaintext
	if creds != nil {
		if plaintext {
			return nil, errors.New("switchboard: WithPlaintext and WithTransportCredentials contradict each other")
		}
		if plaintext = creds.Info().SecurityProtocol == insecure.NewCredentials().Info().SecurityProtocol; !plaintext {
			return creds, nil
		}
	}
	switch {
	case isLoopback(address):
		// These refuse a connection that leads elsewhere after all.
		return local.NewCredentials(), nil
	case plaintext && o.token != "":
		return nil, errors.New("switchboard: a token is not sent in plaintext beyond loopback")
	case plaintext:
		return insecure.NewCredentials(), nil
	default:
		return credentials.NewTLS(nil), nil
	}
}

// isLoopback tells whether an address says of itself that it leads nowhere beyond this host.
func isLoopback(address string) bool {
	if strings.HasPrefix(address, "unix:") || strings.HasPrefix(address, "unix-abstract:") {
		return true
	}
	for _, scheme := range []string{"dns:///", "passthrough:///"} {
		address = strings.TrimPrefix(address, scheme)
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = strings.Trim(address, "[]")
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

func isLocal(creds credentials.TransportCredentials) bool {
	return creds.Info().SecurityProtocol == local.NewCredentials().Info().SecurityProtocol
}

// bearerToken adds a token to every call. It holds a function, so that printing it prints no token.
type bearerToken struct {
	header func() string
	local  bool
}

func bearer(token string, local bool) credentials.PerRPCCredentials {
	return bearerToken{header: func() string { return "Bearer " + token }, local: local}
}

func (b bearerToken) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": b.header()}, nil
}

func (b bearerToken) RequireTransportSecurity() bool { return !b.local }
