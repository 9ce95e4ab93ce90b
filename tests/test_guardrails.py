"""Policies: what can be written, what is refused and where, and what each rule says of each state."""

from __future__ import annotations

import contextlib
import json
import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import workbench as wb
from docs.schemas import generate
from workbench.errors import PolicyError
from workbench.guardrails.judge import Judgement, Subject, judge
from workbench.guardrails.names import ACTIONS, NOTHING, POINTS, SAMPLES, SCOPES
from workbench.guardrails.policy import Policy, policy_of
from workbench.guardrails.rules import Window
from workbench.record.envelope import Header, TaskExecution, TaskResult, Telemetry, ToolCallEntry
from workbench.record.state import RunState
from workbench.record.statistics import Statistic, Statistics, counted_in
from workbench.record.values import Payload, ToolCall

NOW = datetime(2026, 1, 31, 10, tzinfo=UTC)

SEED = """
kind: GuardrailPolicy            # the README's short form is accepted too
version: 3
rules:
- "sum(tokens_used) > 10 000 -> abort_lifetime"
- {id: life-tokens, scope: lifetime, when: "sum(tokens_used) > 10_000", action: abort_lifetime}
- {id: step-cost, scope: execution, on: [task], when: "cost_usd > 0.50", action: reject_execution}
- {id: tenant-day, scope: tenant, window: 24h, when: "sum(cost_usd) > 25", action: pause_lifetime}
- {id: loops, scope: lifetime, on: [dispatch], when: "max(iteration_idx) >= 20", action: pause_lifetime}
- {id: risky-tool, on: [tool_call], when: "tool in ['shell','http_post']", action: require_approval}
"""


def rule(when: str, action: str = "abort_lifetime", **fields: object) -> Policy:
    """A policy of one rule."""
    return Policy.parse(json.dumps({"kind": "GuardrailPolicy", "rules": [{"id": "r", "when": when, "action": action, **fields}]}))


def finished(seq: int = 1, name: str = "node", status: str = "SUCCEEDED", **telemetry: object) -> TaskExecution:
    header = Header(lifetime_id=str(uuid.UUID(int=1)), exec_id=str(seq), name=name, status=status, created_at=NOW)
    return TaskExecution(seq=seq, phase="finished", header=header, telemetry=Telemetry(**telemetry), result=TaskResult())


def state_of(*telemetries: dict[str, object]) -> RunState:
    """A state in which executions have finished with this telemetry."""
    state = RunState(created_at=NOW - timedelta(minutes=2))
    for seq, telemetry in enumerate(telemetries, 1):
        state.statistics.add(finished(seq, **telemetry))
    return state


def subject(point: str = "task", **values: object) -> Subject:
    counted = {"dispatch": {"tasks": 1, "attempt": 1, "iteration_idx": 0}, "tool_call": {"tool_calls": 1}}.get(point, {})
    return Subject(point=point, exec_id="x", node="node", values={**SAMPLES[point], **values}, counted=counted, now=NOW)


def holds(policy: Policy, state: RunState | None = None, about: Subject | None = None, sums: dict | None = None) -> bool:
    return judge(policy, state or RunState(), about or subject(), sums).action is not None


# Reading


def test_the_seeds_example_is_read():
    policy = Policy.parse(SEED)
    found = [(rule.id, rule.scope, rule.action, rule.window, rule.on) for rule in policy.rules]
    assert policy.version == "3"
    assert found == [
        ("rule-1", "lifetime", "abort_lifetime", None, POINTS),
        ("life-tokens", "lifetime", "abort_lifetime", None, POINTS),
        ("step-cost", "execution", "reject_execution", None, ("task",)),
        ("tenant-day", "tenant", "pause_lifetime", 86_400, POINTS),
        ("loops", "lifetime", "pause_lifetime", None, ("dispatch",)),
        ("risky-tool", "execution", "require_approval", None, ("tool_call",)),
    ]


