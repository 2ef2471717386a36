"""Answers what customers write, and goes on where it stopped when it is started again."""

import asyncio
import os
from pathlib import Path

import grpc

from switchboard import SwitchboardError, aio, v1


def main() -> None:
    kept = Path(os.environ.get("CURSOR_FILE", "cursor.txt"))
    request = v1.SubscribeRequest(
        filter=v1.EventFilter(types=["message.received"]),
        max_events=int(os.environ.get("MAX_EVENTS", "0")),
    )
    if kept.exists():
        request.after_cursor = kept.read_text()
    asyncio.run(follow(request, kept))


async def follow(request: v1.SubscribeRequest, kept: Path) -> None:
    async with (
        aio.Client(os.environ.get("SWITCHBOARD_ADDRESS", "127.0.0.1:50051")) as client,
        client.subscribe(request) as events,
    ):
        async for event in events:
            await answer(client, event)
            await asyncio.to_thread(kept.write_text, event.cursor)


async def answer(client: aio.Client, event: v1.Event) -> None:
    received = event.message_received
    if received.WhichOneof("content") != "text":
        return
    reply = v1.SendMessageRequest(
        account=event.account,
        to=received.sender.address,
        channel=received.sender.channel,
        # Should the event come again because its cursor was not kept, its answer is not sent again.
        request_id=f"answer-{event.id}",
        text=v1.Text(body="Thank you, we have got your message."),
    )
    try:
        await client.messages.SendMessage(reply, timeout=40)
    except SwitchboardError as error:
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            raise  # It can be answered later: the cursor stays before it.
        print(f"{event.id} has no answer: {error.reason or error.code().name}")
    else:
        print(f"{event.id} is answered")


if __name__ == "__main__":
    main()
