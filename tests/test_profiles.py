"""Profiles: URLs, the environment and the working directory → a workbench."""

from __future__ import annotations

import asyncio
import importlib
from pathlib import Path

import pytest

import workbench as wb
from workbench.adapters.memory import MemoryStateStore
from workbench.adapters.sql import SqlStateStore
from workbench.current import current, set_current
from workbench.errors import ConfigurationError, StoreError
from workbench.profiles import PORTS, find_home, for_tests, local


@pytest.fixture(autouse=True)
def nothing_configured(monkeypatch, tmp_path):
    for name in ("HOME", *(port.upper() for port in PORTS)):
        monkeypatch.delenv(f"WORKBENCH_{name}", raising=False)
    monkeypatch.chdir(tmp_path)
    yield
    set_current(None)


def below(path: Path, *parts: str) -> Path:
    made = path.joinpath(*parts)
    made.mkdir(parents=True, exist_ok=True)
    return made


def test_workbench_home_comes_first(tmp_path):
    below(tmp_path, ".workbench")
    assert find_home(tmp_path, {"WORKBENCH_HOME": "/elsewhere"}) == Path("/elsewhere")
    assert find_home(tmp_path, {"WORKBENCH_HOME": "~/here"}) == Path.home() / "here"
    assert find_home(tmp_path, {"WORKBENCH_HOME": ""}) == tmp_path / ".workbench"


def test_then_the_nearest_store_upwards_even_beyond_a_repository(tmp_path):
    below(tmp_path, ".workbench")
    here = below(tmp_path, "repo", "deep")
    below(tmp_path, "repo", ".git")
    assert find_home(here, {}) == tmp_path / ".workbench"
    below(tmp_path, "repo", ".workbench")
    assert find_home(here, {}) == tmp_path / "repo" / ".workbench"


@pytest.mark.parametrize("mark", [".git", "pyproject.toml"])
@pytest.mark.parametrize("is_file", [True, False])
def test_then_beside_the_nearest_repository_or_project(tmp_path, mark, is_file):
    here = below(tmp_path, "project", "deep", "deeper")
    if is_file:
        (tmp_path / "project" / mark).write_text("")  # .git is a file in a worktree
    else:
        below(tmp_path, "project", mark)
    found = find_home(here, {})
    if mark == "pyproject.toml" and not is_file:
        assert found == here / ".workbench"
    else:
        assert found == tmp_path / "project" / ".workbench"


def test_then_in_the_working_directory(tmp_path):
    here = below(tmp_path, "plain")
    assert find_home(here, {}) == here / ".workbench"


def test_a_file_named_like_the_store_is_none(tmp_path):
    (tmp_path / ".workbench").write_text("")
    here = below(tmp_path, "project")
    below(tmp_path, "project", ".git")
    assert find_home(here, {}) == here / ".workbench"


def test_nothing_is_taken_from_a_directory_that_everyone_writes_to_nor_from_above_it(tmp_path):
    below(tmp_path, ".workbench")
    shared = below(tmp_path, "tmp")
    below(shared, ".workbench")
    below(shared, ".git")
    shared.chmod(0o1777)
    here = below(shared, "mine")
    assert find_home(here, {}) == here / ".workbench"
    assert find_home(shared, {}) == shared / ".workbench", "who works there chose it"


def test_the_local_profile_keeps_everything_under_its_home(tmp_path):
    bench = local(home=tmp_path / "home")
    assert isinstance(bench.store, SqlStateStore)
    assert (tmp_path / "home" / "records.db").is_file()
    bench.close()


def test_connecting_makes_the_workbench_current(tmp_path):
    bench = wb.connect(home=tmp_path / "home")
    assert current() is bench is wb.current()
    bench.close()