@pytest.mark.parametrize("arrow", ["->", "→", " → ", "->  "])
@pytest.mark.parametrize("number", ["10 000", "10_000", "10000", "10\u202f000"])
def test_the_short_form_alone_is_a_policy(arrow, number):
    (found,) = Policy.parse(f"sum(tokens_used) > {number}{arrow}abort_lifetime").rules
    assert (found.when.limit, found.action, found.scope) == (10_000, "abort_lifetime", "lifetime")


def test_the_short_form_has_one_rule_a_line_and_comments():
    policy = Policy.parse("# money\ncost_usd > 0.5 -> warn\n\nsum(tool_calls) > 20 -> pause_lifetime\n")
    assert [(rule.id, rule.scope) for rule in policy.rules] == [("rule-1", "execution"), ("rule-2", "lifetime")]


def test_the_hash_is_of_what_is_said_and_not_of_how_it_is_written():
    spread = "kind: GuardrailPolicy\nrules:\n- action: warn   # why not\n  when: 'cost_usd > 1'\n  id: r\n"
    assert Policy.parse(spread).hash == rule("cost_usd > 1", "warn").hash
    assert rule("cost_usd > 1", "warn").hash != rule("cost_usd > 2", "warn").hash


def test_every_fault_is_listed_with_its_line():
    text = """kind: GuardrailPolicy
rules:
- {id: a, when: "tokens > 3", action: warm, colour: red}
- {id: a b, when: "sum(tokenz) > 3", action: warn}
- {id: c, when: "tokens_used >", action: warn}
- {id: c2, when: "tokens_used > 'many'", action: warn}
- {id: d, scope: galaxy, when: "tokens_used > 3", action: warn, window: soon}
- {when: "tokens_used > 3"}
extra: 1
"""
    with pytest.raises(PolicyError) as caught:
        Policy.parse(text)
    lines = [int(fault.split(":")[0].removeprefix("line ")) for fault in caught.value.faults]
    assert sorted(set(lines)) == [3, 4, 5, 6, 7, 8, 9]
    assert lines == sorted(lines)
    assert "has no field 'colour'" in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"when": "tokenz_used > 3"}, "there is no 'tokenz_used'"),
        ({"when": "median(tokens_used) > 3"}, "there is no function 'median'"),
        ({"when": "sum(name) > 3"}, "nothing of that name to count"),
        ({"when": "sum(tokens_used + 1) > 3"}, "of one name"),
        ({"when": "tool.name == 'x'", "on": "tool_call"}, "only args has parts"),
        ({"when": "().__class__"}, "begin with an underscore"),
        ({"when": "__import__('os')"}, "there is no function"),
        ({"when": "[x for x in 'a']"}, "not part of the language"),
        ({"when": "tool == 'x'", "on": ["task"]}, "cannot be read on task"),
        ({"when": "tool == 'x' and tokens_used > 1"}, "cannot be read together"),
        ({"when": "cost_usd > 1", "action": "require_approval"}, "cannot be read together"),
        ({"when": "name == 'x'", "on": ["dispatch"], "action": "require_approval"}, "require_approval is for tool calls"),
        ({"when": "sum(tokens_used) > 1", "scope": "execution"}, "nothing to aggregate"),
        ({"when": "tokens_used > 1", "scope": "execution", "window": "1h"}, "no window"),
        ({"when": "last(tokens_used) > 1", "scope": "tenant"}, "whole lifetime"),
        ({"when": "rate(tokens_used) > 1", "scope": "session"}, "needs a window"),
        ({"when": "'x' in error"}, "NoneType"),
        ({"when": "tokens_used > 1", "reserve": {"tokens_used": 5}}, "what the rule sums"),
        ({"when": "sum(tokens_used) > 1", "reserve": {"tokens_used": -5}}, "not below 0"),
        ({"when": "tokens_used > 1", "on": []}, "on is a list"),
        ({"when": "tokens_used > 1", "severity": "loud"}, "severity is 'loud'"),
        ({"when": "tokens_used > 1", "unpriced": "maybe"}, "unpriced is 'maybe'"),
        ({"when": "tokens_used > 1", "window": "24"}, "the window '24'"),
        ({"when": "tokens_used > 1", "message": ""}, "1 to 500"),
        ({"when": "tokens_used > 1", "id": "../x"}, "is none"),
    ],
)
def test_what_cannot_be_meant_is_refused(fields, why):
    with pytest.raises(PolicyError, match=why):
        rule(**{"action": "warn", **fields})


