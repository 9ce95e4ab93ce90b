"""littrs as an engine: our end of one worker process.

Not here: what littrs may be given (`faithful`), and what runs in the process (`littrs_worker`).
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import re
import struct
import weakref
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from workbench.errors import UnencodableValue
from workbench.record.codec import decode_value, encode_value
from workbench.record.values import ErrorInfo
from workbench.sandbox import idle, spare
from workbench.sandbox.engine import FLOOD, Block, Fed, Limits, ProgramEnd, Raised, Unfit
from workbench.sandbox.faithful import holds

_GRACE = 2.0
"""Seconds past its limit that a worker may take to end itself before it is killed from here."""
_START = 20.0
_MAX_FRAME = 64 * 2**20
_PIECE = 2**16
_NATIVE = re.compile(r"^(?:Runtime error: )?(\w*(?:Error|Exception)): (.*)$", re.DOTALL)
_FAMILIES = {"Type error": "TypeError", "Name error": "NameError", "Runtime error: list index": "IndexError"}


def _extension() -> str | None:
    """The file of littrs' extension module, found without importing it, or None where littrs cannot run."""
    spec = importlib.util.find_spec("littrs") if os.name == "posix" else None
    folders = (spec.submodule_search_locations or []) if spec is not None else []
    return next((str(path) for folder in folders for path in Path(folder).glob("littrs*.so")), None)


EXTENSION = _extension()
AVAILABLE = EXTENSION is not None
"""Whether littrs is installed and this platform can confine it."""


class WorkerGone(Exception):
    """The worker process has ended."""


class LittrsEngine:
    """One littrs worker; started by `start`, killed by `close`, by cancelling a feed, or with its last reference."""

    name: Literal["littrs"] = "littrs"

    def __init__(self, worker: spare.Worker) -> None:
        self._process, self._connection = worker
        self._arrived = bytearray()
        """What came after the frame that was read last."""
        self._end = weakref.finalize(self, worker.end)

    @classmethod
    async def start(cls, limits: Limits) -> LittrsEngine:
        assert EXTENSION is not None
        engine = cls(spare.take(EXTENSION))
        try:
            await engine._write({**asdict(limits), "flood": FLOOD})
            async with asyncio.timeout(_START):
                await engine._read()
        except BaseException:
            engine._end()
            raise
        _prepare_spare(EXTENSION)
        return engine

    async def feed(self, block: Block) -> Fed:
        assert block.program is not None
        chunks = [[chunk.source, chunk.line, chunk.is_value] for chunk in block.program.chunks]
        try:
            await self._write({"op": "feed", "chunks": chunks, "sites": block.program.sites, "seconds": block.seconds})
            return await self._converse(block)
        except TimeoutError:
            await self.close()
            return Fed(status="interrupted", lost=True, error=_out_of_time(block.seconds))
        except (WorkerGone, OSError):
            await self.close()
            error = _TOO_MUCH if block.output.is_flood else _obituary(self._process.returncode, block.seconds)
            return Fed(status="interrupted", lost=True, error=error)
        except Unfit:
            raise
        except BaseException:
            self._end()  # cancelled: the worker may be in the middle of anything
            raise

    async def _converse(self, block: Block) -> Fed:
        loop = asyncio.get_running_loop()
        left = block.seconds
        promote: Unfit | None = None
        while True:
            began = loop.time()
            async with asyncio.timeout(max(left, 0) + _GRACE):
                message = await self._said(block)
            left -= loop.time() - began
            if message["op"] == "done":
                break
            with _intelligible():
                name, args = str(message["name"]), tuple(decode_value(value) for value in message["args"])
                kwargs = {str(key): decode_value(value) for key, value in message["kwargs"]}
            try:
                value = await block.call(name, args, kwargs)
            except ProgramEnd:
                await self._write({"why": "end"})
            except Raised as error:
                await self._write({"why": "error", "type": error.type, "message": error.message})
            else:
                if holds(value):
                    await self._write({"value": encode_value(value)})
                else:
                    reason = f"`{name}` returned a value that littrs does not hold: {_unheld(value)}"
                    promote = Unfit(reason, ErrorInfo(code="tool_output_invalid", type="TypeError", message=reason))
                    await self._write({"why": "end"})
        if promote is not None:
            raise promote
        with _intelligible():
            return self._outcome(message)

    async def _said(self, block: Block) -> dict[str, Any]:
        """The worker's next call, or its last word; what it prints before that is passed on as it comes."""
        while True:
            message = await self._read()
            with _intelligible():
                operation = message["op"]
                block.output.add(message["prints"])
            if block.output.is_flood:
                raise WorkerGone("the littrs worker printed more than a block may")
            if operation != "prints":
                return message
            await asyncio.sleep(0)  # reading what is there already does not let the loop look at the clock

    @staticmethod
    def _outcome(message: dict[str, Any]) -> Fed:
        if stopped := message["stopped"]:  # looked at first: an error after a stop is a consequence of it
            if stopped["why"] == "end":
                return Fed(status="finished")
            if stopped["why"] == "guard":
                reason = f"a {stopped['type']} came up in a place where littrs is proven only for other values"
                doubt = ErrorInfo(code="sandbox_error", type="SandboxRefused", message=reason, line=stopped["line"])
                raise Unfit(f"line {doubt.line}: {reason}", doubt)
            error = ErrorInfo(code="sandbox_error", type=stopped["type"], message=stopped["message"], line=stopped["line"])
            if stopped["why"] == "text":  # engines disagree on which formats are errors; the one that goes on shall decide
                raise Unfit(f"line {error.line}: {error.type} while text was made", error)
            return Fed(status="error", error=error)
        if native := message.get("native"):
            kind, text = _named(native["message"])
            limited = "limit" in native["message"]
            raise Unfit(
                f"line {native['line']}: littrs stopped with {native['message']!r}",
                ErrorInfo(code="sandbox_limit" if limited else "sandbox_error", type=kind, message=text, line=native["line"]),
                intact=native["intact"] and not limited,
            )
        return Fed(status="ok", value=decode_value(message["value"]))

    async def set(self, name: str, value: Any) -> None:
        try:
            await self._write({"op": "set", "name": name, "value": encode_value(value)})
            await self._read()
        except (WorkerGone, OSError) as error:
            await self.close()
            raise WorkerGone("the littrs worker ended while a variable was set") from error

    async def close(self) -> None:
        if self._end.alive:
            await asyncio.to_thread(self._end)

    async def _write(self, message: dict[str, Any]) -> None:
        if self._arrived:
            raise WorkerGone("the littrs worker went on without waiting for its answer")
        data = json.dumps(message).encode()
        await asyncio.get_running_loop().sock_sendall(self._connection, struct.pack("!I", len(data)) + data)

    async def _read(self) -> dict[str, Any]:
        # One piece is a whole frame as a rule: the worker waits for an answer to each, but for those that only carry prints.
        arrived = self._arrived
        while len(arrived) < 4:
            arrived += await self._piece()
        (size,) = struct.unpack_from("!I", arrived)
        if size > _MAX_FRAME:
            raise WorkerGone("the littrs worker sent more than a frame may hold")
        while len(arrived) < 4 + size:
            arrived += await self._piece()
        with _intelligible():
            message: dict[str, Any] = json.loads(arrived[4 : 4 + size])
        del arrived[: 4 + size]
        return message

    async def _piece(self) -> bytes:
        piece = await asyncio.get_running_loop().sock_recv(self._connection, _PIECE)
        if not piece:
            raise WorkerGone("the littrs worker closed its connection")
        return piece


