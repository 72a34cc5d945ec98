"""Trains a small neural network on scikit-learn's digits: 1,797 real scans of handwritten digits, 8 x 8 pixels each.

Prints one line an epoch, which is all that automl needs to follow it:

    epoch=3 accuracy=0.93 loss=0.21

Where there is a directory for checkpoints (spec.checkpoint), it saves itself there after each epoch, and goes on from what it
finds: after a retry its own, after a promotion its parent's.
"""

import argparse
import os
import pathlib
import pickle

import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lr", type=float, default=0.01, help="learning rate")
    parser.add_argument("--layers", type=int, default=1, help="hidden layers")
    parser.add_argument("--width", type=int, default=64, help="neurons in each hidden layer")
    parser.add_argument("--optimizer", choices=["sgd", "adam"], default="adam")
    parser.add_argument("--momentum", type=float, default=0.9, help="used by sgd alone")
    parser.add_argument("--epochs", type=int, default=40)
    return parser.parse_args()


def shifted(images, labels):
    """The images, and each of them moved by one pixel up, down, left and right."""
    moves = [(0, 0), (1, 1), (-1, 1), (1, 2), (-1, 2)]
    return np.concatenate([np.roll(images, step, axis) for step, axis in moves]), np.tile(labels, len(moves))


def load(checkpoint):
    """The last epoch that was saved, and the network after it; epoch 0 and nothing where there is none."""
    if checkpoint is None or not checkpoint.exists():
        return 0, None
    return pickle.loads(checkpoint.read_bytes())


def save(checkpoint, epoch, model):
    if checkpoint is not None:
        # Under another name first: whoever is killed while it saves leaves the last one whole.
        partial = checkpoint.with_suffix(".partial")
        partial.write_bytes(pickle.dumps((epoch, model)))
        partial.replace(checkpoint)


def main():
    args = arguments()
    folder = os.environ.get("AUTOML_CHECKPOINT_DIR")
    checkpoint = pathlib.Path(folder) / "model.pickle" if folder else None
    digits = load_digits()
    # The same split in every trial, so that accuracies can be compared. Validation images are never moved.
    train_x, valid_x, train_y, valid_y = train_test_split(
        digits.images / 16, digits.target, test_size=0.25, stratify=digits.target, random_state=0
    )
    train_x, train_y = shifted(train_x, train_y)
    train_x, valid_x = train_x.reshape(len(train_x), -1), valid_x.reshape(len(valid_x), -1)

    done, model = load(checkpoint)
    if model is None:
        model = MLPClassifier(
            hidden_layer_sizes=(args.width,) * args.layers,
            solver=args.optimizer,
            learning_rate_init=args.lr,
            momentum=args.momentum,
            batch_size=64,
            random_state=0,
        )
    else:
        # A parent may have learnt at another rate.
        model.set_params(learning_rate_init=args.lr, momentum=args.momentum)
        model._optimizer.learning_rate_init = model._optimizer.learning_rate = args.lr
    for epoch in range(done + 1, args.epochs + 1):
        model.partial_fit(train_x, train_y, classes=digits.target_names)
        probabilities = model.predict_proba(valid_x)
        accuracy = accuracy_score(valid_y, probabilities.argmax(axis=1))
        loss = log_loss(valid_y, probabilities)
        save(checkpoint, epoch, model)
        print(f"epoch={epoch} accuracy={accuracy:.4f} loss={loss:.4f}", flush=True)


if __name__ == "__main__":
    main()
