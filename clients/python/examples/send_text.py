"""Sends a text message."""

import os
import sys

from switchboard_client import Client, SwitchboardError, parse_reason, v1


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
            if parse_reason(error.reason) == v1.REASON_SESSION_WINDOW_CLOSED:
                sys.exit("The customer has not written for 24 hours: send a template instead.")
            for violation in error.field_violations:
                print(f"{violation.field}: {violation.description}", file=sys.stderr)
            raise
        print(f"{response.message.message_id} is {v1.MessageState.Name(response.message.state)}")


if __name__ == "__main__":
    main()
