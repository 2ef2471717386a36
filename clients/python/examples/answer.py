"""Answers messages of customers, and resumes after the last answered one when it is restarted."""

import asyncio
import enum
import logging
import os
import random

import grpc

from switchboard_client import SwitchboardError, aio, parse_reason, v1

SUBSCRIPTION = "answers"


async def main() -> None:
    request = v1.SubscribeRequest(
        subscription_id=SUBSCRIPTION,
        max_events=int(os.environ.get("MAX_EVENTS", "0")),
    )
    async with aio.Client(os.environ.get("SWITCHBOARD_ADDRESS", "127.0.0.1:50051")) as client:
        # The first start creates the subscription. A later one changes its filter, if the program has another one now.
        await client.ensure_subscription(
            v1.CreateSubscriptionRequest(
                subscription_id=SUBSCRIPTION,
                subscription=v1.Subscription(filter=v1.EventFilter(types=["message.received"])),
                position=v1.START_POSITION_LATEST,
            )
        )
        async with client.subscribe(request) as events:
            async for event in events:
                await answer(client, event)


async def answer(client: aio.Client, event: v1.Event) -> None:
    received = event.message_received
    if received.WhichOneof("content") != "text":
        return
    reply = v1.SendMessageRequest(
        account=event.account,
        to=received.sender.address,
        channel=received.sender.channel,
        # If the event is redelivered after a crash, this idempotency key prevents a second answer. It contains the
        # subscription, so another service can answer the same event.
        request_id=f"{SUBSCRIPTION}:{event.event_id}",
        text=v1.Text(body="Thank you, we have received your message."),
    )
    pause = 1.0
    while True:
        try:
            await client.messages.SendMessage(reply, timeout=40)
        except SwitchboardError as error:
            match decide(error):
                case Next.SKIP:
                    print(f"{event.event_id} has no answer: {error.reason}")
                    return
                case Next.END:
                    raise  # The event stays unfinished, so the server redelivers it after a restart.
            asked = error.retry_delay.total_seconds() if error.retry_delay else 0.0
        else:
            print(f"{event.event_id} is answered")
            return
        # The event stays unacknowledged while the program waits.
        await asyncio.sleep(max(pause, asked) + random.random())
        pause = min(2 * pause, 30.0)


class Next(enum.Enum):
    """What to do after a failed answer."""

    WAIT = "wait"
    """Try again later: this message can still be sent."""
    SKIP = "skip"
    """This message will never be accepted, or an earlier attempt may have sent it."""
    END = "end"
    """An operator must repair something. Keep the event."""


SKIPPED = {
    v1.REASON_REQUEST_INVALID,
    v1.REASON_REQUEST_ID_REUSED,
    v1.REASON_PROVIDER_UNSUPPORTED,
    v1.REASON_SEND_OUTCOME_UNKNOWN,
    v1.REASON_PROVIDER_CAPPED,
    v1.REASON_PROVIDER_REFUSED,
    v1.REASON_SESSION_WINDOW_CLOSED,
    v1.REASON_RECIPIENT_NOT_REACHABLE,
    v1.REASON_RECIPIENT_OPTED_OUT,
    v1.REASON_RECIPIENT_INVALID,
    v1.REASON_CONTENT_REJECTED,
}

# The server's timer may end a call before the client's does. The code is then CANCELLED.
RETRIED = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
}


def decide(error: SwitchboardError) -> Next:
    if parse_reason(error.reason) in SKIPPED:
        return Next.SKIP
    if error.retry_delay is not None or error.code() in RETRIED:
        return Next.WAIT
    return Next.END


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    asyncio.run(main())
