"""The installed package, its names, its examples and its README."""

from __future__ import annotations

import importlib
import keyword
import os
import pickle
import re
import signal
import subprocess
import sys
import sysconfig
import textwrap
import zipfile
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.message import Message

import switchboard_client
import switchboard_client.aio
from kit.server import REPOSITORY
from switchboard_client import v1
from switchboard_client.sandbox import v1 as sandbox_v1
from switchboard_client.sandbox.v1 import FAULT_KIND_STATUS, SandboxServiceStub, SetFaultRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.descriptor import Descriptor, FileDescriptor

    from kit.server import Server

ROOT = REPOSITORY / "clients" / "python"
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
INSTALLED = Path(switchboard_client.__file__).parent


def test_tests_import_the_installed_package() -> None:
    assert INSTALLED.parent == Path(sysconfig.get_path("purelib"))


def test_wheel_contains_types_and_licence() -> None:
    files = {str(file) for file in metadata.files("switchboard-client") or ()}
    assert "switchboard_client/py.typed" in files
    for module in INSTALLED.rglob("*_pb2*.py"):
        assert module.with_suffix(".pyi").exists(), module
    assert any(file.endswith("licenses/LICENSE") for file in files)
    assert metadata.metadata("switchboard-client")["License-Expression"] == "Apache-2.0"


def test_version_equals_the_server_version() -> None:
    server = re.search(r'^version = "(.+)"$', (REPOSITORY / "Cargo.toml").read_text(), re.MULTILINE)
    assert server is not None
    assert switchboard_client.__version__ == metadata.version("switchboard-client") == server[1]


def test_licence_equals_the_server_licence() -> None:
    assert (ROOT / "LICENSE").read_bytes() == (REPOSITORY / "LICENSE").read_bytes()


def generated() -> Iterator[tuple[Any, Any, FileDescriptor]]:
    for package in (v1, sandbox_v1):
        for path in Path(package.__file__ or "").parent.glob("*_pb2.py"):
            module = importlib.import_module(f"{package.__name__}.{path.stem}")
            yield package, module, module.DESCRIPTOR


def messages(descriptors: list[Descriptor]) -> Iterator[Descriptor]:
    for descriptor in descriptors:
        if not descriptor.GetOptions().map_entry:
            yield descriptor
            yield from messages(list(descriptor.nested_types))


def test_contract_names_work_as_python_names() -> None:
    seen = 0
    for package, module, file in generated():
        for message in messages(list(file.message_types_by_name.values())):
            empty = getattr(module, message.name)()
            for field in message.fields:
                # The name works as a keyword argument and as an attribute, and is unique.
                assert not keyword.iskeyword(field.name)
                assert hasattr(empty, field.name)
                assert not hasattr(Message, field.name)
                assert not field.name.endswith("_")
                seen += 1
        for enum in file.enum_types_by_name.values():
            for value in enum.values:
                assert getattr(package, value.name) == getattr(module, value.name) == value.number
                assert getattr(package, enum.name).Value(value.name) == value.number
                assert not keyword.iskeyword(value.name)
                assert not value.name.endswith("_")
                seen += 1
        for service in file.services_by_name.values():
            for method in service.methods:
                assert not keyword.iskeyword(method.name)
        for name in [*file.message_types_by_name, *file.enum_types_by_name]:
            assert getattr(package, name) is getattr(module, name)
            assert name in package.__all__
    assert seen > 300


def test_generated_code_is_inside_the_package() -> None:
    for package, module, file in generated():
        # The proto paths identify the files in the process-wide descriptor pool, independent of the import name.
        path = file.package.replace(".", "/")
        assert file.name == f"{path}/{module.__name__.rpartition('.')[2].removesuffix('_pb2')}.proto"
        assert package.__name__ == f"switchboard_client.{file.package.removeprefix('switchboard.')}"
        for name in file.message_types_by_name:
            assert getattr(module, name).__module__ == module.__name__
    copy = pickle.loads(pickle.dumps(v1.Text(body="Hello!")))
    assert copy == v1.Text(body="Hello!")


def test_client_has_an_attribute_per_service() -> None:
    stubs = {name for name in v1.__all__ if name.endswith("Stub")}
    with switchboard_client.Client("127.0.0.1:1") as client:
        assert {type(value).__name__ for value in vars(client).values()} >= stubs
    assert len(stubs) == 9


def test_sync_and_asyncio_clients_have_the_same_names() -> None:
    for one, other in (
        (switchboard_client.Client, switchboard_client.aio.Client),
        (switchboard_client.EventStream, switchboard_client.aio.EventStream),
    ):
        assert names(one) == names(other)
    assert switchboard_client.Client.__init__.__annotations__ == switchboard_client.aio.Client.__init__.__annotations__
    assert list(switchboard_client.Client.__annotations__) == list(switchboard_client.aio.Client.__annotations__)


def names(kind: type) -> set[str]:
    return {name for name in vars(kind) if not name.startswith("_")}


