package switchboard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
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

// Client calls one Switchboard server. It is safe for concurrent use; a program needs only one.
type Client struct {
	// The generated clients. Calls through them get everything that this package adds.
	Accounts             switchboardv1.AccountServiceClient
	Contacts             switchboardv1.ContactServiceClient
	Conversations        switchboardv1.ConversationServiceClient
	Events               switchboardv1.EventServiceClient
	Flows                switchboardv1.FlowServiceClient
	Messages             switchboardv1.MessageServiceClient
	Subscriptions        switchboardv1.SubscriptionServiceClient
	Templates            switchboardv1.TemplateServiceClient
	WebhookRegistrations switchboardv1.WebhookRegistrationServiceClient

	conn  *grpc.ClientConn
	dial  func() (*grpc.ClientConn, error)
	retry retrier
}

// Option configures a client.
type Option func(*options)

type options struct {
	credentials credentials.TransportCredentials
	plaintext   bool
	token       string
	attempts    int
	log         *slog.Logger
	dial        []grpc.DialOption
}

// WithTransportCredentials sets how the connection is secured, for example by credentials.NewTLS with your own
// tls.Config. By default, a client uses TLS and trusts the system's roots. For a loopback address or a Unix socket, the
// default is plaintext.
func WithTransportCredentials(creds credentials.TransportCredentials) Option {
	return func(o *options) { o.credentials = creds }
}

// WithPlaintext allows plaintext to an address beyond loopback. Anyone on the network path can then read and change the
// traffic.
func WithPlaintext() Option {
	return func(o *options) { o.plaintext = true }
}

// WithToken sends the token with every call, as "authorization: Bearer <token>". An empty token sends no header.
// [NewClient] rejects a token in plaintext, except to a loopback address or a Unix socket.
func WithToken(token string) Option {
	return func(o *options) { o.token = token }
}

// WithMaxAttempts sets the maximum number of attempts per call. By default, only the call's deadline limits them. 1
// disables retries, and calls then fail at once if the server cannot be reached.
//
// The budget of a call is its deadline. Until then, the client waits for a connection, and retries calls that fail with
// UNAVAILABLE: reads, and writes that carry a request_id. It fills an empty request_id with a random one and keeps it
// over all attempts, so the server executes the write once. A call without a deadline is retried for 60 seconds.
//
// The backoff grows to 5 seconds. If the server asks for a delay, the client adds it to the backoff. If the wait would
// exceed the deadline, or the server asks for more than 30 seconds, the call fails immediately with the last error.
// Streams are not retried.
func WithMaxAttempts(attempts int) Option {
	return func(o *options) { o.attempts = attempts }
}

// WithLogger sets the logger for retries and reconnects. By default, the client logs nothing. The records contain
// methods, delays, subscription ids and errors, and never the text of a message.
func WithLogger(logger *slog.Logger) Option {
	return func(o *options) { o.log = logger }
}

// WithDialOptions adds gRPC dial options, such as interceptors, a stats handler or a larger message size. Interceptors
// see every attempt of a call. To set transport credentials, use [WithTransportCredentials] instead.
func WithDialOptions(dial ...grpc.DialOption) Option {
	return func(o *options) { o.dial = append(o.dial, dial...) }
}

// NewClient returns a client for the server at address: "host:port", "unix:///path", or another gRPC target. It
// connects with the first call. Close the client when you no longer need it.
func NewClient(address string, opts ...Option) (*Client, error) {
	o := options{attempts: math.MaxInt, log: slog.New(slog.DiscardHandler)}
	for _, option := range opts {
		option(&o)
	}
	if o.attempts < 1 {
		return nil, errors.New("switchboard: WithMaxAttempts must be at least 1")
	}
	if o.log == nil {
		return nil, errors.New("switchboard: WithLogger requires a logger")
	}
	if err := checkAddress(address); err != nil {
		return nil, err
	}
	creds, err := o.transport(address)
	if err != nil {
		return nil, err
	}

	retry := retrier{attempts: o.attempts, log: o.log}
	dial := []grpc.DialOption{
		grpc.WithUserAgent("switchboard-go/" + Version),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: initialBackoff, Multiplier: 1.6, Jitter: 0.2, MaxDelay: maxCallBackoff},
			MinConnectTimeout: connectTimeout,
		}),
		// This package decides which calls are retried; a service config must not add retries.
		grpc.WithDisableRetry(),
		grpc.WithChainUnaryInterceptor(retry.unary),
		grpc.WithChainStreamInterceptor(retry.stream),
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
		Accounts:             switchboardv1.NewAccountServiceClient(conn),
		Contacts:             switchboardv1.NewContactServiceClient(conn),
		Conversations:        switchboardv1.NewConversationServiceClient(conn),
		Events:               switchboardv1.NewEventServiceClient(conn),
		Flows:                switchboardv1.NewFlowServiceClient(conn),
		Messages:             switchboardv1.NewMessageServiceClient(conn),
		Subscriptions:        switchboardv1.NewSubscriptionServiceClient(conn),
		Templates:            switchboardv1.NewTemplateServiceClient(conn),
		WebhookRegistrations: switchboardv1.NewWebhookRegistrationServiceClient(conn),
		conn:                 conn,
		dial:                 connect,
		retry:                retry,
	}, nil
}

// Conn is the client's connection, for services without a field here, such as grpc.health.v1.
func (c *Client) Conn() grpc.ClientConnInterface { return c.conn }

// Close closes the connection, and calls in progress fail. An [EventStream] has its own connections; cancel its context
// to end it.
func (c *Client) Close() error { return c.conn.Close() }

// transport chooses the transport credentials, and rejects a token that would travel in plaintext beyond loopback.
func (o *options) transport(address string) (credentials.TransportCredentials, error) {
	if strings.ContainsFunc(o.token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("switchboard: the token must be printable ASCII without spaces")
	}
	creds, plaintext := o.credentials, o.plaintext
	if creds != nil {
		if plaintext {
			return nil, errors.New("switchboard: WithPlaintext cannot be combined with WithTransportCredentials")
		}
		if plaintext = creds.Info().SecurityProtocol == insecure.NewCredentials().Info().SecurityProtocol; !plaintext {
			return creds, nil
		}
	}
	switch {
	case isLoopback(address):
		// These credentials refuse a connection whose peer is not on this host.
		return local.NewCredentials(), nil
	case plaintext && o.token != "":
		return nil, errors.New("switchboard: a token cannot be sent in plaintext beyond loopback; use TLS")
	case plaintext:
		return insecure.NewCredentials(), nil
	default:
		return credentials.NewTLS(nil), nil
	}
}

// checkAddress rejects addresses that gRPC accepts and can never connect to.
func checkAddress(address string) error {
	scheme, _, _ := strings.Cut(address, "://")
	switch {
	case address == "":
		return errors.New(`switchboard: the address is empty; use "host:port"`)
	case strings.EqualFold(scheme, "http"), strings.EqualFold(scheme, "https"):
		return fmt.Errorf(`switchboard: the address %q is a URL; use "host:port"`, address)
	}
	return nil
}

// isLoopback reports whether the address itself names this host only, without a name lookup.
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

// bearerToken adds a token to every call. It holds the token in a closure, because formatting the value must not print
// it.
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