@pytest.mark.parametrize(
    "text",
    [
        "", "   ", "\x00", "- a", "[[[[", "[" * 5_000, "a: *b", "kind: GuardrailPolicy", "kind: GuardrailPolicy\nrules: []",
        "kind: Other\nrules: ['cost_usd > 1 -> warn']", "kind: GuardrailPolicy\nrules: ['cost_usd > 1']",
        "kind: GuardrailPolicy\nrules: ['a -> b -> c']", "kind: GuardrailPolicy\nkind: GuardrailPolicy\nrules: ['cost_usd > 1 -> warn']",
        "kind: GuardrailPolicy\nrules: ['cost_usd > 1 -> warn']\n---\nkind: x", "!!python/object/apply:os.system ['true']",
        "kind: GuardrailPolicy\nrules:\n- !!python/object/apply:os.system ['true']", "kind: !!python/name:os.system\nrules: [a]",
        "kind: GuardrailPolicy\nrules: &a [*a]", "kind: GuardrailPolicy\nrules:\n- <<: {id: a}\n  when: 'cost_usd > 1'\n  action: warn",
        "kind: GuardrailPolicy\nrules: [{id: a, when: true, action: warn}]", "\ud83d -> warn", "x" * 200_000,
        "kind: GuardrailPolicy\nrules: [" + "'cost_usd > 1 -> warn'," * 201 + "]",
    ],
)  # fmt: skip
def test_hostile_texts_are_policy_errors(text):
    with pytest.raises(PolicyError):
        Policy.parse(text)


def test_aliases_that_would_explode_are_read_in_no_time():
    bomb = "\n".join(f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9) if n else 'y'}]" for n in range(12))
    with pytest.raises(PolicyError, match="has no field 'x11'"):
        Policy.parse(bomb + "\nkind: GuardrailPolicy\nrules: *x11")


_WORDS = [
    "sum(tokens_used)",
    "cost_usd",
    "tool",
    " > ",
    " and ",
    "10 000",
    "->",
    "→",
    "abort_lifetime",
    "warn",
    "not ",
    "(",
    ")",
    "'x'",
    ".",
]
_YAML = [
    *_WORDS,
    "kind: GuardrailPolicy\n",
    "rules:\n",
    "- ",
    "id: a",
    "when: ",
    "action: ",
    "\n",
    "  ",
    "{",
    "}",
    "[",
    "]",
    ",",
    '"',
    "&a",
    "*a",
    "!!",
]


@given(st.lists(st.sampled_from(_WORDS), max_size=12).map("".join) | st.lists(st.sampled_from(_YAML), max_size=25).map("".join) | st.text())
@settings(max_examples=400, deadline=None)
def test_any_text_is_a_policy_or_a_policy_error(text):
    with contextlib.suppress(PolicyError):
        policy = Policy.parse(text)
        assert isinstance(judge(policy, RunState(), subject()), Judgement)
        assert Policy.parse(policy.text).hash == policy.hash


def test_a_policy_is_given_as_a_path_a_text_or_an_object(tmp_path):
    path = tmp_path / "limits.yaml"
    path.write_text(SEED, encoding="utf-8")
    expected = Policy.parse(SEED).hash
    assert {policy_of(given).engine.hash for given in (path, str(path), SEED, wb.Policy.load(path))} == {expected}
    assert policy_of(None) is None


@pytest.mark.parametrize("given_", ["nowhere.yaml", "rego:deny", 3])
def test_a_policy_that_is_not_there_is_a_policy_error(given_):
    with pytest.raises(PolicyError):
        policy_of(given_)


