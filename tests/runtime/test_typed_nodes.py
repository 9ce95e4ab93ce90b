"""Typed nodes: a value that does not fit is a failed execution with a message, never a success and never a surprise further on."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from pathlib import Path
from uuid import UUID

import pytest
from pydantic import BaseModel, SecretStr

import workbench as wb
from tests.runtime import typed_example
from tests.runtime.graphs import line
from tests.runtime.typed_example import Fetch, Judge, Page, Report, graph, report
from workbench.errors import GraphError, RunFailed, UserError
from workbench.graph.nodes import source_hash


class Order(BaseModel):
    id: UUID
    on: date
    items: tuple[str, ...] = ()


def failure(bench, step, value):
    """The error with which a run of one step failed, and whether its code was reached."""
    run = wb.start(line(step), value, workbench=bench)
    with pytest.raises(RunFailed):
        run.result(5)
    assert [entry.header.status for entry in run.entries() if entry.kind == "task_execution"][-1] == "FAILED"
    run.verify()
    return run.state.error


def test_classes_and_functions_make_one_typed_graph(bench):
    run = wb.start(graph, "abc", workbench=bench)
    assert run.result(5) == {"text": "3 words", "about": {"url": "https://example.org/abc", "words": 3}}
    run.verify()
    assert wb.start(graph, "", workbench=bench).result(5) == {"url": "https://example.org/", "words": 0}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_example_is_accepted_by_mypy_strict(tmp_path):
    command = [sys.executable, "-m", "mypy", "--strict", f"--cache-dir={tmp_path}", str(Path(typed_example.__file__))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"url": 3, "words": 1}, "url: Input should be a valid string, got int"),
        ({"url": "u"}, "words: Field required"),
        ({"url": "u", "words": "7"}, "words: Input should be a valid integer, got str"),
        ({"url": "u", "words": -1}, "words: Input should be greater than or equal to 0, got int"),
        (None, "Input should be an object, got NoneType"),
    ],
)
def test_an_input_that_does_not_fit_is_told_before_the_code_runs(bench, value, told):
    reached = []

    def look(page):
        reached.append(page)

    error = failure(bench, wb.task(input=Page)(look), value)
    assert (error.code, error.message) == ("input_invalid", f"'look' takes a Page, and was given something else: {told}")
    assert not reached


@pytest.mark.parametrize("value", [{"text": "t"}, "text", None, {"text": "t", "about": {"url": "u", "words": -1}}])
def test_an_output_that_does_not_fit_fails_the_task(bench, value):
    error = failure(bench, wb.task(output=Report)(lambda _: value), None)
    assert error.code == "output_invalid"
    assert "must return a Report, and returned something else" in error.message


def test_an_instance_that_was_spoiled_after_it_was_made_does_not_fit(bench):
    def spoil(value):
        page = Page(url="u", words=1)
        page.words = -5
        return page

    assert failure(bench, wb.task(output=Page)(spoil), None).code == "output_invalid"


def test_what_is_wrong_is_told_without_the_value(bench):
    class Login(BaseModel):
        password: SecretStr
        tries: int

    error = failure(bench, wb.task(input=Login)(lambda login: None), {"password": "hunter2", "tries": "hunter3"})
    assert "hunter" not in error.message


def test_a_plan_given_something_else_fails_by_name(bench):
    wrong = wb.task(name="Fetch")(lambda value: {"url": value})
    run = wb.start(wb.AgentGraph("g", nodes=[wrong, Judge()], edges=[*graph.edges[:2], ("Judge", "End")]), "x", workbench=bench)
    with pytest.raises(RunFailed, match="'Judge' takes a Page, and was given something else: words: Field required"):
        run.result(5)
    assert run.state.error.code == "input_invalid"
    run.verify()


def test_what_the_record_writes_in_another_notation_fits(bench):
    seen = []

    class Keep(wb.Task):
        def run(self, order: Order) -> Order:
            seen.append(order)
            return order

    given = {"id": "12345678-1234-5678-1234-567812345678", "on": date(2026, 1, 2), "items": ["a"]}
    value = wb.start(line(Keep(), wb.task(name="again", input=Order)(seen.append)), given, workbench=bench).result(5)
    assert value is None
    assert seen[0] == seen[1] == Order(id=UUID(given["id"]), on=date(2026, 1, 2), items=("a",))


def test_an_output_is_recorded_as_its_shape_has_it(bench):
    assert wb.start(line(wb.task(output=Order)(make_order)), "2026-01-02", workbench=bench).result(5)["items"] == ()


def make_order(day):
    return {"id": "12345678-1234-5678-1234-567812345678", "on": day}


def test_annotations_count_where_they_are_pydantic_classes_and_all_of_a_class_count(bench):
    @wb.task
    def untyped(value: int) -> str:
        return value

    class Typed(wb.Task):
        def run(self, value: int) -> str:
            return value

    assert (untyped.input, untyped.output) == (None, None)
    assert wb.start(line(untyped), 3, workbench=bench).result(5) == 3
    assert failure(bench, Typed(), 3).message.startswith("'Typed' must return a str")
    assert (repr(report.input), repr(report.output)) == ("Page", "Report")


def test_a_class_can_be_used_twice_under_other_names_and_options():
    here, there = Fetch("https://a/"), Fetch("https://b/")
    assert (here.name, here.timeout, here.retries.attempts, here.idempotent) == ("Fetch", 30, 2, True)
    assert here != there
    assert source_hash(here) == source_hash(there) != source_hash(Judge())

    class Slower(Fetch, name="slower", timeout=60):
        """Options are inherited."""

    assert (Slower("x").name, Slower("x").timeout, Slower("x").idempotent) == ("slower", 60, True)


def test_a_text_says_the_options_and_the_code_says_the_types(bench):
    for text, read in ((graph.to_dot(), wb.AgentGraph.from_dot), (graph.to_yaml(), wb.AgentGraph.from_yaml)):
        again = read(text.replace("30", "20"), nodes=[Fetch("https://other/"), Judge(), report])
        assert again.nodes["Fetch"].timeout == 20
        assert wb.start(again, "", workbench=bench).result(5)["url"] == "https://other/"
        assert read(text, nodes=graph.nodes.values()).hash == graph.hash


def test_the_hash_follows_what_a_schema_lets_pass_and_not_its_words():
    def graph_of(shape):
        return line(wb.task(name="step", input=shape)(lambda value: value)).hash

    class A(BaseModel):
        title: str

    class B(BaseModel):
        """The same under another name."""

        title: str

    class C(BaseModel):
        title: int

    assert graph_of(A) == graph_of(B) != graph_of(C)
    assert graph_of(A) != line(wb.task(name="step")(lambda value: value)).hash


def test_another_schema_is_a_major_change_of_a_version():
    registry = wb.GraphRegistry()
    registry.register(line(wb.task(name="step", input=Page)(lambda value: value)))
    with pytest.raises(GraphError, match=r"node 'step' takes or gives something else[\s\S]*register it as 2\.0\.0"):
        registry.register(line(wb.task(name="step", input=Report)(lambda value: value)))


def test_an_annotation_that_means_nothing_is_refused_where_it_stands():
    class Odd(wb.Task):
        def run(self, value: object()) -> None:  # type: ignore[valid-type]
            return None

    class Lost(wb.Task):
        def run(self, value: Nowhere) -> None:  # noqa: F821
            return None

    class Empty(wb.Task):
        """Without code."""

    with pytest.raises(UserError, match="the input of task 'Odd' is"):
        Odd()
    with pytest.raises(UserError, match="node 'Lost' has an annotation that cannot be looked up: name 'Nowhere' is not defined"):
        Lost()
    with pytest.raises(UserError, match="node 'Empty' needs a function"):
        Empty()


def test_an_annotation_only_type_checkers_know_keeps_no_function_from_being_a_node(bench):
    @wb.task
    def free(value: Nowhere) -> Nowhere:  # noqa: F821
        return value

    assert wb.start(line(free), 1, workbench=bench).result(5) == 1
