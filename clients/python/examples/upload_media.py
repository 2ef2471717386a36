"""Sends a file to a customer, and uploads an image for template headers."""

import base64
import os

from switchboard_client import Client, upload, v1

LETTER = b"Dear Ada,\n\nthank you for your order.\n"
# One black pixel.
PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)


def main() -> None:
    with Client(os.environ.get("SWITCHBOARD_ADDRESS", "127.0.0.1:50051")) as client:
        header = v1.MediaHeader(account="demo-connectby", to="+15550100001", file_name="letter.txt")
        sent = client.messages.SendMedia(upload(header, LETTER), timeout=60)
        print(f"{sent.message.message_id} is {v1.MessageState.Name(sent.message.state)}")

        # `upload` also accepts an open file.
        template_header = v1.UploadTemplateMediaHeader(account="demo-connectby", file_name="point.png")
        uploaded = client.templates.UploadTemplateMedia(upload(template_header, PICTURE), timeout=60)
        print(f"The image is at {uploaded.url}")


if __name__ == "__main__":
    main()
