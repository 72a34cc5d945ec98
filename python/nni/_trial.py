"""What a trial asks and reports, as NNI 3 says it: to a URL that the environment names."""

import json
import os
import sys
import urllib.error
import urllib.request

_URL = os.environ.get("NNI_TRIAL_COMMAND_CHANNEL")
_TIMEOUT = 30

_parameters = None
_parameter_id = None
_intermediate_results = 0


def get_experiment_id():
    """The name of the Experiment."""
    return os.environ.get("NNI_EXP_ID", "STANDALONE")


def get_trial_id():
    """The name of the Trial."""
    return os.environ.get("NNI_TRIAL_JOB_ID", "STANDALONE")


def get_sequence_id():
    """The number of the Trial in its Experiment, from 0 on."""
    return int(os.environ.get("NNI_TRIAL_SEQ_ID", "0"))


def get_next_parameter():
    """The parameters, a dictionary; None once the final result has been reported. Empty outside an experiment."""
    global _parameters, _parameter_id
    if _URL is None:
        _parameters = {}
        return _parameters
    _call("PUT", {"type": "request_parameter"})
    try:
        answer = _call("GET")
    except urllib.error.HTTPError as error:
        if error.code != 410:
            raise
        _parameters = None
        return None
    record = json.loads(json.loads(answer)["parameter"])
    _parameters, _parameter_id = record["parameters"], record["parameter_id"]
    return _parameters


get_next_parameters = get_next_parameter


def get_current_parameter(tag=None):
    """The parameters as they were last asked for, or one of them; None before."""
    if _parameters is None or tag is None:
        return _parameters
    return _parameters[tag]


def report_intermediate_result(metric):
    """Reports a number, or a dictionary in which `default` counts."""
    global _intermediate_results
    _report("PERIODICAL", _intermediate_results, metric)
    _intermediate_results += 1


def report_final_result(metric):
    """Reports the result that counts, a number or a dictionary as above."""
    _report("FINAL", 0, metric)


def _report(kind, sequence, metric):
    value = json.dumps(_plain(metric))
    if _URL is None:
        print(f"nni: {kind.lower()} result {sequence}: {value}", flush=True)
        return
    record = {
        "parameter_id": _parameter_id,
        "trial_job_id": get_trial_id(),
        "type": kind,
        "sequence": sequence,
        "value": value,
    }
    try:
        _call("PUT", {"type": "metric", "metric": json.dumps(record)})
    except OSError as error:
        # A training is worth more than one of its numbers.
        print(f"nni: {value} could not be reported: {error}", file=sys.stderr)


def _plain(value):
    """What JSON can say: of arrays and tensors with one number that number."""
    if isinstance(value, dict):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    for method in ("item", "tolist"):
        try:
            return _plain(getattr(value, method)())
        except (AttributeError, RuntimeError, TypeError, ValueError):
            continue
    return str(value)


def _call(method, said=None):
    body = None if said is None else json.dumps(said).encode()
    request = urllib.request.Request(_URL, data=body, method=method, headers={"Content-Type": "application/json"})
    # No proxy of the program's is between it and its agent.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=_TIMEOUT) as answer:
        return answer.read().decode()
