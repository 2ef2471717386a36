"""Answers messages of customers, and resumes after the last answered one when it is restarted."""

import asyncio
import os

import grpc

from switchboard_client import SwitchboardError, aio, v1

SUBSCRIPTION = "answers"


async def main() -> None:
    request = v1.SubscribeRequest(
        subscription_id=SUBSCRIPTION,
        max_events=int(os.environ.get("MAX_EVENTS", "0")),
    )
    async with aio.Client(os.environ.get("SWITCHBOARD_ADDRESS", "127.0.0.1:50051")) as client:
        try:
            # The subscription receives all messages from now on.
            await client.subscriptions.CreateSubscription(
                v1.CreateSubscriptionRequest(
                    subscription_id=SUBSCRIPTION,
                    subscription=v1.Subscription(filter=v1.EventFilter(types=["message.received"])),
                    position=v1.START_POSITION_LATEST,
                ),
                timeout=20,
            )
        except SwitchboardError as error:
            if error.code() is not grpc.StatusCode.ALREADY_EXISTS:
                raise
            # An earlier run created it. The server has stored its position.
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
        # If the event is redelivered after a crash, this idempotency key prevents a second answer.
        request_id=f"answer-{event.event_id}",
        text=v1.Text(body="Thank you, we have received your message."),
    )
    try:
        await client.messages.SendMessage(reply, timeout=40)
    except SwitchboardError as error:
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            raise  # The event stays unfinished, so the server redelivers it later.
        print(f"{event.event_id} has no answer: {error.reason or error.code().name}")
    else:
        print(f"{event.event_id} is answered")


if __name__ == "__main__":
    asyncio.run(main())
