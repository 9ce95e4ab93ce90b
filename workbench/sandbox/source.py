"""Model-written source before anything parses it on the host.

CPython's parser and AST recurse once per level of nesting, so hostile source must not reach them. The tokenizer does not recurse; what it
sees bounds how deep the tree can be.
"""

from __future__ import annotations

import ast
import io
import itertools
import token
import tokenize
import warnings

MAX_BRACKETS = 30
MAX_CHAIN = 200
"""Operators, attributes and postfix brackets of one logical line: each may add a level to the tree."""
MAX_COST = 4_000_000
MAX_TOKENS = 30_000
MAX_ELIFS = 50
"""Each `elif` nests inside the one before."""

_CHAIN_WORDS = frozenset({"not", "lambda", "if", "else", "await", "and", "or", "in", "is", "for", "yield"})
_FLAT = frozenset({",", ":", ";", "=", "(", "[", "{", ")", "]", "}"})


def normal(code: str) -> str:
    """`code` with the line breaks that Python sees, so that lines are counted alike everywhere."""
    return code.replace("\r\n", "\n").replace("\r", "\n")


def tokens(code: str) -> list[tokenize.TokenInfo] | None:
    """The tokens of `code`, or None where it cannot be tokenized, or not cheaply.

    The tokenizer copies the line that each token stands on, so its cost is the sum of their lengths; that is what is bounded.
    """
    stream: list[tokenize.TokenInfo] = []
    cost = 0
    try:
        for item in tokenize.generate_tokens(io.StringIO(code).readline):
            stream.append(item)
            cost += len(item.line)
            if cost > MAX_COST or len(stream) > MAX_TOKENS:
                return None
    except (tokenize.TokenError, SyntaxError, ValueError):
        return None
    return stream


def parse(code: str) -> ast.Module | None:
    """The tree of `code`, or None where it has a syntax error or is nested deeply enough to endanger the host."""
    stream = tokens(code)
    if stream is None or not _is_shallow(stream):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an odd escape in a model's string is no concern of the person's
            return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def misread(tree: ast.Module) -> tuple[int, str] | None:
    """The first line that monty would not read as CPython does, and what is wrong with it: a `return` outside of functions, which CPython
    refuses, or text with a lone surrogate, in whose place monty puts another character."""
    waiting: list[tuple[ast.AST, bool]] = [(tree, False)]
    while waiting:
        node, in_function = waiting.pop()
        if isinstance(node, ast.Return) and not in_function:
            return node.lineno, "'return' outside function"
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and not _is_utf8(node.value):
            return node.lineno, "text with a lone surrogate (\\ud800 to \\udfff) cannot be held here; write a whole character"
        inside = in_function or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        waiting.extend((child, inside) for child in reversed(list(ast.iter_child_nodes(node))))
    return None


def _is_utf8(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _is_shallow(stream: list[tokenize.TokenInfo]) -> bool:
    brackets = chain = elifs = indents = 0
    after_value = False
    for item in stream:
        text = item.string
        if item.type == token.OP:
            if text in "([{":
                brackets += 1
                chain += after_value
            elif text in ")]}":
                brackets -= 1
            if text not in _FLAT:
                chain += 1
            after_value = text in ")]}"
        elif item.type == token.NAME:
            chain += text in _CHAIN_WORDS
            elifs += text == "elif"
            after_value = False
        elif item.type == token.NEWLINE:
            chain = 0
        elif item.type == token.INDENT:
            indents += 1
        elif item.type == token.DEDENT:
            indents -= 1
        if brackets > MAX_BRACKETS or chain > MAX_CHAIN or elifs > MAX_ELIFS or indents > MAX_BRACKETS:
            return False
    return True


def without_catch_alls(code: str) -> str:
    """`code` with bare `except:` and every `BaseException` narrowed to `Exception`, so that an end of the program cannot be caught.

    Lines stay where they are. Code that cannot be tokenized is returned as it is.
    """
    stream = tokens(code)
    if stream is None:
        return code
    edits: list[tuple[int, int, int, str]] = []
    in_clause = False
    for here, after in itertools.pairwise(stream):
        if here.type == token.NAME and here.string == "except":
            in_clause = True
            if after.string == ":":
                edits.append((here.end[0], here.end[1], here.end[1], " Exception"))
        elif here.string == ":":
            in_clause = False
        elif in_clause and here.type == token.NAME and here.string == "BaseException":
            edits.append((here.start[0], here.start[1], here.end[1], "Exception"))
    return _edited(code, edits)


def with_value_checked(code: str, tree: ast.Module | None, check: str) -> str:
    """`code` with its last expression, if it ends in one, wrapped in a call of `check`. Code that does not has the value None."""
    if tree is None or not tree.body:
        return code
    if not isinstance(last := tree.body[-1], ast.Expr):
        return code + "\nNone"  # monty would look past a `pass` for a value
    expr = last.value
    if expr.end_lineno is None or expr.end_col_offset is None:
        return code
    lines = code.split("\n")
    start = len(lines[expr.lineno - 1].encode()[: expr.col_offset].decode())
    end = len(lines[expr.end_lineno - 1].encode()[: expr.end_col_offset].decode())
    return _edited(code, [(expr.lineno, start, start, f"{check}(("), (expr.end_lineno, end, end, "))")])


def _edited(code: str, edits: list[tuple[int, int, int, str]]) -> str:
    if not edits:
        return code
    lines = code.split("\n")
    for row, start, end, text in sorted(edits, reverse=True):
        line = lines[row - 1]
        lines[row - 1] = line[:start] + text + line[end:]
    return "\n".join(lines)
