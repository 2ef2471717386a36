package switchboard

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	switchboardv1 "switchboard.example/go/switchboard/v1"
)

// subscriptionFields are the fields of a subscription and of the requests for it.
type subscriptionFields struct {
	SubscriptionID string `json:"subscription_id"`
	Accounts       []string
	Types          []string
	Labels         map[string]string
	Position       string
	UpdateMask     []string `json:"update_mask"`
}

func (s *subscriptionFields) subscription() *switchboardv1.Subscription {
	subscription := &switchboardv1.Subscription{Labels: s.Labels}
	if len(s.Accounts)+len(s.Types) > 0 {
		subscription.Filter = &switchboardv1.EventFilter{Accounts: s.Accounts, Types: s.Types}
	}
	return subscription
}

func (s *subscriptionFields) createRequest(t *testing.T) *switchboardv1.CreateSubscriptionRequest {
	t.Helper()
	request := &switchboardv1.CreateSubscriptionRequest{
		SubscriptionId: s.SubscriptionID,
		Start: &switchboardv1.CreateSubscriptionRequest_Position{
			Position: enumNumber[switchboardv1.StartPosition](
				t, switchboardv1.StartPosition_value, cmp.Or(s.Position, "START_POSITION_UNSPECIFIED")),
		},
	}
	if len(s.Accounts)+len(s.Types)+len(s.Labels) > 0 {
		request.Subscription = s.subscription()
	}
	return request
}

type subscriptionCall struct {
	CreateSubscription *subscriptionFields
	GetSubscription    *subscriptionFields
	UpdateSubscription *subscriptionFields
	Reply              json.RawMessage
}

type subscriptionCase struct {
	caseName
	Subscription subscriptionFields
	Server       []subscriptionCall
	Expect       struct {
		subscriptionFields
		Code   string
		Reason string
	}
}

// subscriptionServer runs the server's side of a case.
type subscriptionServer struct {
	switchboardv1.UnimplementedSubscriptionServiceServer
	t  *testing.T
	mu sync.Mutex
	// left are the expected calls that did not arrive yet.
	left []subscriptionCall
}

// handle checks a call and returns the subscription of its reply.
func (s *subscriptionServer) handle(
	got proto.Message, want func(subscriptionCall) proto.Message, ok *switchboardv1.Subscription,
) (*switchboardv1.Subscription, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.left) == 0 {
		s.t.Errorf("unexpected call %v", got)
		return nil, status.Error(codes.FailedPrecondition, "the case has no more calls")
	}
	call := s.left[0]
	s.left = s.left[1:]
	if wanted := want(call); wanted == nil || !proto.Equal(got, wanted) {
		s.t.Errorf("got call %v, want %v", got, wanted)
	}
	switch {
	case string(call.Reply) == `"ok"`:
		return ok, nil
	case bytes.Contains(call.Reply, []byte(`"code"`)):
		var failed scriptedStatus
		decodeStrictly(s.t, call.Reply, &failed)
		return nil, failed.err(s.t)
	default:
		var stored subscriptionFields
		decodeStrictly(s.t, call.Reply, &stored)
		return stored.subscription(), nil
	}
}

func (s *subscriptionServer) CreateSubscription(
	_ context.Context, request *switchboardv1.CreateSubscriptionRequest,
) (*switchboardv1.CreateSubscriptionResponse, error) {
	subscription, err := s.handle(request, func(call subscriptionCall) proto.Message {
		if call.CreateSubscription == nil {
			return nil
		}
		return call.CreateSubscription.createRequest(s.t)
	}, request.GetSubscription())
	return &switchboardv1.CreateSubscriptionResponse{Subscription: subscription}, err
}

func (s *subscriptionServer) GetSubscription(
	_ context.Context, request *switchboardv1.GetSubscriptionRequest,
) (*switchboardv1.GetSubscriptionResponse, error) {
	subscription, err := s.handle(request, func(call subscriptionCall) proto.Message {
		if call.GetSubscription == nil {
			return nil
		}
		return &switchboardv1.GetSubscriptionRequest{SubscriptionId: call.GetSubscription.SubscriptionID}
	}, nil)
	return &switchboardv1.GetSubscriptionResponse{Subscription: subscription}, err
}

func (s *subscriptionServer) UpdateSubscription(
	_ context.Context, request *switchboardv1.UpdateSubscriptionRequest,
) (*switchboardv1.UpdateSubscriptionResponse, error) {
	subscription, err := s.handle(request, func(call subscriptionCall) proto.Message {
		if call.UpdateSubscription == nil {
			return nil
		}
		wanted := call.UpdateSubscription.subscription()
		wanted.SubscriptionId = call.UpdateSubscription.SubscriptionID
		mask := &fieldmaskpb.FieldMask{Paths: call.UpdateSubscription.UpdateMask}
		return &switchboardv1.UpdateSubscriptionRequest{Subscription: wanted, UpdateMask: mask}
	}, request.GetSubscription())
	return &switchboardv1.UpdateSubscriptionResponse{Subscription: subscription}, err
}

func TestConformanceOfEnsureSubscription(t *testing.T) {
	t.Parallel()
	conformanceCases(t, "ensure_subscription.json", func(t *testing.T, c subscriptionCase) {
		server := &subscriptionServer{t: t, left: c.Server}
		address := serve(t, func(registrar *grpc.Server) {
			switchboardv1.RegisterSubscriptionServiceServer(registrar, server)
		})
		got, err := connect(t, address).EnsureSubscription(testContext(t), c.Subscription.createRequest(t))
		server.mu.Lock()
		defer server.mu.Unlock()
		if len(server.left) > 0 {
			t.Errorf("%d calls are missing", len(server.left))
		}
		want := c.Expect
		if want.Code != "" {
			(&expectedResult{Code: wordOrWords{want.Code}, Reason: want.Reason}).checkError(t, err)
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		sorted := func(values []string) []string { return slices.Sorted(slices.Values(values)) }
		if !slices.Equal(sorted(got.GetFilter().GetAccounts()), sorted(want.Accounts)) ||
			!slices.Equal(sorted(got.GetFilter().GetTypes()), sorted(want.Types)) ||
			!maps.Equal(got.GetLabels(), want.Labels) {
			t.Errorf("got %v, want %+v", got, want)
		}
	})
}
