"""Addresses of the public documents that properties rest on."""

from __future__ import annotations


def docs(name: str) -> str:
    """The documentation of the Trainer: `TrainingArguments.max_steps`, `Trainer.train`, `TrainerState` ..."""
    about_callbacks = ("TrainerCallback", "TrainerControl", "TrainerState", "EarlyStoppingCallback")
    page = "callback" if name.partition(".")[0] in about_callbacks else "trainer"
    return f"https://huggingface.co/docs/transformers/main_classes/{page}#transformers.{name}"


def torch_docs(name: str) -> str:
    """The documentation of something of torch."""
    return f"https://pytorch.org/docs/stable/generated/{name}.html"


def pull_request(number: int) -> str:
    """A pull request or issue of transformers."""
    return f"https://github.com/huggingface/transformers/pull/{number}"


def issue(number: int) -> str:
    """An issue of transformers."""
    return f"https://github.com/huggingface/transformers/issues/{number}"


SAMPLERS = "https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.Sampler"
"""What a sampler promises."""
AUTOCAST = "https://docs.pytorch.org/docs/stable/amp.html#autocast-op-reference"
"""Which operations automatic mixed precision casts: in double precision none."""
GENERATION_CONFIG = "https://huggingface.co/docs/transformers/main_classes/text_generation#transformers.GenerationConfig"
"""What a generation configuration is: the options where a call is silent."""
AUTOCAST_OUTPUTS = "https://huggingface.co/docs/accelerate/package_reference/accelerator#accelerate.Accelerator.prepare_model"
"""What a model is wrapped in for mixed precision."""
ACTIVATION_CHECKPOINTING = "https://docs.pytorch.org/docs/stable/checkpoint.html"
"""What computing activations a second time promises."""
