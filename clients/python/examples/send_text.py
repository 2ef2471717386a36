"""Sends a text."""

import os
import sys

from switchboard_client import Client, SwitchboardError, v1


def main() -> None:
    with Client(os.environ.get("SWITCHBOARD_ADDRESS", "127.0.0.1:50051")) as client:
        request = v1.SendMessageRequest(
            account="demo-connectly",
            to="+15550100001",
            text=v1.Text(body="Hello!"),
        )
        try:
            response = client.messages.SendMessage(request, timeout=40)
        except SwitchboardError as error:
            if error.reason == "SESSION_WINDOW_CLOSED":
                sys.exit("The customer has not written for a day: send a template.")
            for fault in error.field_violations:
                print(f"{fault.field}: {fault.description}", file=sys.stderr)
            raise
        print(f"{response.message.message_id} is {v1.MessageState.Name(response.message.state)}")


if __name__ == "__main__":
    main()
