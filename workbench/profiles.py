"""local | test → Workbench. The only reader of configuration, and the only module that knows where adapters come from.

A port is named by a URL, whose scheme finds its adapter among the installed entry points (`workbench.state`, `workbench.bus`,
`workbench.blobs`, `workbench.kv`); another package adds an adapter by declaring one there. What is not given is read from WORKBENCH_STATE,
WORKBENCH_BUS, WORKBENCH_BLOBS and WORKBENCH_KV, and failing that is local: SQLite and files under `.workbench/`, bus and cache in memory.
Master keys come likewise from `workbench.keys` and WORKBENCH_ENCRYPTION; failing that, nothing is encrypted.

The `.workbench` directory is WORKBENCH_HOME, else the one in the nearest directory upwards that has one, else beside the nearest `.git` or
`pyproject.toml` upwards, else in the working directory. The way upwards ends below a directory that everyone writes to, like /tmp: what
lies there may be anybody's.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points, version
from itertools import takewhile
from pathlib import Path
from typing import Any

from workbench.adapters.vault import SealedState, Vault
from workbench.agents.fork import AGENT
from workbench.current import set_current
from workbench.errors import ConfigurationError
from workbench.loop import run_sync
from workbench.runtime.clock import TickingClock, seeded_ids
from workbench.runtime.workbench import Workbench
from workbench.visible import masked

PORTS = ("state", "bus", "blobs", "kv")


def connect(
    state: str | None = None,
    *,
    bus: str | None = None,
    blobs: str | None = None,
    kv: str | None = None,
    home: str | Path | None = None,
    encryption: str | None = None,
) -> Workbench:
    """Make a workbench from URLs and let it be the current one. With `encryption`, what is recorded from now on is encrypted, with the keys
    of `env:NAME` (an environment variable) or `file:PATH`; docs/encryption.md says what and how.

    Connecting never goes on with recorded work; `wb.resume` does.

    Raises:
        ConfigurationError: for a URL that names no installed adapter; the message lists the schemes there are.
        StoreError: when a store cannot be opened.
    """
    given = {"state": state, "bus": bus, "blobs": blobs, "kv": kv}
    workbench = local(given, Path(home) if home is not None else None, encryption)
    set_current(workbench)
    return workbench


def local(given: Mapping[str, str | None] | None = None, home: Path | None = None, encryption: str | None = None) -> Workbench:
    """The workbench of this machine; what `connect` does without making it the current one."""
    place = home or find_home()
    if unfit := re.search(r"\?|%[0-9A-Fa-f]{2}", str(place)):
        raise ConfigurationError(f"{str(place)!r} has {unfit[0]!r} in it, which a URL would read otherwise; set WORKBENCH_HOME")
    defaults = {
        "state": f"sqlite:///{(place / 'records.db').as_posix()}",
        "bus": "memory:",
        "blobs": f"file:{(place / 'blobs').as_posix()}",
        "kv": "memory:",
    }
    chosen = {port: (given or {}).get(port) or os.environ.get(f"WORKBENCH_{port.upper()}") or defaults[port] for port in PORTS}
    factories = {port: _adapter(port, url) for port, url in chosen.items()}

    keys_url = encryption or os.environ.get("WORKBENCH_ENCRYPTION")
    keys = None if not keys_url else _adapter("keys", keys_url)(keys_url)

    async def make() -> Workbench:
        ports = {port: factory(chosen[port]) for port, factory in factories.items()}
        if keys is not None:
            vault = Vault(ports["state"], keys)
            ports |= {"state": SealedState(ports["state"], vault), "vault": vault}
        return Workbench(**ports, kinds={"agent": AGENT}, package=version("agent-workbench"))

    return run_sync(make())


def for_tests(seed: int = 0) -> Workbench:
    """Everything in memory, one clock that ticks when read, ids from a seed, synchronous code inline: the same seed and the same runs give
    a byte-identical log."""
    factories = {port: _adapter(port, "memory:") for port in PORTS}

    async def make() -> Workbench:
        ports = {port: factory("memory:") for port, factory in factories.items()}
        return Workbench(
            **ports,
            clock=TickingClock(seed=seed),
            new_id=seeded_ids(seed),
            inline=True,
            kinds={"agent": AGENT},
            package=version("agent-workbench"),
            owner="test/0/-/0",
        )

    return run_sync(make())


def find_home(start: Path | None = None, environ: Mapping[str, str] = os.environ) -> Path:
    """Where the local store lies, by the rule above."""
    if environ.get("WORKBENCH_HOME"):
        return Path(environ["WORKBENCH_HOME"]).expanduser()
    here = (start or Path.cwd()).resolve()
    upwards = [here, *takewhile(lambda directory: not _everyones(directory), here.parents)]
    for directory in upwards:
        if (directory / ".workbench").is_dir():
            return directory / ".workbench"
    for directory in upwards:
        if (directory / ".git").exists() or (directory / "pyproject.toml").is_file():
            return directory / ".workbench"
    return here / ".workbench"


def _everyones(directory: Path) -> bool:
    mode = directory.stat().st_mode
    return bool(mode & stat.S_ISVTX and mode & stat.S_IWOTH)


def _adapter(port: str, url: str) -> Callable[[str], Any]:
    scheme = url.partition(":")[0]
    found = {point.name: point for point in entry_points(group=f"workbench.{port}")}
    if scheme not in found:
        known = ", ".join(f"{name}:" for name in sorted(found)) or "none; is the package installed?"
        raise ConfigurationError(f"{masked(url)!r} names no adapter for {port}; the schemes installed are {known}")
    return found[scheme].load()  # type: ignore[no-any-return]