# The published schema


SCHEMA = jsonschema.Draft202012Validator(json.loads(generate.POLICY_SCHEMA.read_text()))


def test_the_published_schema_is_what_the_code_says():
    SCHEMA.check_schema(SCHEMA.schema)
    assert generate.POLICY_SCHEMA.read_text() == generate.policy(), "run python docs/schemas/generate.py"


FULL = {
    "id": "r", "scope": "tenant", "on": ["task", "dispatch"], "when": "sum(cost_usd) > 1", "action": "pause_lifetime", "window": "24h",
    "message": "enough", "severity": "critical", "unpriced": "ignore", "reserve": {"cost_usd": 0.25},
}  # fmt: skip


def test_a_rule_with_every_field_is_valid_for_both():
    document = {"kind": "GuardrailPolicy", "version": 1, "rules": [FULL, "cost_usd > 1 → warn"]}
    SCHEMA.validate(document)
    assert Policy.parse(json.dumps(document)).rules[0].reserve == (("cost_usd", Decimal("0.25")),)


@pytest.mark.parametrize(
    "change",
    [{"colour": 1}, {"id": "a b"}, {"scope": "galaxy"}, {"on": ["moon"]}, {"action": "warm"}, {"window": "soon"}, {"severity": "loud"},
     {"unpriced": "x"}, {"reserve": {"x": 1}}, {"reserve": {"cost_usd": -1}}, {"message": ""}, {"when": 3}],
)  # fmt: skip
def test_what_the_schema_refuses_the_reader_refuses(change):
    document = {"kind": "GuardrailPolicy", "rules": [FULL | change]}
    assert not SCHEMA.is_valid(document)
    with pytest.raises(PolicyError):
        Policy.parse(json.dumps(document))


# Judging


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("sum(tokens_used) > 29", True), ("sum(tokens_used) > 30", False), ("sum(tokens_used) >= 30", True),
        ("sum(tokens_used) < 31", True), ("sum(tokens_used) <= 29", False), ("sum(tokens_used) == 30", True),
        ("sum(tokens_used) != 30", False), ("max(tokens_used) == 20", True), ("min(tokens_used) == 10", True),
        ("avg(tokens_used) == 15", True), ("count(tokens_used) == 2", True), ("last(tokens_used) == 20", True),
        ("rate(tokens_used) == 15", True), ("sum(cost_usd) == 0.3", True), ("sum(cost_usd) > 0.3", False), ("max(cost_usd) == 0.2", True),
        ("sum(tokens_used) > 29 and count(tokens_used) > 5", False), ("sum(tokens_used) > 99 or count(tokens_used) > 1", True),
        ("not sum(tokens_used) > 99", True), ("sum(tokens_used) in [30, 31]", True), ("sum(tokens_used) not in [30]", False),
        ("sum(tokens_in) + sum(tokens_out) == sum(tokens_used)", True), ("10 < sum(tokens_used) < 40", True),
        ("max(tokens_used) > 1.2 * avg(tokens_used)", True), ("sum(latency_ms) == 3.0", True), ("sum(failures) == 0", True),
    ],
)  # fmt: skip
def test_aggregates_and_operators(when, expected):
    state = state_of({"tokens_in": 10, "cost_usd": "0.1", "latency_ms": 1.0}, {"tokens_out": 20, "cost_usd": "0.2", "latency_ms": 2.0})
    assert holds(rule(when), state) is expected


@pytest.mark.parametrize("function", ["min", "max", "avg", "last"])
@pytest.mark.parametrize("operator", ["<", "<=", ">", ">=", "==", "!="])
def test_no_comparison_holds_with_the_aggregate_of_nothing(function, operator):
    assert not holds(rule(f"{function}(tokens_used) {operator} 0"))
    assert not holds(rule(f"3 * {function}(tokens_used) - 1 {operator} 0.5"))


