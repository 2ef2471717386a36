package switchboard

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	switchboardv1 "switchboard.example/go/switchboard/v1"
)

// syncBuffer is a buffer for concurrent writers.
type syncBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}

func TestRetriesAndReconnectsAreLoggedWithoutMessageText(t *testing.T) {
	const private = "private text"
	failed := statusError(t, codes.Unavailable, &switchboardv1.Failure{
		Reason: "PROVIDER_UNREACHABLE", Message: "try later", ProviderMessage: private,
	})
	var log syncBuffer
	logger := WithLogger(slog.New(slog.NewTextHandler(&log, nil)))

	replies := make(chan error, 2)
	replies <- failed
	replies <- nil
	messages := serveMessages(t, &fakeMessages{send: func(
		context.Context, *switchboardv1.SendMessageRequest,
	) (*switchboardv1.SendMessageResponse, error) {
		return &switchboardv1.SendMessageResponse{}, <-replies
	}})
	request := &switchboardv1.SendMessageRequest{
		Content: &switchboardv1.SendMessageRequest_Text{Text: &switchboardv1.Text{Body: private}},
	}
	if _, err := connect(t, messages, logger).Messages.SendMessage(testContext(t), request); err != nil {
		t.Fatal(err)
	}
	events := serveEvents(t, newFakeEvents(send(failed, started("c0")), endOfStream("c0")))
	if _, err := readAll(t, connect(t, events, logger).Subscribe(nil)); err != nil {
		t.Fatal(err)
	}

	for _, want := range []string{
		"level=INFO msg=\"switchboard call failed, retrying\" method=/switchboard.v1.MessageService/SendMessage attempt=1",
		"level=WARN msg=\"switchboard event stream broke, reconnecting\"",
		"PROVIDER_UNREACHABLE",
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("%q is missing in the log:\n%s", want, log.String())
		}
	}
	if strings.Contains(log.String(), private) {
		t.Errorf("the log contains message text:\n%s", log.String())
	}
}

func TestUnreachableServerIsLogged(t *testing.T) {
	var log syncBuffer
	client := connect(t, listenAndClose(t), WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	for _, err := range client.Subscribe(nil, OnReconnect(func(error) { cancel() })).Events(ctx) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	}
	if !strings.Contains(log.String(), "connection refused") {
		t.Errorf("the log lacks the cause:\n%s", log.String())
	}
}

func TestNilLoggerIsRejected(t *testing.T) {
	if _, err := NewClient("127.0.0.1:1", WithLogger(nil)); err == nil {
		t.Error("a nil logger was accepted")
	}
}

func TestErrorUnwrapsToContextError(t *testing.T) {
	silent := serveMessages(t, &fakeMessages{send: func(
		ctx context.Context, _ *switchboardv1.SendMessageRequest,
	) (*switchboardv1.SendMessageResponse, error) {
		<-ctx.Done()
		return nil, status.FromContextError(ctx.Err()).Err()
	}})
	for name, address := range map[string]string{"silent server": silent, "unreachable server": listenAndClose(t)} {
		t.Run(name, func(t *testing.T) {
			client := connect(t, address)
			late, cancelLate := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancelLate()
			canceled, cancel := context.WithTimeout(t.Context(), testTimeout)
			time.AfterFunc(100*time.Millisecond, cancel)
			for want, ctx := range map[error]context.Context{context.DeadlineExceeded: late, context.Canceled: canceled} {
				_, err := client.Messages.SendMessage(ctx, &switchboardv1.SendMessageRequest{})
				if failure, ok := errors.AsType[*Error](err); !ok || failure.RequestID == "" || !errors.Is(err, want) {
					t.Errorf("got %v, want %v", err, want)
				}
			}
		})
	}
}

func TestCancelledStatusOfServerIsNotCancellation(t *testing.T) {
	_, address := serveRecorder(t, status.Error(codes.Canceled, "reset"))
	_, err := connect(t, address).Accounts.GetAccount(testContext(t), &switchboardv1.GetAccountRequest{})
	if err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
