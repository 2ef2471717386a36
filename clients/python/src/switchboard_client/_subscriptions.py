"""The steps of `ensure_subscription`, which synchronous and asyncio clients share."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import grpc

from switchboard_client import v1
from switchboard_client._calls import Attempts, repeatable_attempts
from switchboard_client._errors import SwitchboardError, parse_reason

if TYPE_CHECKING:
    from collections.abc import Generator


class Step:
    """One call of `ensure_subscription`, with its retry state."""

    def __init__(self, method: str, request: Any, deadline: float) -> None:
        self.method = method
        self.request = request
        self._deadline = deadline
        # The stub itself retries reads. A repeated creation or change is safe, because it changes nothing.
        limit = 1 if method == "GetSubscription" else None
        self.attempts: Attempts = repeatable_attempts(method, request, timeout=self.remaining(), limit=limit)

    def remaining(self) -> float:
        """Seconds until the deadline of all steps."""
        return max(0.0, self._deadline - time.monotonic())


def steps(request: v1.CreateSubscriptionRequest, timeout: float) -> Generator[Step, Any, v1.Subscription]:
    """Yields the calls to make, receives their responses or errors, and returns the stored subscription."""
    deadline = time.monotonic() + timeout
    wanted = request.subscription
    get = v1.GetSubscriptionRequest(subscription_id=request.subscription_id)
    while True:
        try:
            created = yield Step("CreateSubscription", request, deadline)
        except SwitchboardError as error:
            if error.code() is not grpc.StatusCode.ALREADY_EXISTS:
                raise
        else:
            return _subscription(created)
        try:
            stored = _subscription((yield Step("GetSubscription", get, deadline)))
            update = v1.UpdateSubscriptionRequest(subscription=wanted)
            update.subscription.subscription_id = request.subscription_id
            if _sorted(stored.filter) != _sorted(wanted.filter):
                update.update_mask.paths.append("filter")
            if stored.labels != wanted.labels:
                update.update_mask.paths.append("labels")
            if not update.update_mask.paths:
                return stored
            return _subscription((yield Step("UpdateSubscription", update, deadline)))
        except SwitchboardError as error:
            if parse_reason(error.reason) != v1.REASON_SUBSCRIPTION_NOT_FOUND:
                raise
            # Another client has deleted the subscription meanwhile.


def _subscription(response: Any) -> v1.Subscription:
    subscription: v1.Subscription = response.subscription
    return subscription


def _sorted(filter_: v1.EventFilter) -> v1.EventFilter:
    """A copy with sorted lists, whose order has no meaning."""
    copy = v1.EventFilter()
    copy.CopyFrom(filter_)
    for _, values in copy.ListFields():
        values.sort()
    return copy
