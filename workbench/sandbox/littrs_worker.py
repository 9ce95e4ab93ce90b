"""The process that runs littrs. Started by `littrs_engine` as a plain script: it may import only what starts fast.

It speaks frames (four bytes of length, then JSON) over its standard input, which is a socket. Values cross in the form of
`workbench.record.codec`; only the tags that littrs' values need are known here.

littrs holds the interpreter lock while it runs, so no thread could watch the clock. An interval timer can: its signal ends the process.
"""

from __future__ import annotations

import importlib.machinery
import io
import json
import math
import os
import resource
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would be a fifth of the start
    from typing import Any, NoReturn

QUIET = 0.2  # seconds without a frame after which a print is sent as it comes
MUCH = 2**16  # characters of prints that wait for no longer, so that frames stay small


def pack(value: Any) -> Any:
    kind = type(value)
    if value is None or kind is bool or kind is int or kind is str:
        return value
    if kind is float:
        return value if math.isfinite(value) else {"$float": str(value)}
    if kind is list:
        return [pack(item) for item in value]
    if kind is tuple:
        return {"$tuple": [pack(item) for item in value]}
    if kind is dict:
        if all(type(key) is str and not key.startswith("$") for key in value):
            return {key: pack(item) for key, item in value.items()}
        return {"$dict": [[pack(key), pack(item)] for key, item in value.items()]}
    raise TypeError(f"littrs gave a {kind.__name__}")


def unpack(data: Any) -> Any:
    if type(data) is list:
        return [unpack(item) for item in data]
    if type(data) is dict:
        if len(data) == 1:
            (tag, body), *_ = data.items()
            if tag == "$tuple":
                return tuple(unpack(item) for item in body)
            if tag == "$dict":
                return {unpack(key): unpack(item) for key, item in body}
            if tag == "$float":
                return float(body)
            if tag.startswith("$"):
                raise TypeError(f"unknown tag {tag}")
        return {key: unpack(item) for key, item in data.items()}
    return data


def fits(what: str, low: int, high: int, value: Any) -> bool:
    """Whether a value is what a guard of the gate asks for; `expressions` says why."""
    kind = type(value)
    if what in ("number", "divisor"):
        return (kind is float or (kind is int and low <= value <= high)) and (what == "number" or value != 0)
    if what == "int":
        return kind is int and low <= value <= high
    if what == "text":
        return kind is str
    if what == "plain":  # the text methods of littrs know other blanks and other capitals
        return kind is str and value.isascii() and value.replace("\n", "").replace("\t", "").isprintable()
    if what == "sized":  # littrs counts the bytes of text
        return kind in (list, tuple, dict) or (kind is str and value.isascii())
    if what == "key":
        return kind is str or (kind is int and value >= 0)
    if what == "atom":
        return kind in (str, int, type(None))
    if what == "like int":
        return kind is not float and kind is not bool
    if what == "like float":
        return kind is not int and kind is not bool
    if what == "like bool":
        return kind is not int and kind is not float
    if kind is not list:
        return False
    if what == "ints":
        return all(type(item) is int and abs(item) <= 2**31 for item in value)
    if what == "some alike" and not value:
        return False
    kinds = {type(item) for item in value}  # equal items must be the same, so that their order cannot be told
    return kinds <= {str} or kinds <= {int} or (kinds <= {float} and all(item == item and item != 0 for item in value))  # noqa: PLR0124


class Wire:
    """Frames over standard input, which is a socket and so carries both directions."""

    wrote = 0.0  # when the last frame was written, on the monotonic clock

    def read(self) -> Any:
        size = int.from_bytes(self.exactly(4), "big")
        return json.loads(self.exactly(size))

    def write(self, message: dict[str, Any]) -> None:
        data = json.dumps(message).encode()
        rest = memoryview(len(data).to_bytes(4, "big") + data)
        while rest:
            rest = rest[os.write(0, rest) :]
        self.wrote = time.monotonic()

    def exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            part = os.read(0, size - len(data))
            if not part:
                os._exit(0)  # the owner is gone
            data += part
        return bytes(data)


