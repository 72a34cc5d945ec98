"""Helpers that trial code imports from `nni.utils`."""


def merge_parameter(base_params, override_params):
    """Puts parameters into an `argparse.Namespace` or a dictionary, and gives it back.

    A parameter of another name, or of another type than the value that is there, is an error.
    """
    if override_params is None:
        return base_params
    base = base_params if isinstance(base_params, dict) else vars(base_params)
    for name, value in override_params.items():
        if name not in base:
            raise ValueError(f"{name!r} is no parameter of the program; it has {', '.join(sorted(base))}")
        known = type(base[name])
        if base[name] is not None and not isinstance(value, known) and not (known is float and type(value) is int):
            raise TypeError(f"{name!r} is to be {known.__name__}, not {value!r}")
        base[name] = value
    return base_params