def test_without_connecting_the_local_workbench_is_made_once(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    set_current(None)
    bench = current()
    assert current() is bench
    assert (tmp_path / "home" / "records.db").is_file()
    bench.close()


def test_a_url_given_wins_over_the_environment_and_that_over_the_default(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_STATE", "memory:")
    from_environment = local(home=tmp_path)
    given = local({"state": f"sqlite:///{tmp_path / 'given.db'}"}, home=tmp_path)
    assert isinstance(from_environment.store, MemoryStateStore)
    assert isinstance(given.store, SqlStateStore)
    from_environment.close()
    given.close()


@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize("url", ["nope:", "nope://host/x", "records.db", "/abs/records.db", ""])
def test_a_url_of_an_unknown_scheme_names_it_and_those_there_are(tmp_path, port, url):
    if url == "":
        local({port: url, "state": "memory:"}, home=tmp_path).close()
        return
    with pytest.raises(ConfigurationError, match=f"for {port}.*memory:") as caught:
        local({port: url}, home=tmp_path)
    assert repr(url) in str(caught.value)


def test_an_unknown_scheme_leaves_the_current_workbench_and_the_disk_alone(tmp_path):
    bench = for_tests()
    set_current(bench)
    with pytest.raises(ConfigurationError):
        wb.connect(bus="nope:", home=tmp_path / "home")
    assert current() is bench
    assert not (tmp_path / "home").exists()
    bench.close()


def test_a_home_that_cannot_be_a_directory_is_a_store_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError):
        local(home=tmp_path / "file")


def test_a_home_with_spaces_and_signs_works(tmp_path):
    home = tmp_path / "my home #1 50% ü+&="
    bench = local(home=home)
    bench.close()
    assert (home / "records.db").is_file()


@pytest.mark.parametrize("name", ["what?", "a%20b"])
def test_a_home_that_no_url_can_hold_is_refused_and_nothing_is_written_beside_it(tmp_path, name):
    with pytest.raises(ConfigurationError, match="WORKBENCH_HOME"):
        local(home=tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_connecting_goes_on_with_nothing(tmp_path):
    @wb.task
    async def wait(value):
        await asyncio.sleep(60)

    first = local(home=tmp_path)
    run = wb.start(wb.AgentGraph("w", nodes=[wait], edges=[("Start", "wait"), ("wait", "End")]), workbench=first)
    first.close()
    second = wb.connect(home=tmp_path)
    before = len(second.open(run.id).entries())
    assert [found.status for found in second.runs()] == ["interrupted"]
    assert len(second.open(run.id).entries()) == before
    second.close()


def test_the_test_profile_gives_the_same_ids_for_the_same_seed():
    first, same, other = for_tests(1), for_tests(1), for_tests(2)
    assert first.session_id == same.session_id != other.session_id
    for bench in (first, same, other):
        bench.close()


@pytest.mark.parametrize(
    "url", ["postgresql://ana:canary@db/x", "oracle://ana:ca/na@ry:canary@db", "nothing:?password=canary", "sqlite://ana:canary@h/x.db"]
)
def test_a_password_in_a_url_is_in_no_message(url):
    with pytest.raises(wb.errors.ConfigurationError) as caught:
        wb.connect(url)
    assert "canary" not in str(caught.value)


PACKAGE = """
from workbench.adapters.memory import MemoryStateStore

made = []

def store(url):
    made.append(url)
    return MemoryStateStore()
"""


@pytest.fixture
def other_distribution(tmp_path, monkeypatch):
    """A package that another distribution has installed, with an adapter for the scheme `elsewhere:`."""
    site = below(tmp_path, "site")
    (site / "elsewhere_store.py").write_text(PACKAGE)
    info = below(site, "elsewhere_store-1.0.dist-info")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: elsewhere-store\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[workbench.state]\nelsewhere = elsewhere_store:store\n")
    monkeypatch.syspath_prepend(str(site))


def test_an_adapter_of_another_distribution_is_found_by_its_scheme(other_distribution, tmp_path):
    with pytest.raises(ConfigurationError, match="elsewhere:, memory:, sqlite:"):
        wb.connect("nowhere:here", home=tmp_path)
    bench = wb.connect("elsewhere:here", home=tmp_path)
    ask = wb.task(name="one", idempotent=True)(lambda value: value + 1)
    run = wb.start(wb.AgentGraph("one", nodes=[ask], edges=[("Start", "one"), ("one", "End")]), 1)
    assert run.result(5) == 2
    run.verify()
    bench.close()
    assert importlib.import_module("elsewhere_store").made == ["elsewhere:here"]
