"""The outputs that a Plan is given: a sequence in every profile, live and on replay, whether they are at hand or still in the store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, overload

from typing_extensions import TypeVar

T = TypeVar("T", default=Any)


class Outputs(Sequence[T], Generic[T]):
    """What some executions produced, in their order. It is no list: `PlanInput.values` is one, to hand on or to change."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, values: Sequence[T]) -> None:
        self._values = list(values)

    def __len__(self) -> int:
        return len(self._values)

    @overload
    def __getitem__(self, at: int) -> T: ...
    @overload
    def __getitem__(self, at: slice) -> list[T]: ...
    def __getitem__(self, at: int | slice) -> T | list[T]:
        places = range(len(self))[at]
        return self._look(places) if isinstance(places, int) else [self._look(place) for place in places]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, list | tuple | Outputs) and list(self) == list(other)

    def __repr__(self) -> str:
        return f"<{len(self)} outputs>"

    def _look(self, place: int) -> T:
        return self._values[place]
