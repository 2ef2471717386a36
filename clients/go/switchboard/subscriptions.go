package switchboard

import (
	"context"
	"errors"
	"maps"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	switchboardv1 "switchboard.example/go/switchboard/v1"
)

// EnsureSubscription makes the server store the named subscription of the request, and returns it. Call it when the
// program starts.
//
// If no subscription of this id exists, it creates one at the request's start position. If one exists with another filter
// or other labels, it changes these and keeps the position; open streams of the subscription then continue with the new
// filter. An absent filter means all events, and absent labels mean none.
//
// The budget is the deadline of ctx, or 60 seconds. Every step is retried after UNAVAILABLE, because a repeated step
// changes nothing.
func (c *Client) EnsureSubscription(
	ctx context.Context, request *switchboardv1.CreateSubscriptionRequest,
) (*switchboardv1.Subscription, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, defaultBudget)
		defer cancel()
	}
	for {
		created, err := retryCall(ctx, c.retry, switchboardv1.SubscriptionService_CreateSubscription_FullMethodName,
			func() (*switchboardv1.CreateSubscriptionResponse, error) {
				return c.Subscriptions.CreateSubscription(ctx, request)
			})
		if failure, ok := errors.AsType[*Error](err); !ok || failure.Code != codes.AlreadyExists {
			return created.GetSubscription(), err
		}
		stored, err := c.updateSubscription(ctx, request.GetSubscriptionId(), request.GetSubscription())
		failure, ok := errors.AsType[*Error](err)
		if !ok || ParseReason(failure.Reason) != switchboardv1.Reason_REASON_SUBSCRIPTION_NOT_FOUND {
			return stored, err
		}
		// Another client has deleted the subscription meanwhile.
	}
}

// updateSubscription changes the filter and the labels of an existing subscription if they differ from the wanted ones.
func (c *Client) updateSubscription(
	ctx context.Context, id string, wanted *switchboardv1.Subscription,
) (*switchboardv1.Subscription, error) {
	got, err := c.Subscriptions.GetSubscription(ctx, &switchboardv1.GetSubscriptionRequest{SubscriptionId: id})
	if err != nil {
		return nil, err
	}
	mask := &fieldmaskpb.FieldMask{}
	if !equalFilters(got.GetSubscription().GetFilter(), wanted.GetFilter()) {
		mask.Paths = append(mask.Paths, "filter")
	}
	if !maps.Equal(got.GetSubscription().GetLabels(), wanted.GetLabels()) {
		mask.Paths = append(mask.Paths, "labels")
	}
	if len(mask.GetPaths()) == 0 {
		return got.GetSubscription(), nil
	}
	changed := &switchboardv1.Subscription{}
	if wanted != nil {
		changed = proto.CloneOf(wanted)
	}
	changed.SubscriptionId = id
	updated, err := retryCall(ctx, c.retry, switchboardv1.SubscriptionService_UpdateSubscription_FullMethodName,
		func() (*switchboardv1.UpdateSubscriptionResponse, error) {
			return c.Subscriptions.UpdateSubscription(ctx, &switchboardv1.UpdateSubscriptionRequest{
				Subscription: changed, UpdateMask: mask,
			})
		})
	return updated.GetSubscription(), err
}

// equalFilters compares two filters. The order of values in a list has no meaning.
func equalFilters(a, b *switchboardv1.EventFilter) bool {
	return proto.Equal(sortedFilter(a), sortedFilter(b))
}

// sortedFilter returns a copy of the filter in which every list is sorted.
func sortedFilter(filter *switchboardv1.EventFilter) *switchboardv1.EventFilter {
	sorted := &switchboardv1.EventFilter{}
	if filter != nil {
		sorted = proto.CloneOf(filter)
	}
	reflected := sorted.ProtoReflect()
	reflected.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		if field.IsList() && field.Kind() == protoreflect.StringKind {
			list := value.List()
			values := make([]string, list.Len())
			for i := range values {
				values[i] = list.Get(i).String()
			}
			slices.Sort(values)
			for i, value := range values {
				list.Set(i, protoreflect.ValueOfString(value))
			}
		}
		return true
	})
	return sorted
}

// retryCall makes a call that is safe to repeat although it carries no request_id.
func retryCall[Response any](
	ctx context.Context, retry retrier, method string, call func() (*Response, error),
) (response *Response, err error) {
	err = retry.do(ctx, method, true, func() (err error) {
		response, err = call()
		return err
	})
	return response, err
}
