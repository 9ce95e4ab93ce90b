"""Policy text → rules. Every fault is listed with its line; nothing that is not understood is let through.

The YAML is only composed into nodes, never constructed: tags, anchors and what they might make mean nothing here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any, get_args

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from workbench.errors import PolicyError
from workbench.expressions import Expression, ExpressionError, parse
from workbench.guardrails.names import ABSENCES, ACTIONS, AGGREGATES, FIELDS, FUNCTIONS, NOTHING, POINTS, SAMPLES, SCOPES, read
from workbench.guardrails.rules import Rule, Severity, Window
from workbench.record.envelope import Action, Point, Scope
from workbench.record.statistics import SPENT

KIND = "GuardrailPolicy"
TEXT = "tag:yaml.org,2002:str"
MAX_TEXT = 100_000
MAX_RULES = 200

TOP = ("kind", "version", "rules")
FIELDS_OF_A_RULE = ("id", "scope", "on", "when", "action", "window", "message", "severity", "unpriced", "reserve")

ARROW = re.compile(r"\s*(?:->|→)\s*")
RULE_ID = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
WINDOW = r"^[1-9][0-9]{0,6} ?[smhd]$"
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_EVERY_NAME = frozenset(name for names in SAMPLES.values() for name in names)


class _Faulty(Exception):
    """A rule cannot be made of what was read; the fault has been noted."""


def read_policy(text: str, where: str = "the policy") -> tuple[str, tuple[Rule, ...]]:
    """The version and the rules of a policy's text: the YAML form, or lines of the short form `when -> action`.

    Raises:
        PolicyError: lists every fault with its line.
    """
    if len(text) > MAX_TEXT:
        raise PolicyError(where, [f"it has {len(text):,} characters; a policy may have {MAX_TEXT:,}"])
    reader = _Reader()
    version, rules = reader.document(text)
    if reader.faults:
        raise PolicyError(where, [f"line {line}: {fault}" for line, fault in sorted(reader.faults, key=lambda fault: fault[0])])
    return version, rules


class _Reader:
    """Goes through the document and notes what is wrong."""

    def __init__(self) -> None:
        self.faults: list[tuple[int, str]] = []

    def document(self, text: str) -> tuple[str, tuple[Rule, ...]]:
        """The version and rules; incomplete where there are faults."""
        if _is_short(text):
            lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
            return "1", self._rules((number, line) for number, line in lines if line and not line.startswith("#"))
        try:
            root = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            self._fault(mark.line + 1 if mark else 1, f"this is not YAML: {error.problem or error.context}")
            return "", ()
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            self._fault(1, f"this is not YAML: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
            return "", ()
        if not isinstance(root, MappingNode):
            self._fault(1, f"a policy is a mapping with {', '.join(TOP)}, or lines of the form `when -> action`")
            return "", ()
        fields = self._mapping(root, TOP, "a policy")
        kind = fields.get("kind")
        if not isinstance(kind, ScalarNode) or kind.value != KIND or kind.tag != TEXT:
            self._fault(_line(kind or root), f"this is not marked as a policy; write kind: {KIND}")
        version = fields.get("version")
        if version is not None and (not isinstance(version, ScalarNode) or not re.fullmatch(r"[\w.-]{1,40}", version.value)):
            self._fault(_line(version), "version is a number or a short name")
        rules = fields.get("rules")
        if not isinstance(rules, SequenceNode) or not rules.value:
            self._fault(_line(rules or root), "rules is a list of at least one rule")
            return "", ()
        return version.value if isinstance(version, ScalarNode) else "1", self._rules((_line(item), item) for item in rules.value)

    def _rules(self, items: Iterable[tuple[int, Node | str]]) -> tuple[Rule, ...]:
        rules: dict[str, Rule] = {}
        for number, (line, item) in enumerate(items, 1):
            if number > MAX_RULES:
                self._fault(line, f"a policy has at most {MAX_RULES} rules")
                break
            try:
                rule = self._rule(line, item, f"rule-{number}")
            except _Faulty:
                continue
            if rule.id in rules:
                self._fault(line, f"the id {rule.id!r} is used twice")
            rules[rule.id] = rule
        return tuple(rules.values())

    def _rule(self, line: int, item: Node | str, name: str) -> Rule:
        if isinstance(item, ScalarNode):
            item = self._text(item, "a rule")
        if isinstance(item, str):
            parts = ARROW.split(item)
            if len(parts) != 2:
                example = "sum(tokens_used) > 10 000 -> abort_lifetime"
                raise self._refused(line, f"the short form of a rule is `when -> action`, for example: {example}")
            return self._made(line, {}, name, parts[0], parts[1])
        if not isinstance(item, MappingNode):
            raise self._refused(line, "a rule is a mapping, or text of the form `when -> action`")
        before = len(self.faults)
        fields = self._mapping(item, FIELDS_OF_A_RULE, "a rule")
        for needed in ("id", "when", "action"):
            if needed not in fields:
                self._fault(line, f"the rule has no {needed}")
        if len(self.faults) > before:
            raise _Faulty
        name = self._text(fields["id"], "id")
        if not re.fullmatch(RULE_ID, name):
            self._fault(_line(fields["id"]), f"the id {name[:80]!r} is none; ids have letters, digits, '_', '.' and '-', 64 at most")
        when, action = self._text(fields["when"], "when"), self._text(fields["action"], "action")
        return self._made(line, fields, name, when, action)

    def _made(self, line: int, fields: dict[str, Node], name: str, when: str, action: str) -> Rule:
        before = len(self.faults)
        expression = self._expression(_line(fields["when"]) if "when" in fields else line, when)
        demanded = self._one_of(fields.get("action"), line, action, "action", ACTIONS)
        scope: Scope = "execution" if expression is not None and not expression.aggregates else "lifetime"
        if "scope" in fields:
            scope = self._one_of(fields["scope"], line, self._text(fields["scope"], "scope"), "scope", SCOPES) or scope
        window = self._window(fields.get("window"))
        severity: Any = "warning" if demanded == "warn" else "error"
        if "severity" in fields:
            severity = self._one_of(fields["severity"], line, self._text(fields["severity"], "severity"), "severity", get_args(Severity))
        unpriced: Any = "fire"
        if "unpriced" in fields:
            unpriced = self._one_of(fields["unpriced"], line, self._text(fields["unpriced"], "unpriced"), "unpriced", ("fire", "ignore"))
        message = self._text(fields["message"], "message") if "message" in fields else None
        if message is not None and not 0 < len(message) <= 500:
            self._fault(_line(fields["message"]), "a message has 1 to 500 characters")
        reserve = self._reserve(fields.get("reserve"))
        on = self._points(fields.get("on"))
        if expression is None or demanded is None or len(self.faults) > before:
            raise _Faulty
        rule = Rule(
            id=name, when=expression, action=demanded, scope=scope, on=on or _applicable(expression, demanded), window=window,
            message=message, severity=severity, unpriced=unpriced, reserve=reserve,
        )  # fmt: skip
        for fault in _contradictions(rule, given_on=bool(on)):
            self._fault(line, f"rule {name!r}: {fault}")
        return rule

    def _expression(self, line: int, text: str) -> Expression | None:
        try:
            found = parse(text, names=_EVERY_NAME, functions=tuple(FUNCTIONS), of_names=AGGREGATES)
        except ExpressionError as error:
            self._fault(line, str(error))
            return None
        wrong = [name for name in found.names if "." in name and not name.startswith("args.")]
        for name in sorted(wrong):
            self._fault(line, f"{name!r}: only args has parts")
        for function, name in sorted(found.aggregates):
            if name not in FIELDS:
                wrong.append(name)
                self._fault(line, f"{function}({name}): there is nothing of that name to count; there is {', '.join(FIELDS)}")
        return None if wrong else found

    def _points(self, node: Node | None) -> tuple[Point, ...]:
        if node is None:
            return ()
        items = node.value if isinstance(node, SequenceNode) else [node]
        if not items:
            self._fault(_line(node), f"on is a list of {', '.join(POINTS)}")
        found = [self._one_of(item, _line(item), self._text(item, "on"), "on", POINTS) for item in items[: len(POINTS) + 1]]
        return tuple(point for point in POINTS if point in found)

    def _window(self, node: Node | None) -> int | None:
        if node is None:
            return None
        text = self._text(node, "window")
        if not re.fullmatch(WINDOW, text):
            self._fault(_line(node), f"the window {text[:40]!r} is none; write for example 30s, 15m, 24h or 7d")
            return None
        return int(text[:-1]) * _UNITS[text[-1]]

    def _reserve(self, node: Node | None) -> tuple[tuple[str, Decimal], ...]:
        if node is None:
            return ()
        if not isinstance(node, MappingNode):
            self._fault(_line(node), "reserve is a mapping of what is spent to how much, such as {tokens_used: 500}")
            return ()
        amounts = []
        for name, value in self._mapping(node, SPENT, "reserve").items():
            text = value.value.replace("_", "") if isinstance(value, ScalarNode) else ""
            try:
                amount = Decimal(text)
            except InvalidOperation:
                amount = Decimal("NaN")
            if not amount.is_finite() or amount < 0:
                self._fault(_line(value), f"reserve of {name} is a number, and not below 0")
            amounts.append((name, amount))
        return tuple(amounts)

    def _mapping(self, node: MappingNode, known: tuple[str, ...], what: str) -> dict[str, Node]:
        fields: dict[str, Node] = {}
        for key, value in node.value:
            name = key.value if isinstance(key, ScalarNode) else None
            if name not in known:
                self._fault(_line(key), f"{what} has no field {str(name)[:80]!r}; the fields are {', '.join(known)}")
            elif name in fields:
                self._fault(_line(key), f"{name} is given twice")
            else:
                fields[name] = value
        return fields

    def _text(self, node: Node, what: str) -> str:
        if isinstance(node, ScalarNode) and node.tag == TEXT:
            return str(node.value)
        raise self._refused(_line(node), f"{what} is text; put it into quotes" if isinstance(node, ScalarNode) else f"{what} is text")

    def _one_of(self, node: Node | None, line: int, given: str, what: str, known: tuple[Any, ...]) -> Any:
        if given in known:
            return given
        self._fault(_line(node) if node is not None else line, f"{what} is {given[:80]!r}; it may be {', '.join(known)}")
        return None

    def _fault(self, line: int, text: str) -> None:
        self.faults.append((line, text))

    def _refused(self, line: int, text: str) -> _Faulty:
        self._fault(line, text)
        return _Faulty()


def _applicable(expression: Expression, action: Action) -> tuple[Point, ...]:
    """Where a rule that does not say it is judged: wherever all of its names can be read."""
    roots = {name.split(".")[0] for name in expression.names}
    places: tuple[Point, ...] = ("tool_call",) if action == "require_approval" else POINTS
    return tuple(point for point in places if roots <= SAMPLES[point].keys())


def _contradictions(rule: Rule, *, given_on: bool) -> Iterable[str]:
    """What cannot be meant."""
    roots = {name.split(".")[0] for name in rule.when.names}
    if not rule.on:
        yield f"{', '.join(sorted(roots))} cannot be read together anywhere"
    for point in rule.on if given_on else ():
        missing = sorted(roots - SAMPLES[point].keys())
        if missing:
            yield f"{', '.join(missing)} cannot be read on {point}; there is {', '.join(sorted(SAMPLES[point]))}"
    if rule.action == "require_approval" and rule.on != ("tool_call",):
        yield "require_approval is for tool calls; write on: [tool_call]"
    functions = {function for function, _ in rule.when.aggregates}
    if rule.scope == "execution" and functions:
        yield "within one execution there is nothing to aggregate; write the field alone, or another scope"
    if rule.scope == "execution" and rule.window is not None:
        yield "an execution has no window"
    if rule.over not in (Window("lifetime", None), Window("execution", None)) and "last" in functions:
        yield "last() is of a whole lifetime"
    if rule.scope in ("session", "tenant") and rule.window is None and "rate" in functions:
        yield f"rate() over a {rule.scope} needs a window"
    if rule.reserve and not any((("sum", name) in rule.when.aggregates) for name, _ in rule.reserve):
        yield "reserve is for what the rule sums"
    if not roots - {name for point in rule.on for name in SAMPLES[point]}:
        yield from _misfits(rule)


def _misfits(rule: Rule) -> Iterable[str]:
    """What the types of the values do not allow, found by trying."""
    if any(name.split(".")[0] == "args" for name in rule.when.names):
        return
    for point in rule.on:
        for values, amount in ((SAMPLES[point], 1), (ABSENCES[point], NOTHING)):
            if not rule.when.names <= values.keys():
                continue
            functions: dict[str, Any] = {**FUNCTIONS, **dict.fromkeys(AGGREGATES, partial(_always, amount))}
            try:
                rule.when.evaluate(partial(read, values), functions)
            except ExpressionError as error:
                yield f"{error} (on {point})"
                return


def _always(value: Any, _: str) -> Any:
    return value


def _is_short(text: str) -> bool:
    """Whether a text is lines of the short form: its first line that says something has an arrow and begins no mapping or list."""
    first = next((line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")), "")
    return bool(ARROW.search(first)) and not re.match(r"(-\s|[\w\"']+\s*:|\{|\[|---|%)", first)


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1
