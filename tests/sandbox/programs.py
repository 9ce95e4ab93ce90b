"""Programs for the differential tests, written by chance from two grammars.

`PLAIN` is what the gate of littrs is about: typed parts, most of them accepted, and near misses that it must notice. `WIDE` adds the rest
of Python that agents write, for monty. Programs call `give(n)`, which returns the n-th of `POOL`: what tools return in the wild.

In a template `<x>` stands for any template of `x`, one level down; at the bottom the first ones, up to `LEAVES[x]`, are taken. `n m` hold
numbers, `t u` text, `f` a truth value, `v w` anything, `o p` lists and `d` a dict.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import Any

POOL: list[Any] = [
    [{"name": "Oslo", "n": 3, "price": 1.5, "tags": ["a", "é"]}, {"name": "Rome", "n": -2, "price": 0.1, "tags": []}],
    [{"name": "a", "n": None, "ok": True}, {"name": "b", "n": 2.0, "ok": False}, {"n": 7}],
    ["b", "a", "c", "a"], ["é", "日本", "", "\U0001f600x"], ["X", "\x1c y", "İ", "ß"],
    [3, 1, 2], [2**31, -(2**31), 5], [2**53 + 1, 2**62, 1],
    [1.5, 0.1, 0.2], [0.0, -0.0], [True, 1, 1.0], [float("nan"), 1.0], [[1, 2], [3, 4]], [["a", 1], ["b", 2]], [(1, "x"), (2, "y")], [[],
    [1]],
    {"a": 1, "b": 2}, {"name": "n", "items": [{"name": "i", "n": 1}], "meta": {"k": {"deep": [1, 2]}}}, {1: "one", None: "none",
    "1": "x"}, {},
    {"é": "é", "n": 2**63 - 1}, {"a": [1], "b": {"c": 2.5}}, {"$tuple": [1], "price": 20.0, "n": 20},
    "text", "é日x", "", "a,b,,c", "  Mixed Case\t", "\u2028 \x85", "12", 0, 1, 5, -3, 2**53, 2**53 + 1, 2**63 - 1, -(2**63),
    0.5, 1.0, 20.0, -0.0, 1e300, 1e16, float("inf"), float("nan"), True, False, None, [], (), ("a", "b"), ([1], {"k": None}),
]  # fmt: skip
NAMES = ("tool", "give", "boom", "finish")
BEGINNING = "n = 3\nm = 2\nt = 'text'\nu = 'é'\nf = True\nv = tool(1)\nw = give(0)\no = []\np = ['a']\nd = {}\n"

Grammar = dict[str, list[str]]

LEAVES = {"number": 13, "text": 6, "truth": 4, "any": 14, "list": 9, "dict": 6}
PLAIN: Grammar = {
    "number": [
        "n", "m", "n", "m", "<digit>", "<digit>", "-3", "10", "<large>", "<digit>", "n", "m", "<float>",
        "(<number> <op> <number>)", "(<number> <op> <number>)", "(<number> <op> <any>)", "(<any> <op> <number>)", "(-<number>)", "<wrong>",
        "len(<list>)", "len(<text>)", "len(<any>)", "len(<dict>)", "sum(<list>)", "<fold>(<keyed> for q in <list>)", "<fold>(<any>)",
        "(<number> / <number>)", "<float>",
    ],
    "digit": ["0", "1", "2", "7", "3", "5"],
    "large": ["2147483648", "9007199254740992", "4611686018427387904", "9223372036854775807", "(-9223372036854775808)",
    "18446744073709551616"],
    "float": ["1.5", "(-0.0)", "1e16", "1e-7", "1e300", "0.1", "123456789.123456789", "5e-324", "1e22", "100000.0", "2.5", "0.5"],
    "op": ["+", "+", "-", "*", "//", "%", "/", "**"],
    "fold": ["sum", "max", "min", "abs", "int", "float"],
    "text": [
        "t", "u", "t", "u", "<literal>", "<literal>",
        "str(<any>)", "str(<number>)", "(<text> + <text>)", "(<any> + <text>)", "(<text> + <any>)", "<literal>.join(<list>)", "<wrong>",
        "', '.join(str(q) for q in <list>)", "', '.join([<keyed> for q in <list>])", "<text>.<case>()", "(<any>).<case>()",
        "<text>.replace(<literal>, <text>)", "<text>[<index>]", "<text>[<bounds>]", "<format>", "<format>",
    ],
    "literal": [
        "''", "'abc'", "\"it's\"", "'a\"b'", "'\\\\'", "'\\n'", "'é日'", "'{x}'", "'\\x00'", "'\\u2028'", "'%s'", "'$tuple'",
        "'\\U0001f600'",
        "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'", "'a'", "'name'", "'x'", "','",
    ],
    "case": ["lower", "upper", "strip"],
    "format": ["f'x{<held><spec>}y{n}'", "f'{n * 2<spec>}{t}'", "f'{v[\"name\"]<spec>}'", "f'{len(w)} of {d}'",
    "f'{tool(n)}<plain>{u<spec>}'"],
    "held": ["n", "t", "v", "w", "o", "d", "f", "m"],
    "plain": ["", " ", "{{}}", "é"],
    "spec": [
        "", "", "", "!r", "!s", ":>8", ":.2f", ":,", "=", "!a:^6", ":05d", ":x", ":e", ":+", ":10", ":.3", "!r:.4", ":<6s", ":b", ":%",
        ":.1f",
    ],
    "truth": [
        "True", "False", "f", "f",
        "(<number> <order> <number>)", "(<text> <order> <text>)", "(<any> <order> <number>)", "(<any> <order> <text>)", "(<any> == <any>)",
        "(<any> <order> <any>)", "(<any> != <truth>)", "(<any> == None)", "(<number> <order> <any>)", "(<text> == <any>)", "<wrong>",
        "(<low> <upward> <any> <order> <number>)", "(<truth> and <truth>)", "(<truth> or <truth>)", "(not <any>)", "(<any> is None)",
        "(<any> is not None)", "(<text> in <any>)", "(<text> not in <list>)", "(<text> in <dict>)", "(<any> in <list>)", "(<any> in <any>)",
        "(<any> in ('a', 'text', 'é'))", "(<any> not in ['a', 1])", "<text>.startswith(<literal>)", "(<any>).endswith(<literal>)",
        "any(<list>)", "all(<list>)", "any(<keyed> for q in <list>)",
    ],
    "order": ["<", "<=", "==", "!=", ">", ">="],
    "low": ["0", "1.5", "m"],
    "upward": ["<", "<="],
    "keyed": ["q[<key>]", "q.get(<key>)", "q.get(<key>, 0)", "q", "q[<key>] + 1", "q[0]", "q['price'] * 2"],
    "key": ["'name'", "'n'", "'a'", "'b'", "'price'", "'args'", "'k'", "'é'", "'tags'", "'items'", "'name'", "'n'"],
    "index": ["0", "1", "2", "-1", "-2", "n", "m", "5", "<key>", "v", "t", "True", "1.0"],
    "bounds": [":2", "1:", "1:3", ":-1", "-2:", ":", "n:", ":100", "::2", "::-1", "5:1", ":None", "-3:-1"],
    "list": [
        "o", "p", "w", "give(2)", "give(5)", "give(0)", "[]", "give(<place>)", "o",
        "[<any>, <any>]", "[<number>, <number>, <digit>]", "[<text>, <literal>]", "[<keyed> for <name> in <list>]",
        "[<keyed> for q in <list>]",
        "[<keyed> for q in <list> if <test>]", "[tool(q) for q in <list> if <test>]", "[[q, <held>] for q in <list>]", "<wrong>",
        "[q + e for q, e in <pairs>]", "[<held> for q, e in <pairs> if q]", "sorted(<list>)", "list(<list>)", "list(<dict>.<view>())",
        "(<list> + <list>)", "<list>[<bounds>]", "<text>.split(',')", "<text>.split(<literal>)", "sorted(<list>, reverse=True)",
        "[[e for e in q] for q in <list>]", "[q for q in <list> if q in <list>]",
    ],
    "name": ["q", "q", "q", "q", "i", "r", "v", "t"],
    "test": ["q", "<keyed> <order> <number>", "<keyed> == <literal>", "<keyed> > 1.5", "q is not None", "not q", "<keyed> <order> n"],
    "pairs": ["give(12)", "give(13)", "d.items()", "zip(<list>, p)", "enumerate(<list>)", "give(16).items()", "<list>"],
    "view": ["keys", "values", "items"],
    "dict": [
        "d", "v", "{}", "give(16)", "give(17)", "give(18)",
        "{'k': <any>, '$l': <any>}", "{<text>: <any>}", "{q: <any> for q in <list>}", "{str(q): e for q, e in <pairs>}", "<wrong>",
        "{<literal>: <any>, <literal>: <any>}", "{q: tool(q) for q in <list>}",
    ],
    "any": [
        "<float>", "None", "v", "w", "v", "w", "o", "d", "give(<place>)", "give(<place>)", "give(<place>)", "<digit>", "t", "n",
        "(<any>, <any>)", "(<any>,)", "tool(<any>, city=<any>)", "tool(b=<any>, a=<any>)", "tool(<any>)['args']", "give(<place>)[<index>]",
        "give(<place>)[<index>]", "(<any>)[<bounds>]", "<dict>[<key>]", "<dict>[<key>]", "<dict>[<key>][<key>]", "<list>[0][<key>]",
        "(<any>).get(<key>)", "(<any> <op> <any>)", "(<any> if <truth> else <any>)", "(<any> and <any>)", "(<any> or <any>)", "<list>",
        "<list>", "<dict>", "<text>", "<text>", "<number>", "<number>", "<truth>", "<rare>",
    ],
    "rare": ["n", "t", "boom(<any>)"],
    "wrong": ["<number>", "<text>", "<truth>", "<any>", "<list>", "<dict>"],
    "loop": [
        "i in range(<digit>)", "i in range(2, 5, 2)", "i in range(3, -1, -1)", "v in [<any>, <any>]", "t in ['a', 'b', 'a']", "r in <list>",
        "r in <list>", "r in w", "r in <list>", "r in <any>", "r in <text>", "i, r in enumerate(<list>)", "e, r in zip(<list>, <list>)",
        "e, r in d.items()", "e, r in v.items()", "e, r in give(16).items()", "e, r in <pairs>", "e, r in [['a', 1], ('b', 2)]",
    ],
    "statement": [
        "n = <number>", "t = <text>", "f = <truth>", "v = <any>", "v = <any>", "w = <list>", "<holder> = <any>", "<any>", "<any>",
        "print(<any>, <any>)", "print(<format>)", "print(<seen>)", "print(<any>, n, sep=<literal>, end=<literal>)", "tool(<seen>)",
        "print(<text>, <number>)", "<change>", "<change>", "<change>", "<change>", "<change>",
    ],
    "holder": ["n", "m", "t", "u", "f"],
    "seen": ["r", "i", "e", "o", "d", "v", "w", "n", "t", "r", "o"],
    "change": [
        "o.append(<any>)", "o.append(<any>)", "p.append(<any>)", "o.append(<seen>)", "o = []", "p = []", "d = {}", "d[<key>] = <any>",
        "d[t] = <any>", "d[r] = <any>", "d[e] = r", "d[str(n)] = <any>", "d[t] = d.get(t, 0) + <digit>", "d[<key>] = <seen>", "p = o",
        "o = p",
        "v = o", "w = [o, p]", "v = d", "d['k'] = o", "o = o + [<any>]", "o += [<any>]", "p += <list>", "o, p = p, o", "v, w = w, v",
        "t, n = <any>, <number>", "v, w = <list>", "v = o[0]", "n += <number>", "t += <text>", "n -= <any>", "n *= <number>",
        "n += w[0]['n']", "n += r['n']", "n += r", "o.append(r)", "o.append(r['name'])", "d[r['name']] = r",
    ],
}  # fmt: skip

WIDE: Grammar = {
    **PLAIN,
    "any": [
        *PLAIN["any"],
        "sorted(<list>, key=lambda q: <order key>)", "({<text>, <literal>} == {<literal>})", "sorted({str(q) for q in <list>})",
        "[*<list>, <any>]",
        "{**d, 'k': <any>}", "dict(k=<any>)", "list(map(str, <list>))", "list(filter(None, <list>))", "list(reversed(<list>))",
        "max(<list>, key=str, default=None)", "isinstance(<any>, <type>)", "<text>.<method>", "'{} {:>5}'.format(<text>, <literal>)",
        "repr(<any>)", "(lambda q, e=2: q * e)(<number>)", "[q for q in <list> for e in <list>]", "bool(<any>)", "(<number> ** <digit>)",
        "divmod(<number>, <number>)", "helper(<any>)", "(x := <any>)", "json.loads(json.dumps(<any>))", "json.dumps(<any>, indent=2)",
        "json.dumps(<any>, sort_keys=True)", "round(<number>, <digit>)", "int(<text>)", "list(zip(<list>, <list>))",
        "set(<list>) == set(<list>)",
        "[(i, q) for i, q in enumerate(<list>, start=1)]", "{q['name']: q for q in <list>}", "next(iter(<list>), None)", "tuple(<list>)",
        "<list>[::-1]", "'%s and %s' % (<any>, <any>)", "(<any>).count(<literal>)", "float(<text>)", "type(<any>).__name__",
        "math.sqrt(<number>)",
        "math.floor(<number>)", "re.sub('[aé]', 'x', <text>)", "re.findall('[a-z]+', <text>)", "len(set(<list>))",
        "sorted(Counter(<list>).items(), key=str)",
    ],
    "fold": ["sum", "max", "min"],
    "order key": ["-q", "str(q)", "q[0]", "len(str(q))", "q['name']", "(str(q), 1)"],
    "type": ["int", "str", "dict", "(list, tuple)", "float", "bool"],
    "method": [
        "title()", "split()", "isdigit()", "casefold()", "strip('a')", "find(t)", "count(t)", "rjust(5)", "zfill(5)", "splitlines()",
        "upper()",
        "partition(',')", "capitalize()", "isalpha()", "encode()", "center(7, '*')", "rsplit(',', 1)", "swapcase()", "index('a')",
    ],
    "change": [
        *PLAIN["change"],
        "o.extend(<list>)", "o.remove(<any>)", "o.insert(0, <any>)", "o.sort()", "o.reverse()", "o.pop()", "p.pop(0)", "d.update(k=<any>)",
        "d.setdefault('k', []).append(<any>)", "d.pop('k', None)", "v, *w = o", "p[0:1] = [1, 2]", "p[0] = n", "x: int = n",
        "n = m = 5", "w[0]['n'] += 1", "w[0]['tags'].append(t)", "(v, w), n = (t, u), 1",
    ],
    "statement": [*PLAIN["statement"], "<raise>", "x = <any>", "print(*<list>)", "<change>", "<change>"],
    "raise": ["raise ValueError(<text>)", "raise KeyError(<text>)", "raise RuntimeError", "assert <truth>, 'no'", "pass", "pass"],
    "caught": ["ValueError", "KeyError", "(TypeError, KeyError)", "Exception", "IndexError", "ZeroDivisionError", "LookupError",
    "AttributeError"],
}  # fmt: skip

_SYMBOL = re.compile(r"<([a-z]+(?: [a-z]+)?)>")


class Plain:
    """Writes programs of `grammar`."""

    grammar = PLAIN

    def __init__(self, random: Random) -> None:
        self.random = random

    def pick(self, options: Sequence[str]) -> str:
        return options[self.random.randrange(len(options))]

    def write(self, symbol: str, depth: int) -> str:
        """Some text for a symbol."""
        if symbol == "place":
            return str(self.random.randrange(len(POOL)))
        options = self.grammar[symbol]
        leaves = LEAVES.get(symbol, len(options))
        if depth <= 0 or (leaves < len(options) and self.random.random() < 0.2):
            options = options[:leaves] if symbol != "wrong" else ["n", "t", "v"]
        template = self.pick(options)
        return _SYMBOL.sub(lambda found: self.write(found[1], depth - 1), template)

    def statement(self, depth: int, looped: bool) -> str:
        """One statement, simple or compound."""
        if depth and self.random.random() < 0.4:
            return self.compound(depth, looped)
        if looped and self.random.random() < 0.1:
            leave = self.pick(["break", "continue"])
            return leave if self.random.random() < 0.3 else f"if {self.write('truth', 1)}:\n  {leave}"
        return self.write("statement", 3)

    def compound(self, depth: int, looped: bool) -> str:
        if self.random.random() < 0.6:
            return f"for {self.write('loop', 2)}:\n{indented(self.block(depth - 1, looped=True))}"
        test = self.write(self.pick(["truth", "truth", "any"]), 2)
        no = f"\nelse:\n{indented(self.block(depth - 1, looped=looped))}" if self.random.random() < 0.5 else ""
        return f"if {test}:\n{indented(self.block(depth - 1, looped=looped))}{no}"

    def block(self, depth: int, *, looped: bool = False) -> str:
        """A few statements."""
        return "\n".join(self.statement(depth, looped) for _ in range(self.random.choice([1, 1, 2, 3])))

    def session(self) -> list[str]:
        """A few blocks that run one after the other; the first defines the variables."""
        return [BEGINNING + self.block(2), *(self.block(2) for _ in range(self.random.choice([0, 0, 1, 2])))]


class Wide(Plain):
    """Adds functions and exceptions."""

    grammar = WIDE

    def compound(self, depth: int, looped: bool) -> str:
        if self.random.random() < 0.6:
            return super().compound(depth, looped)
        body = indented(self.block(depth - 1, looped=looped))
        caught = self.write("caught", 1)
        return self.pick(
            [
                f"try:\n{body}\nexcept {caught} as error:\n  print('caught', type(error).__name__, str(error)[:0])",
                f"try:\n{body}\nexcept {caught}:\n  print('caught')\nelse:\n  print('else')\nfinally:\n  print('finally')",
                f"def helper(a, b=2, *rest, **more):\n{indented(self.block(0))}\n  return a",
                f"for i in range(4):\n{indented(self.block(depth - 1, looped=True))}\nelse:\n  print('else')",
                f"turn = 0\nwhile turn < 3:\n  turn += 1\n{indented(self.block(depth - 1, looped=True))}",
                f"def helper(a):\n  for z in a:\n    if z:\n      return z\n  return {self.write('any', 1)}",
            ]
        )

    def session(self) -> list[str]:
        start = "import json\nimport math\nimport re\nfrom collections import Counter\nx = r = i = e = q = None\n"
        start += "def helper(*args, **kwargs):\n  return args\n" + BEGINNING
        return [start + self.block(2), *(self.block(2) for _ in range(self.random.choice([0, 0, 1])))]


def indented(code: str) -> str:
    """`code` one level deeper."""
    return "\n".join("  " + line for line in code.split("\n"))
