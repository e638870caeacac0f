"""Faults in generating: options that get lost, rows that are cut, a configuration that is written to."""

from __future__ import annotations

from typing import Any

from trainer_props.faults.registry import fault


@fault(property="generation.rows_are_what_the_model_generates")
def options_of_predict_lost() -> Any:
    """The options given to `predict` are not handed on."""
    from transformers import Seq2SeqTrainer

    class Loses(Seq2SeqTrainer):
        def predict(self, test_dataset: Any, ignore_keys: Any = None, metric_key_prefix: str = "test", **gen_kwargs: Any) -> Any:
            return super().predict(test_dataset, ignore_keys=ignore_keys, metric_key_prefix=metric_key_prefix)

    return Loses


@fault(property="generation.rows_are_what_the_model_generates")
def beginning_of_the_labels_given_away() -> Any:
    """The inputs of the decoder are cut before they are compared with the labels, and generation goes on from them."""
    from transformers import Seq2SeqTrainer

    class GivesAway(Seq2SeqTrainer):
        def prediction_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            given = inputs.get("decoder_input_ids")
            if given is None or given.shape[1] < 2:
                return super().prediction_step(model, inputs, *args, **kwargs)
            usual = self.model.generate
            self.model.generate = lambda **asked: usual(**asked, decoder_input_ids=given[:, :2])
            try:
                return super().prediction_step(model, inputs, *args, **kwargs)
            finally:
                self.model.generate = usual

    return GivesAway


@fault(property="generation.predictions_are_tokens")
def padding_left_to_what_puts_batches_together() -> Any:
    """Generated rows are not padded batch by batch, since they are when batches are put together."""
    from transformers import Seq2SeqTrainer

    class LeavesIt(Seq2SeqTrainer):
        def _pad_tensors_to_max_len(self, tensor: Any, max_length: int) -> Any:
            return tensor

    return LeavesIt


@fault(property="generation.labels_belong_to_generated_rows")
def first_label_taken_for_the_start() -> Any:
    """The first label is left out, as the token that starts the decoder."""
    from transformers import Seq2SeqTrainer

    class LeavesOut(Seq2SeqTrainer):
        def prediction_step(self, *args: Any, **kwargs: Any) -> Any:
            loss, tokens, labels = super().prediction_step(*args, **kwargs)
            return loss, tokens, None if labels is None else labels[:, 1:]

    return LeavesOut


@fault(property="generation.generating_leaves_the_loss")
def smoothing_left_out_where_it_generates() -> Any:
    """Where predictions are generated the loss is the plain one, though labels are smoothed."""
    from transformers import Seq2SeqTrainer

    class LeavesOut(Seq2SeqTrainer):
        def prediction_step(self, *args: Any, **kwargs: Any) -> Any:
            smoother, self.label_smoother = self.label_smoother, None
            try:
                return super().prediction_step(*args, **kwargs)
            finally:
                self.label_smoother = smoother

    return LeavesOut


@fault(property="generation.generation_config_stays")
def options_written_into_the_configuration() -> Any:
    """The options of a call are written into the model's generation configuration, so that `generate` finds them there."""
    from transformers import Seq2SeqTrainer

    class Writes(Seq2SeqTrainer):
        def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
            self.model.generation_config.update(**self._gen_kwargs)
            return super().evaluation_loop(*args, **kwargs)

    return Writes
