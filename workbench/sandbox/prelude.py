"""What runs inside monty before the program does, once per session.

monty would let a function, a class or an iterator leave the sandbox as text. Here every tool becomes a function that checks its arguments
and hands them to `__host…`, which the engine answers; `__value…` checks the block's last expression in the same way. Views and ranges
leave as lists. Builtins are taken as parameters, so that a program that redefines them changes nothing here; and every name the prelude
needs later carries the session's own random letters, so that no program can redefine, call or even name it.
"""

MARK = "_MARK_"
"""Stands in `PRELUDE` for the session's random letters."""

PRELUDE = """\
def __workbench_MARK_(type, TypeError, ValueError, list, tuple, set, frozenset, dict, plain, views):
    def checked(value, depth):
        kind = type(value)
        if kind in plain:
            return value
        if depth > 150:
            raise ValueError("a value that leaves the sandbox is nested too deeply, or contains itself")
        if kind is list or kind is tuple or kind is set or kind is frozenset:
            for item in value:
                if type(item) not in plain:
                    return kind([checked(part, depth + 1) for part in value])
            return value
        if kind is dict or kind.__name__ == "defaultdict" or kind.__name__ == "Counter":
            return {checked(key, depth + 1): checked(item, depth + 1) for key, item in value.items()}
        if kind.__name__ in views:
            return [checked(item, depth + 1) for item in value]
        raise TypeError("a value of type " + kind.__name__ + " cannot leave the sandbox; pass plain data such as str, int, list or dict")

    def stub(name):
        def tool(*args, **kwargs):
            return __host_MARK_(name, [checked(item, 0) for item in args], {key: checked(item, 0) for key, item in kwargs.items()})
        return tool

    return lambda result: checked(result, 0), stub


def __plain_MARK_():
    import datetime
    import decimal
    types = (type(None), bool, int, float, str, bytes, decimal.Decimal)
    return types + (datetime.date, datetime.datetime, datetime.time, datetime.timedelta)


__value_MARK_, __stub_MARK_ = __workbench_MARK_(
    type, TypeError, ValueError, list, tuple, set, frozenset, dict, __plain_MARK_(), ("dict_keys", "dict_values", "dict_items", "range")
)
"""
