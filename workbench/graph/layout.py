"""Where the nodes and edges of a drawing stand: layers from top to bottom, few crossings, edges that lead back drawn at the side.

The method is Sugiyama's. Edges that close a cycle are turned round; every node stands below all that lead to it; an edge is a chain of
points, one a layer, of which the middle one carries its words; each layer is ordered by where its neighbours stand; and the layers are
moved until most edges are straight. Sizes are given by the caller; nothing here knows what a drawing looks like.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf

SWEEPS = 12
ROUNDS = 24
GAP = 28.0
"""Between two neighbours in a layer."""
LAYER_GAP = 26.0


@dataclass(slots=True)
class Box:
    """A place with a size; x and y are its centre."""

    width: float
    height: float
    x: float = 0.0
    y: float = 0.0
    layer: int = 0
    span: float = 0.0
    """The height of its layer."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A finished arrangement."""

    nodes: Mapping[str, Box]
    edges: Sequence[tuple[Sequence[Box], Box]]
    """Of each edge the places it passes, from its source to its target with both, and the place for its words."""
    width: float
    height: float


def arrange(nodes: Mapping[str, tuple[float, float]], edges: Sequence[tuple[str, str, float, float]]) -> Layout:
    """Arrange nodes, given as name → width and height, and edges, given as source, target, and the width and height of their words.

    The first node is the topmost.
    """
    boxes = {name: Box(width, height) for name, (width, height) in nodes.items()}
    down = _downward(list(nodes), [(source, target) for source, target, _, _ in edges])
    _layer(boxes, down)
    chains: list[tuple[list[Box], Box]] = []
    everything = list(boxes.values())
    for (above, below), (source, target, width, height) in zip(down, edges, strict=True):
        first, last = boxes[above].layer, boxes[below].layer
        words = Box(width, height, layer=(first + last) // 2)
        passed = [Box(6.0, 0.0, layer=layer) for layer in range(first + 1, last)]
        if source == target:
            words.layer = first
            everything.append(words)
            chains.append(([boxes[source], words, boxes[source]], words))
            continue
        passed[words.layer - first - 1] = words
        everything += passed
        chain = [boxes[above], *passed, boxes[below]]
        chains.append((chain if above == source else chain[::-1], words))
    layers = _layers(everything)
    neighbours = _neighbours(chains)
    _order(layers, neighbours)
    _place(layers, chains)
    left = min(box.x - box.width / 2 for box in everything)
    for box in everything:
        box.x -= left
    right = max(box.x + box.width / 2 for box in everything)
    return Layout(boxes, chains, right, max(box.y + box.height / 2 for box in everything))


def _downward(names: list[str], edges: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The edges, with those turned round that close a cycle: that lead to a node on the way from the first one to themselves."""
    targets: dict[str, list[str]] = defaultdict(list)
    for source, target in edges:
        targets[source].append(target)
    done: set[str] = set()
    back: set[tuple[str, str]] = set()
    for origin in names:
        path: dict[str, int] = {}
        stack = [origin] if origin not in done else []
        while stack:
            here = stack[-1]
            path.setdefault(here, 0)
            if path[here] == len(targets[here]):
                done.add(here)
                del path[stack.pop()]
                continue
            target = targets[here][path[here]]
            path[here] += 1
            if target in path:
                back.add((here, target))
            elif target not in done:
                stack.append(target)
    return [(target, source) if (source, target) in back else (source, target) for source, target in edges]


def _layer(boxes: Mapping[str, Box], edges: list[tuple[str, str]]) -> None:
    """Every node two layers below the lowest that leads to it, so that there is a layer for words between any two."""
    waiting = dict.fromkeys(boxes, 0)
    targets: dict[str, list[str]] = defaultdict(list)
    for above, below in edges:
        if above != below:
            waiting[below] += 1
            targets[above].append(below)
    ready = [name for name, count in waiting.items() if not count]
    while ready:
        here = ready.pop()
        for below in targets[here]:
            boxes[below].layer = max(boxes[below].layer, boxes[here].layer + 2)
            waiting[below] -= 1
            if not waiting[below]:
                ready.append(below)


def _layers(boxes: list[Box]) -> list[list[Box]]:
    layers: list[list[Box]] = [[] for _ in range(max(box.layer for box in boxes) + 1)]
    for box in boxes:
        layers[box.layer].append(box)
    y = 0.0
    for layer in layers:
        tallest = max((box.height for box in layer), default=0.0)
        for box in layer:
            box.y, box.span = y + tallest / 2, tallest
        y += tallest + LAYER_GAP
    return layers


def _neighbours(chains: Sequence[tuple[Sequence[Box], Box]]) -> dict[int, list[Box]]:
    """Of each box, by identity, those it is joined to in the layers beside its own, and in its own."""
    neighbours: dict[int, list[Box]] = defaultdict(list)
    for chain, _ in chains:
        for one, other in pairwise(chain):
            neighbours[id(one)].append(other)
            neighbours[id(other)].append(one)
    return neighbours


def _order(layers: list[list[Box]], neighbours: dict[int, list[Box]]) -> None:
    """Sort each layer by the middle of its neighbours in the layer above, then below, and keep the order with the fewest crossings."""
    for layer in layers:
        for position, box in enumerate(layer):
            box.x = position
    best, fewest = [list(layer) for layer in layers], _crossings(layers, neighbours)
    for sweep in range(SWEEPS):
        step = 1 if sweep % 2 == 0 else -1
        for layer in layers[::step]:
            fixed = layer[0].layer - step if layer else 0
            middles = {id(box): _middle([other.x for other in neighbours[id(box)] if other.layer == fixed], box.x) for box in layer}
            layer.sort(key=lambda box: middles[id(box)])
            for position, box in enumerate(layer):
                box.x = position
        crossings = _crossings(layers, neighbours)
        if crossings < fewest:
            best, fewest = [list(layer) for layer in layers], crossings
    layers[:] = best


def _crossings(layers: list[list[Box]], neighbours: dict[int, list[Box]]) -> int:
    """How many pairs of edges cross, counted between each two layers."""
    count = 0
    for layer in layers:
        ends = [
            other.x for box in layer for other in sorted(neighbours[id(box)], key=lambda other: other.x) if other.layer == box.layer + 1
        ]
        count += sum(1 for index, x in enumerate(ends[:400]) for other in ends[:index] if other > x)
    return count


def _place(layers: list[list[Box]], chains: Sequence[tuple[Sequence[Box], Box]]) -> None:
    """Give every box its x. The points of an edge between its ends stand below one another, so that long edges are straight."""
    places = _Places(layers, chains)
    from_left, from_right = places.relaxed(places.leftmost()), places.relaxed(places.rightmost())
    # Where boxes must not overlap is linear, so the middle of two arrangements that are allowed is allowed.
    middle = [(one + other) / 2 for one, other in zip(from_left, from_right, strict=True)]
    places.apply(places.relaxed(middle))


class _Places:
    """Columns of boxes that share an x, what stands beside what, and what pulls on what."""

    def __init__(self, layers: list[list[Box]], chains: Sequence[tuple[Sequence[Box], Box]]) -> None:
        whole = {id(box): number for number, (chain, _) in enumerate(chains) for box in chain[1:-1]}
        self._arrange(layers, whole)
        while (tangled := set(range(len(self._columns))) - set(self._order)) and whole:
            # Two edges that cross cannot both be straight: those that are in each other's way are taken apart.
            broken = {id(box) for column in tangled for box in self._columns[column]}
            whole = {box: number for box, number in whole.items() if box not in broken}
            self._arrange(layers, whole)
        self._pulls: dict[int, list[int]] = defaultdict(list)
        for chain, _ in chains:
            for one, other in pairwise(chain):
                a, b = self._of[id(one)], self._of[id(other)]
                if a != b:
                    self._pulls[a].append(b)
                    self._pulls[b].append(a)

    def _arrange(self, layers: list[list[Box]], whole: dict[int, int]) -> None:
        """Make the columns, and put them in an order in which each comes after all to its left; those in a tangle are left out."""
        numbers: dict[int, int] = {}
        self._columns: list[list[Box]] = []
        self._of: dict[int, int] = {}
        for box in (box for layer in layers for box in layer):
            edge = whole.get(id(box))
            column = numbers.setdefault(edge, len(self._columns)) if edge is not None else len(self._columns)
            if column == len(self._columns):
                self._columns.append([])
            self._columns[column].append(box)
            self._of[id(box)] = column
        self._left: dict[int, list[tuple[int, float]]] = defaultdict(list)
        self._right: dict[int, list[tuple[int, float]]] = defaultdict(list)
        for layer in layers:
            for one, other in pairwise(layer):
                apart = (one.width + other.width) / 2 + GAP
                self._left[self._of[id(other)]].append((self._of[id(one)], apart))
                self._right[self._of[id(one)]].append((self._of[id(other)], apart))
        waiting = {column: len(self._left[column]) for column in range(len(self._columns))}
        self._order = [column for column, count in waiting.items() if not count]
        for column in self._order:  # grows on the way
            for beside, _ in self._right[column]:
                waiting[beside] -= 1
                if not waiting[beside]:
                    self._order.append(beside)

    def leftmost(self) -> list[float]:
        """Every column as far to the left as it goes."""
        x = [0.0] * len(self._columns)
        for column in self._order:
            x[column] = max((x[other] + apart for other, apart in self._left[column]), default=0.0)
        return x

    def rightmost(self) -> list[float]:
        """Every column as far to the right as it goes, in the same width."""
        x = self.leftmost()
        widest = max(x)
        for column in reversed(self._order):
            x[column] = min((x[other] - apart for other, apart in self._right[column]), default=widest)
        return x

    def relaxed(self, x: list[float]) -> list[float]:
        """Let every column move to the middle of what pulls on it, as far as its neighbours allow."""
        for round in range(ROUNDS):
            for column in self._order if round % 2 else reversed(self._order):
                wish = _middle([x[other] for other in self._pulls[column]], x[column])
                least = max((x[other] + apart for other, apart in self._left[column]), default=-inf)
                most = min((x[other] - apart for other, apart in self._right[column]), default=inf)
                x[column] = min(max(wish, least), most)
        return x

    def apply(self, x: list[float]) -> None:
        """Move the boxes."""
        for column, boxes in enumerate(self._columns):
            for box in boxes:
                box.x = x[column]


def spread(wished: Sequence[float], gap: float) -> list[float]:
    """Places at least `gap` apart, in the order given and as near to where they are wished as that allows."""
    groups: list[tuple[float, int]] = []  # the sum of what its members wish for its first one, and how many they are
    for number, wish in enumerate(wished):
        total, members = wish - number * gap, 1
        while groups and groups[-1][0] / groups[-1][1] > total / members:
            before, many = groups.pop()
            total, members = total + before, members + many
        groups.append((total, members))
    firsts = [total / members for total, members in groups for _ in range(members)]
    return [first + number * gap for number, first in enumerate(firsts)]


def _middle(values: list[float], otherwise: float) -> float:
    """The median, or what is given where there is none."""
    ordered = sorted(values)
    if not ordered:
        return otherwise
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
