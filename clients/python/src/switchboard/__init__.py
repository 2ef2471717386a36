"""The client of Switchboard: one gRPC service in front of two WhatsApp-business REST APIs.

    from switchboard import Client, v1

    with Client("127.0.0.1:50051") as client:
        client.messages.SendMessage(
            v1.SendMessageRequest(account="acme", to="+15550100001", text=v1.Text(body="Hello!")), timeout=40
        )

`switchboard.aio` has the same for asyncio. `switchboard.v1` holds the messages of the contract, and the comments there
are its documentation.
"""

from switchboard import v1
from switchboard._calls import Upload, upload
from switchboard._client import Client, Subscription
from switchboard._connection import __version__
from switchboard._errors import FieldViolation, SwitchboardError

__all__ = ["Client", "FieldViolation", "Subscription", "SwitchboardError", "Upload", "__version__", "upload", "v1"]
