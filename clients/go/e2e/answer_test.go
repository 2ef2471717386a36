package e2e

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"switchboard.example/go/switchboard"
	sandboxv1 "switchboard.example/go/switchboard/sandbox/v1"
	switchboardv1 "switchboard.example/go/switchboard/v1"
)

// answerProgram is the running example "answer".
type answerProgram struct {
	t       *testing.T
	process *exec.Cmd
	lines   *bufio.Scanner
}

func startAnswer(t *testing.T, folder, address string) *answerProgram {
	t.Helper()
	command := exec.CommandContext(testContext(t), filepath.Join(folder, "answer"))
	command.Env = append(os.Environ(), "SWITCHBOARD_ADDRESS="+address)
	command.Stderr = os.Stderr
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	return &answerProgram{t: t, process: command, lines: bufio.NewScanner(out)}
}

// answered returns the ids of the event and of the reply in the next line.
func (p *answerProgram) answered() (event, message string) {
	p.t.Helper()
	p.lines.Scan()
	words := strings.Fields(p.lines.Text())
	if len(words) != 4 || words[0] != "answered" {
		p.t.Fatalf("got output %q", p.lines.Text())
	}
	return words[1], words[3]
}

// stop ends the program by a signal. It must not print anything more.
func (p *answerProgram) stop(signal os.Signal) {
	p.t.Helper()
	if err := p.process.Process.Signal(signal); err != nil {
		p.t.Fatal(err)
	}
	for p.lines.Scan() {
		p.t.Errorf("got extra output %q", p.lines.Text())
	}
	if err := p.process.Wait(); err != nil {
		p.t.Error(err)
	}
}

// requireMessage checks the message that the program sent for an event.
func requireMessage(t *testing.T, client *switchboard.Client, event, message string) {
	t.Helper()
	got, err := client.Messages.GetMessage(testContext(t), &switchboardv1.GetMessageRequest{
		Account: connectly, Key: &switchboardv1.GetMessageRequest_RequestId{RequestId: "answer:" + event},
	})
	if err != nil || got.GetMessage().GetMessageId() != message || got.GetMessage().GetTo() != customer {
		t.Errorf("got message %v, %v", got, err)
	}
}

// throttle makes the provider refuse sends with 429. Zero times is until the sandbox restarts.
func throttle(t *testing.T, client *switchboard.Client, times uint32) {
	t.Helper()
	setFault(t, client, &sandboxv1.SetFaultRequest{
		Account: connectly, Kind: sandboxv1.FaultKind_FAULT_KIND_STATUS, Operation: "send_message",
		HttpStatus: 429, RetryAfter: proto.String("1"), Times: times,
	})
}

// waitForSend waits until the provider has received a send.
func waitForSend(t *testing.T, client *switchboard.Client) {
	t.Helper()
	ctx := testContext(t)
	for {
		calls, err := sandboxClient(client).ListCalls(ctx, &sandboxv1.ListCallsRequest{Account: connectly})
		if err != nil {
			t.Fatal(err)
		}
		for _, call := range calls.GetCalls() {
			if call.GetOperation() == "send_message" {
				return
			}
		}
		time.Sleep(20 * time.Millisecond) // Poll again.
	}
}

func TestAnswerResumesAfterAnsweredQuestion(t *testing.T) {
	folder, server := buildExamples(t), startSandbox(t)
	client := connect(t, server.address)
	// The statement comes first. If the program answered it, that reply would come first too.
	for _, text := range []string{"I like Sundays.", "Do you deliver on Sundays?"} {
		if err := inject(testContext(t), client, text); err != nil {
			t.Fatal(err)
		}
	}
	program := startAnswer(t, folder, server.address)
	event, answer := program.answered()
	requireMessage(t, client, event, answer)
	var asked *switchboardv1.Event
	for event, err := range client.Subscribe(receivedTexts(switchboardv1.StartPosition_START_POSITION_EARLIEST)).Events(testContext(t)) {
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(textOf(event), "?") {
			asked = event
			break
		}
	}
	if asked.GetEventId() != event {
		t.Errorf("answered %s, want %s", event, asked.GetEventId())
	}
	ctx := testContext(t)
	for getSubscription(t, client, "answer").GetCursor() != asked.GetCursor() {
		select {
		case <-ctx.Done():
			t.Fatal("the question was not acknowledged")
		case <-time.After(20 * time.Millisecond): // Poll again.
		}
	}
	program.stop(os.Interrupt)

	// After a restart, the program resumes after the answered question.
	if err := inject(testContext(t), client, "And on Mondays?"); err != nil {
		t.Fatal(err)
	}
	program = startAnswer(t, folder, server.address)
	if next, _ := program.answered(); next == event {
		t.Error("the same question was answered again")
	}
	program.stop(syscall.SIGTERM)
}

func TestAnswerWaitsForThrottlingProvider(t *testing.T) {
	folder, server := buildExamples(t), startSandbox(t)
	client := connect(t, server.address)
	throttle(t, client, 2)
	for _, text := range []string{"Do you deliver on Sundays?", "And on Mondays?"} {
		if err := inject(testContext(t), client, text); err != nil {
			t.Fatal(err)
		}
	}
	program := startAnswer(t, folder, server.address)
	for range 2 {
		event, answer := program.answered()
		requireMessage(t, client, event, answer)
	}
	program.stop(os.Interrupt)
}

func TestAnswerInterruptedWhileItWaitsKeepsTheQuestion(t *testing.T) {
	folder, server := buildExamples(t), startSandbox(t)
	client := connect(t, server.address)
	throttle(t, client, 0)
	if err := inject(testContext(t), client, "Do you deliver on Sundays?"); err != nil {
		t.Fatal(err)
	}
	program := startAnswer(t, folder, server.address)
	waitForSend(t, client)
	program.stop(os.Interrupt)
	if subscription := getSubscription(t, client, "answer"); subscription.GetLagEvents() == 0 {
		t.Error("the question was acknowledged")
	}
	if _, err := sandboxClient(client).ClearFaults(testContext(t), &sandboxv1.ClearFaultsRequest{Account: connectly}); err != nil {
		t.Fatal(err)
	}
	program = startAnswer(t, folder, server.address)
	program.answered()
	program.stop(os.Interrupt)
}

func TestAnswerSurvivesServerRestart(t *testing.T) {
	folder, store := buildExamples(t), filepath.Join(t.TempDir(), "store")
	proxy := startProxy(t, "")
	server := startWithProxy(t, proxy, "--store", store)
	client := connect(t, proxy.address)
	// The throttling provider keeps the question in the hands of the program.
	throttle(t, client, 0)
	if err := inject(testContext(t), client, "Do you deliver on Sundays?"); err != nil {
		t.Fatal(err)
	}
	program := startAnswer(t, folder, proxy.address)
	waitForSend(t, client)
	// An orderly shutdown ends no send in the middle, whose outcome would be unknown.
	server.stop(t, syscall.SIGTERM)
	// The program tries to send again while the server is away. The sandbox forgets the fault.
	receive(t, proxy.refused)
	startWithProxy(t, proxy, "--store", store)
	event, answer := program.answered()
	requireMessage(t, client, event, answer)
	program.stop(os.Interrupt)
}

func receive[T any](t *testing.T, from <-chan T) {
	t.Helper()
	select {
	case <-from:
	case <-testContext(t).Done():
		t.Fatal("timed out")
	}
}