def run(example: str, server: Server, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, ROOT / "examples" / f"{example}.py"],
        env={**os.environ, "SWITCHBOARD_ADDRESS": server.address, "PYTHONWARNINGS": "error", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def output(process: subprocess.Popen[str]) -> str:
    try:
        printed, errors = process.communicate(timeout=50)
    finally:
        process.kill()
    assert (process.returncode, errors) == (0, "")
    return printed


@pytest.mark.parametrize(
    ("example", "expected"),
    [
        ("send_text", r"msg_\w+ is MESSAGE_STATE_ACCEPTED\n"),
        ("send_template", r"msg_\w+ is MESSAGE_STATE_ACCEPTED\n"),
        ("upload_media", r"msg_\w+ is MESSAGE_STATE_ACCEPTED\nThe image is at http\S+\.png\n"),
    ],
)
def test_example_prints_the_expected_output(example: str, expected: str, server: Server) -> None:
    assert re.fullmatch(expected, output(run(example, server)))


def create_answers(server: Server) -> None:
    """Creates the subscription of the example, so messages can arrive before it has started."""
    with switchboard_client.Client(server.address) as client:
        client.ensure_subscription(
            v1.CreateSubscriptionRequest(
                subscription_id="answers",
                subscription=v1.Subscription(filter=v1.EventFilter(types=["message.received"])),
                position=v1.START_POSITION_LATEST,
            )
        )


def throttle(server: Server, times: int) -> None:
    """Makes the provider refuse sends with 429. Zero times is until the sandbox restarts."""
    fault = SetFaultRequest(
        account="demo-connectly", kind=FAULT_KIND_STATUS, operation="send_message", http_status=429, times=times
    )
    fault.retry_after = "1"
    with grpc.insecure_channel(server.address) as channel:
        SandboxServiceStub(channel).SetFault(fault, timeout=20)


def test_answer_example_resumes_after_a_restart(own_server: Server) -> None:
    create_answers(own_server)
    own_server.inject("Do you deliver on Sundays?", "+15550100071")
    own_server.inject("And on Mondays?", "+15550100071")
    first = output(run("answer", own_server, MAX_EVENTS="2"))
    assert re.fullmatch(r"(evt_\w+ is answered\n){2}", first)

    # After a restart it answers only the message that arrived while it was stopped.
    own_server.inject("And on Tuesdays?", "+15550100071")
    second = output(run("answer", own_server, MAX_EVENTS="1"))
    assert re.fullmatch(r"evt_\w+ is answered\n", second)
    assert second not in first


def test_answer_example_waits_for_a_throttling_provider(own_server: Server) -> None:
    create_answers(own_server)
    throttle(own_server, times=2)
    own_server.inject("Do you deliver on Sundays?", "+15550100072")
    own_server.inject("And on Mondays?", "+15550100072")
    printed = output(run("answer", own_server, MAX_EVENTS="2"))
    events = re.findall(r"(evt_\w+) is answered\n", printed)
    assert len(events) == 2
    with switchboard_client.Client(own_server.address) as client:
        for event_id in events:
            request = v1.GetMessageRequest(account="demo-connectly", request_id=f"answers:{event_id}")
            client.messages.GetMessage(request, timeout=20)


def test_answer_example_survives_a_server_restart(own_server: Server) -> None:
    create_answers(own_server)
    # The throttling provider keeps the message in the hands of the program. A restarted sandbox has no faults.
    throttle(own_server, times=0)
    own_server.inject("Do you deliver on Sundays?", "+15550100073")
    process = run("answer", own_server, MAX_EVENTS="1")
    try:
        own_server.wait_for_call("demo-connectly", "send_message")
        # An orderly shutdown ends no send in the middle, whose outcome would be unknown.
        own_server.stop(signal.SIGTERM)
        own_server.wait_for_refused_connection()
        own_server.start()
        printed, _ = process.communicate(timeout=50)
    finally:
        process.kill()
    assert process.returncode == 0
    assert re.fullmatch(r"evt_\w+ is answered\n", printed)


def test_every_example_is_tested() -> None:
    assert {path.stem for path in EXAMPLES} == {"answer", "send_template", "send_text", "upload_media"}


def test_readme_snippets_match_the_examples() -> None:
    readme = (ROOT / "README.md").read_text()
    for example in EXAMPLES:
        shown = re.search(rf"\(`examples/{example.name}`\).*?```python\n(.*?)```", readme, re.DOTALL)
        assert shown is not None, example
        text = example.read_text()
        assert any(textwrap.indent(shown[1], " " * depth) in text for depth in (0, 4, 8)), example
        assert shown[1].count("\n") > 5


def test_readme_code_parses() -> None:
    readme = (ROOT / "README.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    assert len(blocks) > len(EXAMPLES)
    for block in blocks:
        compile(block, "README.md", "exec")


def test_wheel_contains_only_the_package() -> None:
    (wheel,) = (ROOT / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
    assert tops == {"switchboard_client", f"switchboard_client-{switchboard_client.__version__}.dist-info"}
