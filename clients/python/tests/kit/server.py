"""The real server as a process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

from kit.fake import Proxy
from switchboard_client.sandbox.v1 import InjectMessageRequest, ListCallsRequest, SandboxServiceStub

if TYPE_CHECKING:
    from typing_extensions import Self

REPOSITORY = Path(__file__).resolve().parents[4]
BINARY = Path(os.environ.get("SWITCHBOARD_BIN") or REPOSITORY / "target/debug/switchboard")
SECONDS = 20


class Server:
    """`switchboard sandbox` on free ports."""

    def __init__(self, folder: Path, *, store: bool = False) -> None:
        self._folder = folder
        self._store = store
        # With a store, the server restarts behind a proxy with a fixed address. Another process could take its own port
        # in the meantime.
        self._proxy = Proxy() if store else None
        self.address = ""

    def start(self) -> None:
        names = ("GRPC", "WEBHOOK", "ADMIN")
        environment = {f"SWITCHBOARD__{name}__LISTEN": "127.0.0.1:0" for name in names}
        arguments = ["--store", str(self._folder / "store.db")] if self._store else []
        self._process = subprocess.Popen(
            [BINARY, "sandbox", *arguments],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.address = self._ready()
        if self._proxy is not None:
            self._proxy.set_target(self.address)
            self.address = self._proxy.address

    def _ready(self) -> str:
        output = self._process.stdout
        assert output is not None
        late = threading.Timer(SECONDS, self._process.kill)
        late.start()
        try:
            for line in output:
                if match := re.match(r"\s*gRPC\s+(\S+)$", line):
                    # The server prints more lines. Drain them, so it never blocks on a full pipe.
                    threading.Thread(target=output.read, daemon=True).start()
                    return match[1]
        finally:
            late.cancel()
        raise AssertionError(f"{BINARY} did not start: exit code {self._process.wait(SECONDS)}")

    def stop(self, how: signal.Signals = signal.SIGKILL) -> None:
        if self._proxy is not None:
            self._proxy.set_target(None)
        self._process.send_signal(how)
        self._process.wait(SECONDS)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def wait_for_refused_connection(self) -> None:
        """Waits until a client has tried to connect while the server is stopped."""
        assert self._proxy is not None
        assert self._proxy.refused.acquire(timeout=SECONDS)

    def wait_for_call(self, account: str, operation: str) -> None:
        """Waits until the provider has received a call of the operation."""
        deadline = time.monotonic() + SECONDS
        with grpc.insecure_channel(self.address) as channel:
            sandbox = SandboxServiceStub(channel)
            while True:
                calls = sandbox.ListCalls(ListCallsRequest(account=account), timeout=SECONDS).calls
                if any(call.operation == operation for call in calls):
                    return
                assert time.monotonic() < deadline
                time.sleep(0.05)  # Poll again.

    def inject(self, text: str, sender: str = "+15550100009") -> None:
        """Injects a customer message and waits until it is in the journal."""
        with grpc.insecure_channel(self.address) as channel:
            request = InjectMessageRequest(account="demo-connectly", sender=sender, text=text)
            response = SandboxServiceStub(channel).InjectMessage(request, timeout=SECONDS)
        assert response.webhook_status == 200

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self.stop()
        if self._proxy is not None:
            self._proxy.__exit__()
