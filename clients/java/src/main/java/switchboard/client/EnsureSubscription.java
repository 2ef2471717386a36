package switchboard.client;

import com.google.protobuf.FieldMask;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.util.Comparator;
import java.util.List;
import switchboard.v1.CreateSubscriptionRequest;
import switchboard.v1.EventFilter;
import switchboard.v1.GetSubscriptionRequest;
import switchboard.v1.Reason;
import switchboard.v1.Subscription;
import switchboard.v1.SubscriptionServiceGrpc.SubscriptionServiceBlockingStub;
import switchboard.v1.UpdateSubscriptionRequest;

/** Creates a subscription, or changes it to the wanted state. */
record EnsureSubscription(SubscriptionServiceBlockingStub stub) {
    Subscription ensure(CreateSubscriptionRequest request) {
        while (true) {
            try {
                return stub.createSubscription(request).getSubscription();
            } catch (StatusRuntimeException e) {
                if (e.getStatus().getCode() != Status.Code.ALREADY_EXISTS) {
                    throw e;
                }
            }
            try {
                return update(request.getSubscriptionId(), request.getSubscription());
            } catch (StatusRuntimeException e) {
                Reason reason = Reasons.parse(SwitchboardException.of(e).getReason());
                if (reason != Reason.REASON_SUBSCRIPTION_NOT_FOUND) {
                    throw e;
                } // Otherwise another client has deleted the subscription meanwhile.
            }
        }
    }

    /** Changes the filter and the labels if they differ from the wanted ones. */
    private Subscription update(String id, Subscription wanted) {
        Subscription stored = stub.getSubscription(GetSubscriptionRequest.newBuilder()
                        .setSubscriptionId(id)
                        .build())
                .getSubscription();
        FieldMask.Builder mask = FieldMask.newBuilder();
        if (!sorted(stored.getFilter()).equals(sorted(wanted.getFilter()))) {
            mask.addPaths("filter");
        }
        if (!stored.getLabelsMap().equals(wanted.getLabelsMap())) {
            mask.addPaths("labels");
        }
        if (mask.getPathsCount() == 0) {
            return stored;
        }
        return stub.updateSubscription(UpdateSubscriptionRequest.newBuilder()
                        .setSubscription(wanted.toBuilder().setSubscriptionId(id))
                        .setUpdateMask(mask)
                        .build())
                .getSubscription();
    }

    /** Returns the filter with sorted lists, because the order in them has no meaning. */
    private static EventFilter sorted(EventFilter filter) {
        EventFilter.Builder sorted = filter.toBuilder();
        sorted.getAllFields().forEach((field, value) -> {
            if (value instanceof List<?> list) {
                sorted.setField(
                        field,
                        list.stream()
                                .sorted(Comparator.comparing(Object::toString))
                                .toList());
            }
        });
        return sorted.build();
    }
}
