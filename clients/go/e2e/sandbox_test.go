package e2e

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"switchboard.example/go/switchboard"
	sandboxv1 "switchboard.example/go/switchboard/sandbox/v1"
	switchboardv1 "switchboard.example/go/switchboard/v1"
)

// testTimeout limits everything that a test waits for.
const testTimeout = 30 * time.Second

const (
	connectby = "demo-connectby"
	connectly = "demo-connectly"
	customer  = "+15550100001"
)

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	t.Cleanup(cancel)
	return ctx
}

// serverPath returns the path of the server's executable.
func serverPath(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs(cmp.Or(os.Getenv("SWITCHBOARD_BIN"), "../../../target/debug/switchboard"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("no server executable: %v; run cargo build or set SWITCHBOARD_BIN", err)
	}
	return path
}

// sandbox is a running `switchboard sandbox`.
type sandbox struct {
	address string
	proxy   *proxy // Forwards to this server; may be nil.
	process *exec.Cmd
	exited  chan struct{}
}

// startSandbox starts a server and waits until it accepts calls.
func startSandbox(t *testing.T, args ...string) *sandbox {
	t.Helper()
	command := exec.Command(serverPath(t), append([]string{"sandbox"}, args...)...)
	command.Dir = t.TempDir()
	command.Env = append(os.Environ(),
		"SWITCHBOARD__GRPC__LISTEN=127.0.0.1:0",
		"SWITCHBOARD__WEBHOOK__LISTEN=127.0.0.1:0",
		"SWITCHBOARD__ADMIN__LISTEN=127.0.0.1:0",
	)
	var log bytes.Buffer
	command.Stderr = &log
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	s := &sandbox{process: command, exited: make(chan struct{})}
	up := make(chan string, 1)
	go func() {
		defer close(s.exited)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if words := strings.Fields(lines.Text()); len(words) == 2 && words[0] == "gRPC" {
				up <- words[1]
			}
		}
		_ = command.Wait()
		close(up)
	}()
	t.Cleanup(func() { s.stop(t, syscall.SIGKILL) })
	select {
	case s.address = <-up:
	case <-time.After(testTimeout):
	}
	if s.address == "" {
		s.stop(t, syscall.SIGKILL)
		t.Fatalf("the server did not start: %s", log.String())
	}
	return s
}

// startWithProxy starts a server that clients reach through a proxy. The proxy keeps its address across restarts; the
// server's port could be taken by another process.
func startWithProxy(t *testing.T, proxy *proxy, args ...string) *sandbox {
	t.Helper()
	s := startSandbox(t, args...)
	s.proxy = proxy
	proxy.setTarget(s.address)
	return s
}

// stop signals the server and waits until it has exited.
func (s *sandbox) stop(t *testing.T, signal syscall.Signal) {
	t.Helper()
	if s.proxy != nil {
		s.proxy.setTarget("")
	}
	_ = s.process.Process.Signal(signal)
	select {
	case <-s.exited:
	case <-time.After(testTimeout):
		_ = s.process.Process.Kill()
		t.Errorf("the server did not stop")
	}
}

func connect(t *testing.T, address string, options ...switchboard.Option) *switchboard.Client {
	t.Helper()
	client, err := switchboard.NewClient(address, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// sandboxClient controls the fake providers.
func sandboxClient(client *switchboard.Client) sandboxv1.SandboxServiceClient {
	return sandboxv1.NewSandboxServiceClient(client.Conn())
}

func setFault(t *testing.T, client *switchboard.Client, fault *sandboxv1.SetFaultRequest) {
	t.Helper()
	if _, err := sandboxClient(client).SetFault(testContext(t), fault); err != nil {
		t.Fatal(err)
	}
}

// inject sends a message from a customer. It fails unless the server confirmed that it accepted the message.
func inject(ctx context.Context, client *switchboard.Client, text string) error {
	answer, err := sandboxClient(client).InjectMessage(ctx, &sandboxv1.InjectMessageRequest{
		Account: connectly, Sender: customer, Text: text,
	})
	if err == nil && answer.GetWebhookStatus() != 200 {
		err = fmt.Errorf("the webhook returned %d", answer.GetWebhookStatus())
	}
	return err
}

func textRequest(account, text string) *switchboardv1.SendMessageRequest {
	return &switchboardv1.SendMessageRequest{
		Account: account,
		To:      customer,
		Content: &switchboardv1.SendMessageRequest_Text{Text: &switchboardv1.Text{Body: text}},
	}
}

// receivedTexts requests the messages that customers send.
func receivedTexts(position switchboardv1.StartPosition) *switchboardv1.SubscribeRequest {
	return &switchboardv1.SubscribeRequest{
		Filter: &switchboardv1.EventFilter{Types: []string{"message.received"}},
		Start:  &switchboardv1.SubscribeRequest_Position{Position: position},
	}
}

func textOf(event *switchboardv1.Event) string {
	return event.GetMessageReceived().GetText().GetBody()
}

// proxy forwards connections between a client and a server, and can stall them.
type proxy struct {
	address string
	mu      sync.Mutex
	to      string // Target of new connections; if empty, the proxy closes them.
	silent  map[net.Conn]bool
	count   int
	refused chan struct{} // Holds a token after a connection was closed for lack of a target.
}

func startProxy(t *testing.T, to string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{
		address: listener.Addr().String(), to: to, silent: map[net.Conn]bool{}, refused: make(chan struct{}, 1),
	}
	var all sync.WaitGroup
	ended := make(chan struct{})
	t.Cleanup(func() { close(ended); listener.Close(); all.Wait() })
	all.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			p.mu.Lock()
			to := p.to
			p.mu.Unlock()
			if to == "" {
				near.Close()
				select {
				case p.refused <- struct{}{}:
				default:
				}
				continue
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				near.Close()
				continue
			}
			p.mu.Lock()
			p.silent[near] = false
			p.count++
			p.mu.Unlock()
			all.Go(func() { p.copyBytes(near, far, near) })
			all.Go(func() { p.copyBytes(far, near, near) })
			all.Go(func() {
				<-ended
				near.Close()
				far.Close()
			})
		}
	})
	return p
}

// copyBytes forwards bytes in one direction. It drops those of a stalled connection.
func (p *proxy) copyBytes(from, to, near net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		p.mu.Lock()
		silent := p.silent[near]
		p.mu.Unlock()
		if n > 0 && !silent {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			if !silent {
				to.Close()
			}
			return
		}
	}
}

// setTarget sets the target of new connections.
func (p *proxy) setTarget(address string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.to = address
}

// stall stops forwarding on all current connections and keeps them open.
func (p *proxy) stall() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for near := range p.silent {
		p.silent[near] = true
	}
}

// connections returns how many connections the proxy has forwarded.
func (p *proxy) connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count
}