@pytest.mark.parametrize(
    ("when", "expected"), [("sum(tokens_used) == 0", True), ("count(tasks) == 0", True), ("rate(tool_calls) > 0", False)]
)
def test_the_sum_and_count_of_nothing_are_0(when, expected):
    assert holds(rule(when, on=["task"])) is expected


def test_nothing_is_nothing_in_any_arithmetic():
    assert not any([NOTHING + 1 > 0, 1 - NOTHING < 5, Decimal(2) * NOTHING == 0, NOTHING / 3 >= 0, -NOTHING < 1, bool(NOTHING)])


@pytest.mark.parametrize(
    ("when", "values", "expected"),
    [
        ("cost_usd > 0.50", {"cost_usd": Decimal("0.51")}, True), ("cost_usd > 0.50", {"cost_usd": Decimal("0.50")}, False),
        ("model in ['a', 'b']", {"model": "b"}, True), ("model == 'a'", {"model": None}, False),
        ("matches(name, 'task_*')", {"name": "task_x"}, True),
        ("status == 'FAILED' and error == 'timeout'", {"status": "FAILED", "error": "timeout"}, True),
        ("queue_ms > 0", {"queue_ms": NOTHING}, False), ("attempt > 2", {"attempt": 3}, True), ("unpriced", {"unpriced": True}, True),
    ],
)  # fmt: skip
def test_one_execution_is_judged_by_its_fields(when, values, expected):
    assert holds(rule(when), about=subject(**values)) is expected


@pytest.mark.parametrize(
    ("when", "args", "expected"),
    [
        ("tool in ['shell', 'http_post']", {}, True), ("tool == 'shell' and args.path == '/etc'", {"path": "/etc"}, True),
        ("args.path == '/etc'", {}, False), ("tool == 'shell' and '/etc' in args.path", {"path": "/etc/passwd"}, True),
        ("args.a.b > 1", {"a": {"b": 2}}, True), ("matches(tool, 'sh*')", {}, True), ("tool_calls > 3", {}, False),
    ],
)  # fmt: skip
def test_a_call_is_judged_by_its_tool_and_arguments(when, args, expected):
    about = subject("tool_call", tool="shell", args=args)
    assert holds(rule(when, "require_approval"), about=about) is expected


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("action", [action for action in ACTIONS if action != "require_approval"])
def test_every_scope_and_action(scope, action):
    when = "tokens_used > 5" if scope == "execution" else "sum(tokens_used) > 5"
    policy = rule(when, action, scope=scope, on=["task"])
    for amount, expected in ((6, action), (5, None)):
        state = state_of({"tokens_in": amount})
        judgement = judge(policy, state, subject(tokens_used=amount), {Window(scope, None): state.statistics})
        assert judgement.action == expected
        assert [violation.scope for violation in judgement.violations] == ([scope] if expected else [])


def test_a_rule_is_judged_only_where_it_is_on():
    policy = rule("iteration_idx >= 0", on=["dispatch"])
    assert [point for point in POINTS if holds(policy, about=subject(point))] == ["dispatch"]


def test_what_is_about_to_be_is_counted_before_it_is():
    assert holds(rule("sum(tasks) > 0"), about=subject("dispatch"))
    assert holds(rule("sum(tool_calls) > 0"), about=subject("tool_call"))
    assert not holds(rule("sum(tasks) > 0"), about=subject("task"))


def test_all_rules_are_judged_and_the_strictest_action_wins():
    lines = [f"tokens_used > 0 -> {action}" for action in ("warn", "reject_execution", "abort_lifetime", "pause_lifetime")]
    judgement = judge(Policy.parse("\n".join(lines)), RunState(), subject())
    assert [violation.action for violation in judgement.violations] == ["warn", "reject_execution", "abort_lifetime", "pause_lifetime"]
    assert judgement.action == "abort_lifetime"
    assert [ACTIONS.index(a) for a in ("warn", "require_approval", "reject_execution", "pause_lifetime", "abort_lifetime")] == [
        0,
        1,
        2,
        3,
        4,
    ]


