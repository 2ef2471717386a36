"""Every RPC of the contract, against the real server, with both clients."""

from __future__ import annotations

import base64
import importlib
import json
import pkgutil
import uuid
from typing import TYPE_CHECKING

import pytest

import switchboard_client.v1
from switchboard_client import SwitchboardError, parse_reason, upload, v1

if TYPE_CHECKING:
    from collections.abc import Callable

    from kit.clients import AnyClient
    from kit.server import Server

CONNECTBY = "demo-connectby"
CONNECTLY = "demo-connectly"
CUSTOMER = "+15550100001"
PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)

CALLS: dict[str, Callable[[AnyClient, Server], None]] = {}


def rpc(name: str) -> Callable[[Callable[[AnyClient, Server], None]], Callable[[AnyClient, Server], None]]:
    def register(test: Callable[[AnyClient, Server], None]) -> Callable[[AnyClient, Server], None]:
        assert name not in CALLS
        CALLS[name] = test
        return test

    return register


def text(body: str, account: str = CONNECTLY) -> v1.SendMessageRequest:
    return v1.SendMessageRequest(account=account, to=CUSTOMER, text=v1.Text(body=body))


@rpc("AccountService.ListAccounts")
def list_accounts(any_client: AnyClient, server: Server) -> None:
    accounts = any_client.call("accounts.ListAccounts", v1.ListAccountsRequest()).accounts
    assert {account.account for account in accounts} == {CONNECTBY, CONNECTLY}


@rpc("AccountService.GetAccount")
def get_account(any_client: AnyClient, server: Server) -> None:
    account = any_client.call("accounts.GetAccount", v1.GetAccountRequest(account=CONNECTLY)).account
    assert account.provider == v1.PROVIDER_CONNECTLY
    assert "MessageService.SendMessage" in account.capabilities.rpcs


@rpc("ContactService.ListContacts")
def list_contacts(any_client: AnyClient, server: Server) -> None:
    first = any_client.call("contacts.ListContacts", v1.ListContactsRequest(account=CONNECTBY))
    second = any_client.call(
        "contacts.ListContacts", v1.ListContactsRequest(account=CONNECTBY, page_token=first.next_page_token)
    )
    assert first.contacts
    assert second.contacts
    assert first.contacts[0].contact_id != second.contacts[0].contact_id


def create(any_client: AnyClient) -> str:
    contact = v1.Contact(name="Asha Rao", country_code="91", phone_number="98123 45670")
    created = any_client.call("contacts.CreateContact", v1.CreateContactRequest(account=CONNECTBY, contact=contact))
    assert created.contact.phone_number == "9812345670"
    identity: str = created.contact.contact_id
    return identity


@rpc("ContactService.CreateContact")
def create_contact(any_client: AnyClient, server: Server) -> None:
    assert create(any_client) != create(any_client), "two requests with the same content create two contacts"


@rpc("ContactService.UpdateContact")
def update_contact(any_client: AnyClient, server: Server) -> None:
    contact = v1.Contact(contact_id=create(any_client), name="Asha R. Rao", note="prefers mail")
    updated = any_client.call("contacts.UpdateContact", v1.UpdateContactRequest(account=CONNECTBY, contact=contact))
    assert updated.provider_message


@rpc("ContactService.DeleteContact")
def delete_contact(any_client: AnyClient, server: Server) -> None:
    request = v1.DeleteContactRequest(account=CONNECTBY, contact_id=create(any_client))
    assert any_client.call("contacts.DeleteContact", request).provider_message


@rpc("FlowService.ListFlowResponses")
def list_flow_responses(any_client: AnyClient, server: Server) -> None:
    listed = any_client.call("flows.ListFlowResponses", v1.ListFlowResponsesRequest(account=CONNECTBY))
    assert listed.flow_responses[0].answers["screen_0_Name_0"] == "Asha"


@rpc("TemplateService.ListTemplates")
def list_templates(any_client: AnyClient, server: Server) -> None:
    listed = any_client.call("templates.ListTemplates", v1.ListTemplatesRequest(account=CONNECTBY))
    assert "order_update" in {template.name for template in listed.templates}


@rpc("TemplateService.GetTemplate")
def get_template(any_client: AnyClient, server: Server) -> None:
    request = v1.GetTemplateRequest(account=CONNECTLY, name="order_update", language="en")
    assert any_client.call("templates.GetTemplate", request).template.status == v1.TEMPLATE_STATUS_APPROVED


@rpc("TemplateService.UploadTemplateMedia")
def upload_template_media(any_client: AnyClient, server: Server) -> None:
    header = v1.UploadTemplateMediaHeader(account=CONNECTBY)
    assert any_client.call("templates.UploadTemplateMedia", upload(header, PICTURE)).url.endswith(".png")


