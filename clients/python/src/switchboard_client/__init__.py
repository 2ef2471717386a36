"""The Python client library of Switchboard, one gRPC service in front of two WhatsApp Business REST APIs.

    from switchboard_client import Client, v1

    with Client("127.0.0.1:50051") as client:
        client.messages.SendMessage(
            v1.SendMessageRequest(account="acme", to="+15550100001", text=v1.Text(body="Hello!")), timeout=40
        )

`switchboard_client.aio` is the same client for asyncio. `switchboard_client.v1` contains the messages of the API, whose
comments are the API's documentation.
"""

from switchboard_client import v1
from switchboard_client._calls import Upload, upload
from switchboard_client._client import Client, EventStream
from switchboard_client._connection import __version__
from switchboard_client._errors import FieldViolation, SwitchboardError, parse_reason

__all__ = [
    "Client",
    "EventStream",
    "FieldViolation",
    "SwitchboardError",
    "Upload",
    "__version__",
    "parse_reason",
    "upload",
    "v1",
]
