"""What `Trainer` of transformers does with its callbacks while it trains; the training itself needs torch, and is left out.

It is told of the integration by nobody: that comes of the environment.
"""

import time

from transformers import TrainerControl, TrainerState, TrainingArguments
from transformers.integrations import get_reporting_integration_callbacks
from transformers.trainer_callback import CallbackHandler, DefaultFlowCallback

EPOCHS, STEPS_OF_EPOCH = 3, 5


def main():
    arguments = TrainingArguments(output_dir="out", num_train_epochs=EPOCHS, report_to="none", logging_strategy="epoch")
    callbacks = [DefaultFlowCallback, *get_reporting_integration_callbacks(arguments.report_to)]
    handler = CallbackHandler(callbacks, None, None, None, None)
    state, control = TrainerState(is_world_process_zero=True), TrainerControl()
    state.max_steps, state.num_train_epochs = EPOCHS * STEPS_OF_EPOCH, EPOCHS
    state.logging_steps = state.eval_steps = state.save_steps = STEPS_OF_EPOCH

    def log(**numbers):
        numbers["epoch"] = state.epoch
        state.log_history.append({**numbers, "step": state.global_step})
        return handler.on_log(arguments, state, control, numbers)

    control = handler.on_train_begin(arguments, state, control)
    for epoch in range(EPOCHS):
        control = handler.on_epoch_begin(arguments, state, control)
        for step in range(STEPS_OF_EPOCH):
            control = handler.on_step_begin(arguments, state, control)
            state.global_step += 1
            state.epoch = epoch + (step + 1) / STEPS_OF_EPOCH
            control = handler.on_step_end(arguments, state, control)
        control = handler.on_epoch_end(arguments, state, control)
        control = log(loss=1 / (epoch + 2), grad_norm=0.5, learning_rate=1e-3)
        control = log(eval_loss=1 / (epoch + 1), eval_accuracy=1 - 1 / (epoch + 2), eval_runtime=0.1)
        # The callback says something each five seconds at most.
        time.sleep(5.1)
    log(train_runtime=1.0, train_loss=0.3)
    handler.on_train_end(arguments, state, control)


if __name__ == "__main__":
    main()