@rpc("MessageService.SendMessage")
def send_message(any_client: AnyClient, server: Server) -> None:
    response = any_client.call("messages.SendMessage", text("Hello!"))
    assert response.message.state == v1.MESSAGE_STATE_ACCEPTED
    assert not response.replayed

    # The client generated a request_id. A second request with it is not executed again.
    again = text("Hello!")
    again.request_id = response.message.request_id
    repeated = any_client.call("messages.SendMessage", again)
    assert repeated.replayed
    assert repeated.message.message_id == response.message.message_id


@rpc("MessageService.SendMedia")
def send_media(any_client: AnyClient, server: Server) -> None:
    # Larger than the message limit and than one chunk.
    letter = b"Dear Ada, thank you.\n" * 300_000
    header = v1.MediaHeader(account=CONNECTBY, to=CUSTOMER, file_name="letter.txt")
    response = any_client.call("messages.SendMedia", upload(header, letter))
    assert response.message.state == v1.MESSAGE_STATE_ACCEPTED
    assert response.message.request_id


@rpc("MessageService.SendMessages")
def send_messages(any_client: AnyClient, server: Server) -> None:
    requests = [v1.SendMessagesRequest(tag=str(tag), request=text(f"No. {tag}")) for tag in range(5)]
    requests.append(v1.SendMessagesRequest(tag="bad", request=text("")))
    answers = {answer.tag: answer for answer in any_client.drain("messages.SendMessages", iter(requests))}
    assert set(answers) == {"0", "1", "2", "3", "4", "bad"}
    assert answers["3"].response.message.state == v1.MESSAGE_STATE_ACCEPTED
    error = SwitchboardError.from_failure(answers["bad"].failure)
    assert (error.code().name, error.reason, error.domain) == ("INVALID_ARGUMENT", "REQUEST_INVALID", "switchboard")
    assert [(violation.field, violation.reason) for violation in error.field_violations] == [("text.body", "REQUIRED")]


@rpc("MessageService.GetMessage")
def get_message(any_client: AnyClient, server: Server) -> None:
    sent = any_client.call("messages.SendMessage", text("Hello!")).message
    request = v1.GetMessageRequest(account=CONNECTLY, request_id=sent.request_id)
    assert any_client.call("messages.GetMessage", request).message.message_id == sent.message_id


@rpc("MessageService.ListMessages")
def list_messages(any_client: AnyClient, server: Server) -> None:
    sent = any_client.call("messages.SendMessage", text("Hello!")).message
    (newest,) = any_client.call(
        "messages.ListMessages", v1.ListMessagesRequest(account=CONNECTLY, page_size=1)
    ).messages
    assert newest.message_id == sent.message_id


@rpc("MessageService.WatchMessage")
def watch_message(any_client: AnyClient, server: Server) -> None:
    sent = any_client.call("messages.SendMessage", text("Hello!", CONNECTBY)).message
    request = v1.WatchMessageRequest(account=CONNECTBY, message_id=sent.message_id)
    *steps, last = any_client.drain("messages.WatchMessage", request)
    assert [step.message.state for step in steps] == [v1.MESSAGE_STATE_ACCEPTED]
    assert last.ended.reason == v1.WATCH_END_REASON_NOT_TRACKED


@rpc("ConversationService.GetConversation")
def get_conversation(any_client: AnyClient, server: Server) -> None:
    server.inject("Do you deliver on Sundays?", "+15550100008")
    request = v1.GetConversationRequest(account=CONNECTLY, customer="+15550100008")
    assert any_client.call("conversations.GetConversation", request).conversation.session_open


def report(address: str) -> v1.WebhookRegistration:
    return v1.WebhookRegistration(topic=v1.WEBHOOK_REGISTRATION_TOPIC_REPORT, address=address)


def fresh_report(any_client: AnyClient) -> str:
    request = v1.CreateWebhookRegistrationRequest(
        account=CONNECTLY,
        webhook_registration=report("https://hooks.example.com/reports"),
        on_conflict=v1.ON_CONFLICT_REPLACE,
    )
    created = any_client.call("webhook_registrations.CreateWebhookRegistration", request).webhook_registration
    identity: str = created.webhook_registration_id
    return identity


@rpc("WebhookRegistrationService.CreateWebhookRegistration")
def create_webhook_registration(any_client: AnyClient, server: Server) -> None:
    identity = fresh_report(any_client)
    request = v1.CreateWebhookRegistrationRequest(
        account=CONNECTLY, webhook_registration=report("https://hooks.example.com/other")
    )
    with pytest.raises(SwitchboardError) as caught:
        any_client.call("webhook_registrations.CreateWebhookRegistration", request)
    assert caught.value.reason == "WEBHOOK_REGISTRATION_EXISTS"
    assert parse_reason(caught.value.reason) == v1.REASON_WEBHOOK_REGISTRATION_EXISTS
    assert caught.value.metadata["webhook_registration_id"] == identity
    assert caught.value.metadata["address"] == "https://hooks.example.com/reports"
    assert caught.value.request_id