def test_a_verdict_has_the_values_it_was_judged_by():
    (violation,) = judge(rule("sum(tokens_used) > 5 and name == 'node'"), state_of({"tokens_in": 6}), subject()).violations
    assert violation.values == {"sum(tokens_used)": "6", "name": "node"}


@pytest.mark.parametrize("action", ["warn", "reject_execution", "pause_lifetime", "abort_lifetime"])
def test_a_rule_that_cannot_be_judged_counts_as_broken(action):
    policy = rule("sum(tokens_used) / count(tokens_used) > 5", action)
    judgement = judge(policy, RunState(), subject())
    assert judgement.action == action
    assert "cannot be judged" in judgement.violations[0].message


def test_sums_that_are_missing_count_as_broken():
    assert holds(rule("sum(tokens_used) > 5", scope="tenant"))


def test_an_unknown_price_breaks_a_rule_over_money_unless_it_says_otherwise():
    state = state_of({"tokens_in": 1, "model": "m", "unpriced": True})
    assert holds(rule("sum(cost_usd) > 1000"), state)
    assert "unpriced" in judge(rule("sum(cost_usd) > 1000"), state, subject()).violations[0].message
    assert holds(rule("cost_usd > 1000"), about=subject(cost_usd=Decimal(0), unpriced=True))
    assert not holds(rule("sum(cost_usd) > 1000", unpriced="ignore"), state)
    assert not holds(rule("sum(tokens_used) > 1000"), state)


def test_money_is_exact():
    state = state_of(*({"cost_usd": "0.1"} for _ in range(3)))
    assert not holds(rule("sum(cost_usd) > 0.3"), state)
    assert holds(rule("sum(cost_usd) >= 0.3"), state)


def test_a_person_sets_a_rule_aside_or_gives_it_another_limit():
    policy, state = rule("sum(tokens_used) > 5", "pause_lifetime"), state_of({"tokens_in": 6})
    state.limits["r"] = "6"
    assert not holds(policy, state)
    state.limits["r"] = "5.5"
    assert holds(policy, state)
    state.waived.add("r")
    assert not holds(policy, state)


def test_a_wide_warning_is_given_once_and_a_narrow_one_each_time():
    state = state_of({"tokens_in": 6})
    state.warned.add("r")
    assert not holds(rule("sum(tokens_used) > 5", "warn"), state)
    assert holds(rule("tokens_used > 0", "warn"), state)


# Statistics


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**9), st.booleans()), max_size=20))
def test_statistics_of_parts_are_those_of_the_whole(spent):
    entries = [
        finished(seq, tokens_in=tokens, cost_usd=str(Decimal(nano).scaleb(-9)), unpriced=lost)
        for seq, (tokens, nano, lost) in enumerate(spent, 1)
    ]
    whole, first, second = Statistics(), Statistics(), Statistics()
    for place, entry in enumerate(entries):
        whole.add(entry)
        (first if place < len(entries) // 2 else second).add(entry)
    assert first.plus(second).by_name == whole.by_name
    assert whole.of("cost_usd").sum == sum(nano for _, nano, _ in spent)


def test_what_each_entry_adds():
    started = TaskExecution(seq=1, phase="started", header=finished().header.model_copy(update={"attempt": 2, "status": "RUNNING"}))
    call = ToolCallEntry(
        seq=1, phase="intent", header=finished().header, call=ToolCall(tool="t", ordinal=0, args=Payload(), idempotency_key="k")
    )
    assert dict(counted_in(started)) == {"tasks": 1, "attempt": 2, "iteration_idx": 0}
    assert dict(counted_in(call)) == {"tool_calls": 1}
    assert dict(counted_in(finished(status="FAILED", tokens_in=1, latency_ms=0.0))) == {
        "tokens_used": 1, "tokens_in": 1, "latency_ms": 0.0, "failures": 1,
    }  # fmt: skip
    assert Statistics().of("tasks") == Statistic()