@contextlib.contextmanager
def _intelligible() -> Iterator[None]:
    """What a worker said is read in here. One that has been taken over may say anything, and is given up for what makes no sense."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, UnencodableValue) as error:
        raise WorkerGone("the littrs worker said what makes no sense") from error


def _prepare_spare(extension: str) -> None:
    """Start the next session's worker in the background; what this session does comes first."""
    loop = asyncio.get_running_loop()
    preparing = loop.run_in_executor(None, spare.prepare, extension)
    _preparing.add(preparing)
    preparing.add_done_callback(_preparing.discard)


_preparing: set[asyncio.Future[None]] = set()
idle.on_quiet.append(spare.drop)


_TOO_MUCH = ErrorInfo(code="sandbox_limit", type="SandboxLimit", message="the block printed too much")


def _out_of_time(seconds: float) -> ErrorInfo:
    return ErrorInfo(code="sandbox_limit", type="TimeoutError", message=f"the block ran longer than {seconds:g} s")


def _obituary(returncode: int | None, seconds: float) -> ErrorInfo:
    """What a worker's exit status says about why it ended."""
    match returncode:
        case -14:  # SIGALRM, its own clock
            return _out_of_time(seconds)
        case 66 | -6:  # it ran out of memory in Python, or littrs' allocator aborted
            return ErrorInfo(code="sandbox_limit", type="MemoryError", message="the block needed more memory than it may use")
        case 67:
            return _TOO_MUCH
    return ErrorInfo(code="sandbox_crashed", type="RuntimeError", message="the sandbox's worker process ended unexpectedly")


def _named(message: str) -> tuple[str, str]:
    """The exception's class and text, as far as littrs' one kind of error tells them."""
    if found := _NATIVE.match(message):
        return found[1], found[2]
    family = next((name for start, name in _FAMILIES.items() if message.startswith(start)), "RuntimeError")
    return family, message


def _unheld(value: Any) -> str:
    """The type of the first part of `value` that littrs does not hold."""
    if isinstance(value, (list, tuple)):
        return next((_unheld(item) for item in value if not holds(item)), type(value).__name__)
    if isinstance(value, dict):
        return next((_unheld(part) for pair in value.items() for part in pair if not holds(part)), type(value).__name__)
    return f"{type(value).__name__} {str(value)[:40]!r}" if isinstance(value, int) else type(value).__name__