@rpc("WebhookRegistrationService.ListWebhookRegistrations")
def list_webhook_registrations(any_client: AnyClient, server: Server) -> None:
    listed = any_client.call(
        "webhook_registrations.ListWebhookRegistrations", v1.ListWebhookRegistrationsRequest(account=CONNECTLY)
    )
    assert v1.WEBHOOK_REGISTRATION_TOPIC_MESSAGES in [each.topic for each in listed.webhook_registrations]


@rpc("WebhookRegistrationService.UpdateWebhookRegistration")
def update_webhook_registration(any_client: AnyClient, server: Server) -> None:
    identity = fresh_report(any_client)
    address = "https://hooks.example.com/new"
    registration = v1.WebhookRegistration(webhook_registration_id=identity, address=address)
    request = v1.UpdateWebhookRegistrationRequest(account=CONNECTLY, webhook_registration=registration)
    any_client.call("webhook_registrations.UpdateWebhookRegistration", request)
    listed = any_client.call(
        "webhook_registrations.ListWebhookRegistrations", v1.ListWebhookRegistrationsRequest(account=CONNECTLY)
    )
    assert {each.webhook_registration_id: each.address for each in listed.webhook_registrations}[identity] == address


@rpc("WebhookRegistrationService.DeleteWebhookRegistration")
def delete_webhook_registration(any_client: AnyClient, server: Server) -> None:
    identity = fresh_report(any_client)
    request = v1.DeleteWebhookRegistrationRequest(account=CONNECTLY, webhook_registration_id=identity)
    any_client.call("webhook_registrations.DeleteWebhookRegistration", request)
    listed = any_client.call(
        "webhook_registrations.ListWebhookRegistrations", v1.ListWebhookRegistrationsRequest(account=CONNECTLY)
    )
    assert identity not in [each.webhook_registration_id for each in listed.webhook_registrations]


@rpc("WebhookRegistrationService.VerifyWebhookSignature")
def verify_webhook_signature(any_client: AnyClient, server: Server) -> None:
    body = json.dumps({"message": {"id": "M1", "text": "hi"}}).encode()
    request = v1.VerifyWebhookSignatureRequest(account=CONNECTLY, body=body, signature="AAAA")
    verified = any_client.call("webhook_registrations.VerifyWebhookSignature", request)
    assert verified.failed_check == v1.WEBHOOK_SIGNATURE_CHECK_SIGNATURE_FORMAT


@rpc("EventService.Subscribe")
def subscribe(any_client: AnyClient, server: Server) -> None:
    server.inject("Do you deliver on Sundays?")
    request = v1.SubscribeRequest(position=v1.START_POSITION_EARLIEST, max_events=1)
    kinds = [answer.WhichOneof("response") for answer in any_client.drain("events.Subscribe", request)]
    assert kinds == ["started", "event", "closing"]


@rpc("EventService.ListEvents")
def list_events(any_client: AnyClient, server: Server) -> None:
    server.inject("Do you deliver on Mondays?")
    request = v1.ListEventsRequest(filter=v1.EventFilter(types=["message.received"]), page_size=1)
    listed = any_client.call("events.ListEvents", request)
    assert listed.events[0].message_received.text.body == "Do you deliver on Mondays?"


def make_subscription(any_client: AnyClient) -> str:
    name = f"test-{uuid.uuid4()}"
    request = v1.CreateSubscriptionRequest(subscription_id=name, position=v1.START_POSITION_LATEST)
    created = any_client.call("subscriptions.CreateSubscription", request).subscription
    assert created.subscription_id == name
    assert created.generation > 0
    return name


def fetch_subscription(any_client: AnyClient, name: str) -> v1.Subscription:
    request = v1.GetSubscriptionRequest(subscription_id=name)
    subscription: v1.Subscription = any_client.call("subscriptions.GetSubscription", request).subscription
    return subscription


@rpc("SubscriptionService.CreateSubscription")
def create_subscription(any_client: AnyClient, server: Server) -> None:
    request = v1.CreateSubscriptionRequest(subscription_id=make_subscription(any_client))
    with pytest.raises(SwitchboardError) as caught:
        any_client.call("subscriptions.CreateSubscription", request)
    assert (caught.value.code().name, caught.value.reason) == ("ALREADY_EXISTS", "SUBSCRIPTION_EXISTS")
    assert caught.value.metadata["subscription_id"] == request.subscription_id


@rpc("SubscriptionService.GetSubscription")
def get_subscription(any_client: AnyClient, server: Server) -> None:
    name = make_subscription(any_client)
    server.inject("Do you deliver on Tuesdays?")
    assert fetch_subscription(any_client, name).lag_events > 0
    assert not fetch_subscription(any_client, name).HasField("acknowledge_time")


