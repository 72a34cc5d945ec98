"""Trains for real with one of several libraries, whose own output says how far it is; and writes down what that was.

  train.py LIBRARY TRUTH     TRUTH is the file for {metric: [[step, value], ...]}, as the library's own interface tells it
"""

import json
import sys

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split


def data():
    images, labels = load_digits(return_X_y=True)
    return train_test_split(images / 16.0, labels, test_size=0.3, random_state=0)


def counted(values, first):
    return [[step, float(value)] for step, value in enumerate(values, first)]


def xgboost():
    import xgboost as xgb

    train, test, train_labels, test_labels = data()
    sets = [(xgb.DMatrix(train, train_labels), "train"), (xgb.DMatrix(test, test_labels), "validation")]
    result = {}
    settings = {"objective": "multi:softmax", "num_class": 10, "eval_metric": ["mlogloss", "merror"], "max_depth": 3, "seed": 0}
    xgb.train(settings, sets[0][0], 12, evals=sets, evals_result=result)
    return {
        "validation-mlogloss": counted(result["validation"]["mlogloss"], 0),
        "train-merror": counted(result["train"]["merror"], 0),
    }


def lightgbm():
    import lightgbm as lgb

    train, test, train_labels, test_labels = data()
    known = lgb.Dataset(train, train_labels)
    result = {}
    settings = {"objective": "multiclass", "num_class": 10, "metric": "multi_logloss", "num_leaves": 7, "seed": 0}
    lgb.train(settings, known, 10, valid_sets=[known, known.create_valid(test, test_labels)],
              callbacks=[lgb.log_evaluation(1), lgb.record_evaluation(result)])
    return {
        "training's multi_logloss": counted(result["training"]["multi_logloss"], 1),
        "valid_1's multi_logloss": counted(result["valid_1"]["multi_logloss"], 1),
    }


def sklearn():
    from sklearn.neural_network import MLPClassifier

    train, _, train_labels, _ = data()
    network = MLPClassifier((16,), max_iter=15, random_state=0, verbose=True).fit(train, train_labels)
    return {"loss": counted(network.loss_curve_, 1)}


def tqdm():
    from tqdm import tqdm as bar

    train, test, train_labels, test_labels = data()
    targets, weights, truth = np.eye(10)[train_labels], np.zeros((train.shape[1], 10)), []
    steps = bar(range(1, 31), mininterval=0)
    for step in steps:
        chances = np.exp(train @ weights)
        chances /= chances.sum(axis=1, keepdims=True)
        weights -= train.T @ (chances - targets) / len(train)
        accuracy = float(np.mean((test @ weights).argmax(axis=1) == test_labels))
        steps.set_postfix(accuracy=accuracy)
        truth.append([step, accuracy])
    # A bar is drawn before and after it counts; what stands in the end is certain.
    return {"accuracy": truth}


if __name__ == "__main__":
    truth = {"xgboost": xgboost, "lightgbm": lightgbm, "sklearn": sklearn, "tqdm": tqdm}[sys.argv[1]]()
    with open(sys.argv[2], "w") as file:
        json.dump(truth, file)