class Worker:
    def __init__(self, wire: Wire, engine: Any, limits: dict[str, Any]) -> None:
        self.wire = wire
        self.engine = engine
        self.seconds = 0.0
        self.sites: list[dict[str, Any]] = []
        self.stopped: dict[str, Any] | None = None  # why the rest of the block must not run
        self.printed: list[str] = []  # what has not been sent yet
        self.waiting = 0  # characters of it
        self.room = limits["flood"]  # characters that may still be printed
        self.flood = limits["flood"]
        engine.limit(max_instructions=limits["max_instructions"], max_recursion_depth=limits["max_recursion_depth"])
        engine.register("__w", self.work)
        engine.register("__s", lambda args: self.stopped is not None)

    def clock(self, *, on: bool) -> None:
        """Let the block's own time run, or stop it while the host works."""
        left, _ = signal.setitimer(signal.ITIMER_REAL, max(self.seconds, 0.001) if on else 0)
        if not on:
            self.seconds = left

    def work(self, args: list[Any]) -> Any:
        """One lowered call. littrs swallows exceptions, so whatever happens is kept in `stopped`."""
        if self.stopped is not None:
            return None
        site, *values = args
        try:
            return self.carry_out(self.sites[site], values)
        except MemoryError:
            os._exit(66)
        except Exception as error:  # noqa: BLE001 - a bad format, say: the program's own exception
            self.stopped = {"why": "text", "type": type(error).__name__, "message": str(error), "line": self.sites[site]["line"]}
            return None

    def carry_out(self, site: dict[str, Any], values: list[Any]) -> Any:
        if site["op"] == "print":
            self.show(values, site["sep"], site["end"])
            return None
        if site["op"] == "guard":
            (value,) = values
            if not fits(site["what"], site["low"], site["high"], value):
                self.stopped = {"why": "guard", "type": type(value).__name__, "message": site["what"], "line": site["line"]}
            return value
        if site["op"] == "text":
            given = iter(values)
            text = "".join(part if type(part) is str else self.formatted(next(given), *part) for part in site["parts"])
            text.encode()  # a lone surrogate, which littrs would make something else of, is an error here
            return text
        positional = values[: site["positional"]]
        keywords = list(zip(site["keywords"], values[site["positional"] :], strict=True))
        self.clock(on=False)
        self.wire.write(
            {
                "op": "call",
                "name": site["name"],
                "args": [pack(value) for value in positional],
                "kwargs": [[name, pack(value)] for name, value in keywords],
                "prints": self.flushed(),
            }
        )
        answer = self.wire.read()
        self.clock(on=True)
        if "value" in answer:
            return unpack(answer["value"])
        self.stopped = {**answer, "line": site["line"]}
        return None

    @staticmethod
    def formatted(value: Any, conversion: str, spec: str) -> str:
        if conversion:
            value = str(value) if conversion == "s" else repr(value) if conversion == "r" else ascii(value)
        return format(value, spec)

    def show(self, values: list[Any], sep: str, end: str) -> None:
        """Print. What is printed soon after a frame is sent with the next print that is not, or with the next call: in between nothing can
        interrupt littrs, so a program that goes on without either keeps it until its end."""
        text = io.StringIO()
        print(*values, sep=sep, end=end, file=text)
        self.printed.append(text.getvalue())
        self.waiting += len(self.printed[-1])
        self.room -= len(self.printed[-1])
        if self.room < 0:
            os._exit(67)
        if self.waiting > MUCH or time.monotonic() - self.wire.wrote >= QUIET:
            self.clock(on=False)  # what the host takes to read them is not the program's time
            self.wire.write({"op": "prints", "prints": self.flushed()})
            self.clock(on=True)

    def flushed(self) -> str:
        text, self.printed, self.waiting = "".join(self.printed), [], 0
        return text

    def feed(self, message: dict[str, Any]) -> None:
        self.sites, self.stopped, self.seconds, self.room = message["sites"], None, message["seconds"], self.flood
        done: dict[str, Any] = {"op": "done", "value": None}
        self.clock(on=True)
        for source, line, is_value in message["chunks"]:
            try:
                value = self.engine.run(source)
                if is_value and self.stopped is None:
                    done["value"] = pack(value)
            except BaseException as error:  # noqa: BLE001 - see below
                # a Rust panic is a BaseException and leaves the interpreter in doubt; an ordinary refusal does not
                done["native"] = {"message": str(error), "line": line, "intact": isinstance(error, Exception)}
            if self.stopped is not None or "native" in done:
                break
        self.clock(on=False)
        self.wire.write({**done, "stopped": self.stopped, "prints": self.flushed()})

    def serve(self) -> NoReturn:
        while True:
            message = self.wire.read()
            if message["op"] == "feed":
                self.feed(message)
            else:
                self.engine.set(message["name"], unpack(message["value"]))
                self.wire.write({"op": "done"})


def bound(limits: dict[str, Any], already: int) -> None:
    """Bound this process's memory beyond what it has `already`, and let it open and start nothing more."""
    resource.setrlimit(resource.RLIMIT_AS, (already + limits["max_memory"],) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))


def mapped() -> int:
    """Bytes of address space that this process has now."""
    try:
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 256 * 2**20


def confine(library: str) -> None:
    """Give up files, network and the like. `confine.py` is loaded by its place: an isolated interpreter has no path to it."""
    place = os.path.join(os.path.dirname(__file__), "confine.py")
    loader = importlib.machinery.SourceFileLoader("confine", place)
    module = type(sys)("confine")
    loader.exec_module(module)
    module.confine(library)


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Jupyter's stop button signals every process of the kernel's group
    # the extension alone: the package's own __init__ would import more than all the rest together
    loader = importlib.machinery.ExtensionFileLoader("littrs", sys.argv[1])
    littrs: Any = loader.create_module(importlib.machinery.ModuleSpec("littrs", loader, origin=sys.argv[1]))
    loader.exec_module(littrs)
    wire = Wire()
    already = mapped()
    confine(sys.argv[2])
    limits = wire.read()
    bound(limits, already)
    wire.write({"op": "ready"})
    Worker(wire, littrs.Sandbox(builtins=True), limits).serve()


if __name__ == "__main__":
    main()
