"""Pending: something a run waits for a person to decide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from workbench.errors import UserError
from workbench.guardrails.policy import Policy, restored
from workbench.guardrails.rules import limited
from workbench.loop import run_sync
from workbench.record.codec import encode_value
from workbench.record.envelope import Decision, HitlRequest, HitlResponse
from workbench.record.values import Payload

if TYPE_CHECKING:
    from workbench.runtime.run import Run


@dataclass(frozen=True)
class Pending:
    """Something the run waits for a person to decide. The first decision counts, from whichever process it comes."""

    run: Run
    request: HitlRequest

    @property
    def title(self) -> str:
        """The question."""
        return self.request.title

    @property
    def tool(self) -> str:
        """The tool or task it is about."""
        return self.request.tool

    @property
    def args(self) -> Any:
        """The arguments of the call."""
        return run_sync(self.run.workbench.plane.value(self.request.args))

    def happened(self, value: Any = None, *, note: str | None = None, actor: str = "code") -> None:
        """The effect did happen, and `value` is what it returned."""
        self._decide("happened", actor, note, Payload(inline=encode_value(value)))

    def did_not_happen(self, *, note: str | None = None, actor: str = "code") -> None:
        """The effect did not happen: run it."""
        self._decide("did_not_happen", actor, note, None)

    def approve(self, args: Mapping[str, Any] | None = None, *, note: str | None = None, actor: str = "code") -> None:
        """The call may be made, with these arguments instead if they are given."""
        self._decide("approved", actor, note, None if args is None else Payload(inline=encode_value(dict(args))))

    def approve_always(self, args: Mapping[str, Any] | None = None, *, note: str | None = None, actor: str = "code") -> None:
        """The call may be made, and further calls of the same tool in this run without asking. A fork of the run asks again."""
        self._decide("approved_always", actor, note, None if args is None else Payload(inline=encode_value(dict(args))))

    def reject(self, note: str | None = None, *, actor: str = "code") -> None:
        """The call may not be made; the note is told to the caller."""
        self._decide("rejected", actor, note, None)

    def answer(self, value: Any, *, note: str | None = None, actor: str = "code") -> None:
        """The answer to a question.

        Raises:
            UserError: it does not have the shape that was asked for; the message says where.
        """
        self._decide("answered", actor, note, Payload(inline=encode_value(value)))

    def unpause(self, *, note: str | None = None, actor: str = "code", limits: Mapping[str, int | float | Decimal] | None = None) -> None:
        """The run may go on; see `Run.unpause`."""
        manifest, new = self.run.state.manifest, {rule: str(limit) for rule, limit in (limits or {}).items()}
        rules = restored(manifest.policy).engine if new and manifest is not None and manifest.policy is not None else None
        for rule_id, limit in new.items():
            rule = rules.rule(rule_id) if isinstance(rules, Policy) else None
            if rule is None:
                raise UserError(f"the run's policy has no rule {rule_id!r} with a limit")
            limited(rule, limit)
        self._decide("unpaused", actor, note, Payload(inline=encode_value(new)) if new else None)

    def stop(self, *, note: str | None = None, actor: str = "code") -> None:
        """Stop the run."""
        self._decide("stop", actor, note, None)

    def _decide(self, decision: Decision, actor: str, note: str | None, value: Payload | None) -> None:
        response = HitlResponse(
            request_id=self.request.request_id,
            decision=decision,
            actor=actor,
            subject_hash=self.request.subject_hash,
            value=value,
            note=note,
        )
        if not run_sync(self.run.decide(response)):
            raise UserError(run_sync(self.run.how_decided(self.request.request_id)))

    def __repr__(self) -> str:
        return f"<Pending {self.request.kind}: {self.title}>"
