"""A trial as NNI's own examples are written: a classifier of scikit-learn. What it found is printed as well."""

import json

import nni
from nni.utils import merge_parameter
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split

EPOCHS = 5


def load_data():
    digits = load_digits()
    return train_test_split(digits.data / 16, digits.target, random_state=99, test_size=0.25)


def get_default_parameters():
    return {"alpha": 0.01, "loss": {"_name": "hinge"}, "average": 0}


def get_model(parameters):
    penalty = {"penalty": parameters["loss"]["penalty"]} if "penalty" in parameters["loss"] else {}
    loss = parameters["loss"]["_name"]
    return SGDClassifier(alpha=parameters["alpha"], loss=loss, random_state=1, **penalty)


def run(model, x_train, x_test, y_train, y_test):
    for _ in range(EPOCHS):
        model.partial_fit(x_train, y_train, classes=range(10))
        nni.report_intermediate_result(model.score(x_test, y_test))
    nni.report_final_result({"default": model.score(x_test, y_test), "train": model.score(x_train, y_train)})


if __name__ == "__main__":
    received = nni.get_next_parameter()
    parameters = merge_parameter(get_default_parameters(), received)
    run(get_model(parameters), *load_data())
    print(json.dumps({
        "package": nni.__file__, "experiment": nni.get_experiment_id(), "trial": nni.get_trial_id(),
        "sequence": nni.get_sequence_id(), "received": received, "next": nni.get_next_parameter(),
    }))
