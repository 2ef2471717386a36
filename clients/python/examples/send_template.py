"""Sends a template with an image header."""

import os

from switchboard_client import Client, v1


def main() -> None:
    with Client(os.environ.get("SWITCHBOARD_ADDRESS", "127.0.0.1:50051")) as client:
        image = v1.HeaderMedia(url="https://files.example.org/summer.jpg")
        response = client.messages.SendMessage(
            v1.SendMessageRequest(
                account="demo-connectby",
                to="+15550100001",
                template=v1.TemplateMessage(
                    name="summer_sale",
                    language="en_US",
                    header=v1.TemplateHeader(image=image),
                    body=[v1.Parameter(text="Ada")],
                    # The second button opens the shop. The first takes no parameter.
                    buttons=[v1.TemplateButton(index=1, url_suffix="summer")],
                ),
            ),
            timeout=40,
        )
        print(f"{response.message.message_id} is {v1.MessageState.Name(response.message.state)}")


if __name__ == "__main__":
    main()