@rpc("SubscriptionService.ListSubscriptions")
def list_subscriptions(any_client: AnyClient, server: Server) -> None:
    made = {make_subscription(any_client), make_subscription(any_client)}
    listed, request = [], v1.ListSubscriptionsRequest(page_size=1)
    while True:
        page = any_client.call("subscriptions.ListSubscriptions", request)
        listed += [subscription.subscription_id for subscription in page.subscriptions]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert listed == sorted(listed)
    assert made <= set(listed)


@rpc("SubscriptionService.UpdateSubscription")
def update_subscription(any_client: AnyClient, server: Server) -> None:
    name, filter_ = make_subscription(any_client), v1.EventFilter(types=["message.received"])
    before = fetch_subscription(any_client, name)
    subscription = v1.Subscription(subscription_id=name, filter=filter_)
    any_client.call("subscriptions.UpdateSubscription", v1.UpdateSubscriptionRequest(subscription=subscription))
    after = fetch_subscription(any_client, name)
    assert (after.filter, after.cursor) == (filter_, before.cursor)
    assert after.generation > before.generation


@rpc("SubscriptionService.SeekSubscription")
def seek_subscription(any_client: AnyClient, server: Server) -> None:
    server.inject("Do you deliver on Wednesdays?")
    name = make_subscription(any_client)
    request = v1.SeekSubscriptionRequest(subscription_id=name, position=v1.START_POSITION_EARLIEST)
    before = fetch_subscription(any_client, name)
    moved = any_client.call("subscriptions.SeekSubscription", request).subscription
    assert moved.generation == fetch_subscription(any_client, name).generation > before.generation
    assert moved.cursor != before.cursor
    assert moved.lag_events


@rpc("SubscriptionService.DeleteSubscription")
def delete_subscription(any_client: AnyClient, server: Server) -> None:
    name = make_subscription(any_client)
    any_client.call("subscriptions.DeleteSubscription", v1.DeleteSubscriptionRequest(subscription_id=name))
    with pytest.raises(SwitchboardError) as caught:
        fetch_subscription(any_client, name)
    assert caught.value.reason == "SUBSCRIPTION_NOT_FOUND"


@rpc("SubscriptionService.Acknowledge")
def acknowledge(any_client: AnyClient, server: Server) -> None:
    name = make_subscription(any_client)
    server.inject("Do you deliver on Thursdays?")
    newest = any_client.call("events.ListEvents", v1.ListEventsRequest(page_size=1)).next_cursor
    generation = fetch_subscription(any_client, name).generation
    request = v1.AcknowledgeRequest(subscription_id=name, cursor=newest, generation=generation)
    assert any_client.call("subscriptions.Acknowledge", request).cursor == newest
    assert fetch_subscription(any_client, name).cursor == newest
    request.generation = generation - 1 or generation + 1
    with pytest.raises(SwitchboardError) as caught:
        any_client.call("subscriptions.Acknowledge", request)
    assert (caught.value.code().name, caught.value.reason) == ("FAILED_PRECONDITION", "SUBSCRIPTION_GENERATION_STALE")


@pytest.mark.parametrize("name", CALLS)
def test_rpc_succeeds(name: str, any_client: AnyClient, server: Server) -> None:
    CALLS[name](any_client, server)
    assert name in any_client.called


def test_every_rpc_is_called() -> None:
    rpcs = set()
    for module in pkgutil.iter_modules(switchboard_client.v1.__path__):
        if module.name.endswith("_pb2"):
            descriptor = importlib.import_module(f"switchboard_client.v1.{module.name}").DESCRIPTOR
            for service in descriptor.services_by_name.values():
                rpcs |= {f"{service.name}.{method.name}" for method in service.methods}
    assert rpcs == set(CALLS)
    assert len(rpcs) > 20


def test_ensure_subscription_changes_only_what_differs(any_client: AnyClient, flavour: str) -> None:
    def ensure(*types: str, **labels: str) -> v1.Subscription:
        subscription = v1.Subscription(filter=v1.EventFilter(types=types), labels=labels)
        return any_client.ensure_subscription(
            v1.CreateSubscriptionRequest(subscription_id=f"ensured-{flavour}", subscription=subscription)
        )

    created = ensure("message.received", "message.status")
    assert ensure("message.status", "message.received").generation == created.generation
    labelled = ensure("message.received", "message.status", team="shop")
    assert (labelled.generation, dict(labelled.labels)) == (created.generation, {"team": "shop"})
    filtered = ensure("message.*", team="shop")
    assert filtered.generation > created.generation
    assert list(filtered.filter.types) == ["message.*"]
    cleared = ensure()
    assert (list(cleared.filter.types), dict(cleared.labels)) == ([], {})
