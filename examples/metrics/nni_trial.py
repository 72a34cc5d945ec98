"""Walks down Rosenbrock's valley by gradient descent, as a trial of NNI."""

import time

import nni

STEPS = 20


def main():
    parameters = nni.get_next_parameter()
    lr, optimizer = parameters["lr"], parameters["optimizer"]
    momentum = optimizer["momentum"] if optimizer["_name"] == "momentum" else 0.0
    x, y, velocity_x, velocity_y = -1.0, 1.5, 0.0, 0.0
    for _ in range(STEPS - 1):
        for _ in range(50):
            velocity_x = momentum * velocity_x + lr * (2 * (1 - x) + 400 * x * (y - x * x))
            velocity_y = momentum * velocity_y - lr * 200 * (y - x * x)
            x, y = x + velocity_x, y + velocity_y
        nni.report_intermediate_result(height(x, y))
        time.sleep(0.1)
    nni.report_final_result({"default": height(x, y), "x": x, "y": y})


def height(x, y):
    return (1 - x) ** 2 + 100 * (y - x * x) ** 2


if __name__ == "__main__":
    main()
