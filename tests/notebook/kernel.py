"""A real kernel, driven as a notebook drives it: one cell at a time, over Jupyter's protocol."""

from __future__ import annotations

import os
import sys
import time
from ast import literal_eval
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty
from typing import Any

import psutil
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager

LONG = 60.0
"""Seconds after which a cell of a test is given up."""

BINDINGS = """
def fenced(code):
    return f"```python\\n{code}\\n```"

def scripted(*blocks, delay=0.0):
    return wb.models.Scripted([fenced(block) for block in blocks], delay=delay)
"""


def isolated(home: Path, *drop: str) -> dict[str, str]:
    """This process's environment without keys and models, with every place that Jupyter or the workbench writes to under `home`."""
    keep = {name: value for name, value in os.environ.items() if not name.startswith(("WORKBENCH_", "OPENAI_", "ANTHROPIC_", "OLLAMA_"))}
    places = {
        "HOME": home,
        "WORKBENCH_HOME": home / "workbench",
        "IPYTHONDIR": home / "ipython",
        "JUPYTER_CONFIG_DIR": home / "config",
        "JUPYTER_DATA_DIR": home / "data",
        "JUPYTER_RUNTIME_DIR": home / "runtime",
        "JUPYTERLAB_SETTINGS_DIR": home / "settings",
        "JUPYTERLAB_WORKSPACES_DIR": home / "workspaces",
        "MPLCONFIGDIR": home / "matplotlib",
    }
    env = keep | {name: str(place) for name, place in places.items()} | {"OLLAMA_HOST": "127.0.0.1:9", "JUPYTER_NO_CONFIG": "1"}
    return {name: value for name, value in env.items() if name not in drop}


@dataclass
class Cell:
    """What became of one cell."""

    source: str
    status: str = ""
    """`ok`, or `error`, which stops Run All."""
    seconds: float = 0.0
    displays: list[dict[str, Any]] = field(default_factory=list)
    """The mime bundles in the page when the cell was done, updates applied; the cell's value is the last of them if it has one."""
    printed: str = ""
    errors: str = ""
    """What was written to stderr."""
    error: tuple[str, str] | None = None
    """The exception's class name and text."""
    traceback: list[str] = field(default_factory=list)
    pages: list[str] = field(default_factory=list)
    """What `?` shows."""

    @property
    def value(self) -> str:
        """The last display as text."""
        return str(self.displays[-1]["text/plain"]) if self.displays else ""

    def done(self) -> Cell:
        """This cell, if it has no error."""
        assert self.error is None, f"{self.source}\n{self.error}\n" + "\n".join(self.traceback)
        return self


class Kernel:
    """One kernel and its client."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient) -> None:
        self.manager = manager
        self.client = client
        self.process = psutil.Process(manager.provisioner.process.pid)  # type: ignore[union-attr,attr-defined]
        self._running: tuple[str, Cell, float] | None = None
        self._places: dict[str, tuple[Cell, int]] = {}

    def run(self, source: str, *, timeout: float = LONG, cell_id: str | None = None) -> Cell:
        """Run a cell and wait until it is done."""
        self.begin(source, cell_id=cell_id)
        return self.end(timeout)

    def begin(self, source: str, *, cell_id: str | None = None) -> None:
        """Run a cell and return at once."""
        content = {"code": source, "silent": False, "store_history": True, "allow_stdin": False, "stop_on_error": False}
        message = self.client.session.msg("execute_request", content, metadata={"cellId": cell_id} if cell_id else {})
        self.client.shell_channel.send(message)
        self._running = (message["header"]["msg_id"], Cell(source), time.monotonic())

    def taken_up(self) -> None:
        """Wait until the kernel has taken up the cell that was begun; an idle kernel ignores an interrupt."""
        assert self._running is not None
        request, cell, _ = self._running
        while True:
            message = self.client.get_iopub_msg(timeout=10)
            self._take(message, request, cell)
            if message["msg_type"] == "execute_input" and message["parent_header"].get("msg_id") == request:
                return

    def end(self, timeout: float = LONG) -> Cell:
        """Wait until the cell that was begun is done."""
        assert self._running is not None
        request, cell, started = self._running
        while True:
            message = self.client.get_iopub_msg(timeout=max(0.01, started + timeout - time.monotonic()))
            if self._take(message, request, cell):
                break
        reply = self._reply(request)
        cell.seconds = time.monotonic() - started
        cell.status = reply["content"]["status"]
        cell.pages = [page["data"]["text/plain"] for page in reply["content"].get("payload", []) if page["source"] == "page"]
        self._running = None
        return cell

    def settle(self, seconds: float = 0.3) -> None:
        """Take in what cells that are done go on to show."""
        idle = Cell("")
        while True:
            try:
                self._take(self.client.get_iopub_msg(timeout=seconds), "", idle)
            except Empty:
                return

    def wait_for(self, expression: str, seconds: float = 20.0) -> None:
        """Wait until an expression is true in the kernel; asked in cells of its own."""
        deadline = time.monotonic() + seconds
        while self.run(expression).done().value != "True":
            assert time.monotonic() < deadline, f"{expression} is still not true after {seconds} s"
            time.sleep(0.05)

    def value(self, expression: str) -> Any:
        """An expression's value; numbers, text and containers of them."""
        return literal_eval(self.run(expression).done().value)

    def interrupt(self) -> None:
        """What the notebook's ■ does."""
        self.manager.interrupt_kernel()

    def workers(self) -> list[psutil.Process]:
        """The processes the kernel has started, and theirs."""
        return self.process.children(recursive=True)

    def _reply(self, request: str) -> dict[str, Any]:
        while True:
            reply: dict[str, Any] = self.client.get_shell_msg(timeout=10)
            if reply["parent_header"].get("msg_id") == request:
                return reply

    def _take(self, message: dict[str, Any], request: str, cell: Cell) -> bool:
        """Take in one message; True if it says that the cell is done."""
        kind, content = message["msg_type"], message["content"]
        if kind == "update_display_data":
            owner, index = self._places[content["transient"]["display_id"]]
            owner.displays[index] = content["data"]
        if message["parent_header"].get("msg_id") != request:
            return False
        if kind in ("display_data", "execute_result"):
            if "display_id" in content.get("transient", {}):
                self._places[content["transient"]["display_id"]] = (cell, len(cell.displays))
            cell.displays.append(content["data"])
        elif kind == "stream":
            if content["name"] == "stdout":
                cell.printed += content["text"]
            else:
                cell.errors += content["text"]
        elif kind == "error":
            cell.error, cell.traceback = (content["ename"], content["evalue"]), content["traceback"]
        return kind == "status" and content["execution_state"] == "idle"


@contextmanager
def kernel(home: Path, *, cwd: Path | None = None, env: Mapping[str, str] | None = None, python: str = sys.executable) -> Iterator[Kernel]:
    """A kernel of its own, ended and closed at the end. Two cells have been run: `import workbench as wb`, and some helpers."""
    manager = KernelManager(connection_file=str(home / "kernel.json"))
    manager._kernel_spec = KernelSpec(
        argv=[python, "-Xfrozen_modules=off", "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        display_name="test",
        language="python",
    )
    manager.start_kernel(env=dict(env or isolated(home)), cwd=str(cwd or home))
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=LONG)
        made = Kernel(manager, client)
        made.run("import workbench as wb\n%load_ext workbench").done()
        made.run(BINDINGS).done()
        yield made
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()
        client.context.destroy(linger=0)
        manager.context.destroy(linger=0)
