"""Answers what customers write, and goes on where it stopped when it is started again."""

import asyncio
import os
from pathlib import Path

from switchboard import SwitchboardError, aio, v1


async def main() -> None:
    kept = Path(os.environ.get("CURSOR_FILE", "cursor.txt"))
    request = v1.SubscribeRequest(
        filter=v1.EventFilter(types=["message.received"]),
        max_events=int(os.environ.get("MAX_EVENTS", "0")),
    )
    if kept.exists():
        request.after_cursor = kept.read_text()
    async with (
        aio.Client(os.environ.get("SWITCHBOARD_ADDRESS", "127.0.0.1:50051")) as client,
        client.subscribe(request) as events,
    ):
        async for event in events:
            await answer(client, event)
            # What is kept is what was answered. The event's own id makes the answer one, even if this line is never
            # reached and the event comes again.
            kept.write_text(event.cursor)


async def answer(client: aio.Client, event: v1.Event) -> None:
    received = event.message_received
    if received.WhichOneof("content") != "text":
        return
    try:
        await client.messages.SendMessage(
            v1.SendMessageRequest(
                account=event.account,
                to=received.sender.address,
                channel=received.sender.channel,
                request_id=f"answer-{event.id}",
                text=v1.Text(body="Thank you, we have got your message."),
            ),
            timeout=40,
        )
    except SwitchboardError as error:
        print(f"No answer to {event.id}: {error.reason or error.code().name}")
    else:
        print(f"Answered {event.id}")


if __name__ == "__main__":
    asyncio.run(main())
