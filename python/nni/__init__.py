"""What trial code that was written for NNI needs of the package `nni`, for an experiment of automl-operator.

Where NNI itself is installed, this gives way to it.
"""

import importlib.util
import os
import sys


def _installed():
    """Loads NNI's own package in the place of this one; false where there is none that works."""
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    before, this = list(sys.path), sys.modules[__name__]
    elsewhere = [folder for folder in before if os.path.abspath(folder or os.curdir) != here]
    sys.path[:] = elsewhere
    try:
        specs = (finder.find_spec(__name__, None) for finder in sys.meta_path if hasattr(finder, "find_spec"))
        # A mere folder of this name has no loader, or none that would do.
        spec = next((spec for spec in specs if spec and spec.loader and spec.origin), None)
        if spec is None:
            return False
        module = importlib.util.module_from_spec(spec)
        sys.modules[__name__] = module
        try:
            spec.loader.exec_module(module)
            before[:] = elsewhere
            return True
        except ImportError as error:
            print(f"automl: the installed nni cannot be imported ({error}); using a stand-in", file=sys.stderr)
            for name in [name for name in sys.modules if name.startswith(__name__ + ".")]:
                del sys.modules[name]
            sys.modules[__name__] = this
            return False
    finally:
        sys.path[:] = before


if not _installed():
    from . import utils
    from ._trial import (
        get_current_parameter,
        get_experiment_id,
        get_next_parameter,
        get_next_parameters,
        get_sequence_id,
        get_trial_id,
        report_final_result,
        report_intermediate_result,
    )

    # Programs compare it.
    __version__ = "3.0"

    def __getattr__(name):
        raise AttributeError(
            f"this stand-in for the package nni has no {name!r}: it has what reports and asks for parameters; "
            "for the rest install nni itself into the image, which is used then"
        )
