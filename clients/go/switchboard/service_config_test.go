package switchboard

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/dynamicpb"

	switchboardv1 "switchboard.example/go/switchboard/v1"
)

// publishedServiceConfig is the service config for programs that do not use this package.
func publishedServiceConfig(t *testing.T) string {
	t.Helper()
	return string(repositoryFile(t, "docs/service-config.json"))
}

func TestServiceConfigNamesOnlyReads(t *testing.T) {
	var config struct {
		MethodConfig []struct {
			Name []struct{ Service, Method string }
		}
	}
	if err := json.Unmarshal([]byte(publishedServiceConfig(t)), &config); err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, each := range config.MethodConfig {
		for _, name := range each.Name {
			got = append(got, "/"+name.Service+"/"+name.Method)
		}
	}
	for _, method := range methods(t) {
		name := string(method.Name())
		read := strings.HasPrefix(name, "Get") || strings.HasPrefix(name, "List") || name == "VerifyWebhookSignature"
		if read && !method.IsStreamingClient() && !method.IsStreamingServer() {
			want = append(want, fullName(method))
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the config names %q, want %q", got, want)
	}
}

// Makes every call of the contract with plain gRPC against a server that is always unavailable.
func TestServiceConfigMakesGRPCRetryOnlyReads(t *testing.T) {
	recorder, address := serveRecorder(t, unavailable)
	// Fails if gRPC cannot parse the config.
	conn, err := grpc.NewClient(address, grpc.WithDefaultServiceConfig(publishedServiceConfig(t)),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	for _, method := range methods(t) {
		name := fullName(method)
		t.Run(string(method.Name()), func(t *testing.T) {
			t.Parallel()
			stream, err := conn.NewStream(testContext(t),
				&grpc.StreamDesc{ClientStreams: method.IsStreamingClient(), ServerStreams: true}, name)
			if err == nil {
				_ = stream.SendMsg(dynamicpb.NewMessage(method.Input()))
				_ = stream.CloseSend()
				err = stream.RecvMsg(dynamicpb.NewMessage(method.Output()))
			}
			if status.Code(err) != codes.Unavailable {
				t.Fatalf("got %v", err)
			}
			want := 1
			if isRead(name) {
				want = 4
			}
			if calls := recorder.of(name); len(calls) != want {
				t.Errorf("got %d calls, want %d", len(calls), want)
			}
		})
	}
}

func TestServiceConfigAddsNoAttemptsToClient(t *testing.T) {
	recorder, address := serveRecorder(t, unavailable)
	client := connect(t, address, WithMaxAttempts(2), WithDialOptions(grpc.WithDefaultServiceConfig(publishedServiceConfig(t))))
	_, err := client.Accounts.GetAccount(testContext(t), &switchboardv1.GetAccountRequest{})
	if status.Code(err) != codes.Unavailable {
		t.Errorf("got %v", err)
	}
	if calls := recorder.of(switchboardv1.AccountService_GetAccount_FullMethodName); len(calls) != 2 {
		t.Errorf("got %d calls", len(calls))
	}
}
