def __workbench__(type, TypeError, ValueError, len, list, range, isinstance):
    # Runs inside monty, once per session. What leaves the sandbox must be plain data: monty itself would let a function, a class or
    # an iterator leave as text. The builtins are parameters so that the program cannot replace them from outside.
    import datetime as _datetime
    import decimal as _decimal

    plain = (
        type(None),
        bool,
        int,
        float,
        str,
        bytes,
        _decimal.Decimal,
        _datetime.date,
        _datetime.datetime,
        _datetime.time,
        _datetime.timedelta,
    )
    views = ("dict_keys", "dict_values", "dict_items", "range")

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
        if kind is dict:
            return {checked(key, depth + 1): checked(item, depth + 1) for key, item in value.items()}
        if kind.__name__ in views:
            return [checked(item, depth + 1) for item in value]
        if kind.__name__ == "defaultdict" or kind.__name__ == "Counter":
            return {checked(key, depth + 1): checked(item, depth + 1) for key, item in value.items()}
        raise TypeError("a value of type " + kind.__name__ + " cannot leave the sandbox; pass plain data such as str, int, list or dict")

    def value(result):
        return checked(result, 0)

    def stub(name):
        def tool(*args, **kwargs):
            return __host__(name, [checked(item, 0) for item in args], {key: checked(item, 0) for key, item in kwargs.items()})

        return tool

    return value, stub


__value__, __stub__ = __workbench__(type, TypeError, ValueError, len, list, range, isinstance)
