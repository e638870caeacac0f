"""The subject: the trainer under test, how it is named, loaded and declared.

A subject is a Trainer class with the stock constructor, a factory `make(parts, output_dir) -> Trainer`, or a plain factory
`make(output_dir, n, **training_arguments) -> Trainer`. `Parts` is a scenario made real.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from trainer_props import zoo
from trainer_props.arguments import nearest
from trainer_props.scenario import Scenario, thaw

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import Trainer, TrainingArguments

DEFAULT = "transformers:Trainer"
GENERATING = "transformers:Seq2SeqTrainer"
LOSS_REDUCTIONS = ("mean_per_batch", "sum_over_items", "batch_dependent")
_DECLARATION = "__trainer_props__"


class SubjectError(Exception):
    """The subject can't be loaded or does not give a Trainer; the message is one line for the user."""


@dataclass(frozen=True)
class Declaration:
    """What is true of a subject (see `subject`)."""

    loss_reduction: str | None = None
    expected_steps: Callable[[Scenario], int] | None = None
    cumulative_metrics: tuple[str, ...] = ()
    ignore_metrics: tuple[str, ...] = ()
    fixed: Mapping[str, Any] = field(default_factory=dict)
    forbidden: tuple[str, ...] = ()


def subject(
    *,
    loss_reduction: str | None = None,
    expected_steps: Callable[[Scenario], int] | None = None,
    cumulative_metrics: Sequence[str] = (),
    ignore_metrics: Sequence[str] = (),
    fixed: Mapping[str, Any] | None = None,
    forbidden: Sequence[str] = (),
) -> Callable[[Any], Any]:
    """Declare what is true of a trainer class or factory, as a decorator.

    Args:
        loss_reduction: how the loss of a micro-batch is made from its samples: `mean_per_batch`, `sum_over_items` (divided by the
            number of labels in the whole window), `batch_dependent` (contrastive losses, batch norm: it depends on the company a
            sample keeps). Any of them says that the loss is the subject's own: then no loss or gradient is predicted from the model.
            None: the loss is the model's.
        expected_steps: scenario -> updates of a whole run, for a trainer with a formula of its own.
        cumulative_metrics: metrics that grow over a run, so that two evaluations in a row differ in them.
        ignore_metrics: metrics that no property may look at.
        fixed: TrainingArguments held at these values in every run.
        forbidden: TrainingArguments that are left at their defaults in every run.

    Raises:
        ValueError: an unknown loss reduction.
    """
    if loss_reduction is not None and loss_reduction not in LOSS_REDUCTIONS:
        raise ValueError(
            f"loss_reduction={loss_reduction!r} is none of {', '.join(LOSS_REDUCTIONS)}{nearest(loss_reduction, list(LOSS_REDUCTIONS))}"
        )
    declaration = Declaration(
        loss_reduction, expected_steps, tuple(cumulative_metrics), tuple(ignore_metrics), dict(fixed or {}), tuple(forbidden)
    )

    def declare(target: Any) -> Any:
        setattr(target, _DECLARATION, declaration)
        return target

    return declare


class Observer(Protocol):
    """Who is told what the components of a run see."""

    def saw_loss(self, loss: Any, items: Any) -> None:
        """`compute_loss_func` was called."""

    def saw_metrics(self, predictions: Any, label_ids: Any) -> None:
        """`compute_metrics` was called."""


class _Nobody:
    def saw_loss(self, loss: Any, items: Any) -> None:
        pass

    def saw_metrics(self, predictions: Any, label_ids: Any) -> None:
        pass


class Parts:
    """A scenario made real: its TrainingArguments, model, data sets and components.

    Attributes:
        scenario: what it is made from.
        model_init: what `trainer_kwargs` hands over instead of a model, or None.
        generation: arguments that Seq2SeqTrainingArguments has beside those of the scenario; None: TrainingArguments will do.
        generation_config: the keyword arguments of their `generation_config`, if there is one.
    """

    model_init: Callable[..., nn.Module] | None = None
    generation: Mapping[str, Any] | None = None
    generation_config: Mapping[str, Any] | None = None

    def __init__(self, scenario: Scenario, observer: Any = None) -> None:
        self.scenario = scenario
        self._observer = observer if observer is not None else _Nobody()

    def training_arguments_kwargs(self, output_dir: str) -> dict[str, Any]:
        """Keyword arguments of the installed TrainingArguments. Labels by names that no Trainer takes for labels are among them."""
        from trainer_props import compat

        kind = zoo.MODELS[self.scenario.model.name]
        told = {} if kind.says_its_labels else {"label_names": list(kind.label_names)}
        return compat.training_arguments_kwargs({**told, **thaw(self.scenario.arguments), "output_dir": output_dir})

    def training_arguments(self, output_dir: str) -> TrainingArguments:
        """The scenario's TrainingArguments, writing to `output_dir`."""
        import transformers

        kwargs = self.training_arguments_kwargs(output_dir)
        if self.generation is None:
            return transformers.TrainingArguments(**kwargs)
        if self.generation_config is not None:
            kwargs["generation_config"] = transformers.GenerationConfig(**self.generation_config)
        return transformers.Seq2SeqTrainingArguments(**kwargs, **self.generation)

    def model(self) -> nn.Module:
        """A fresh model."""
        return zoo.build_model(self.scenario.model, self.scenario.data)

    def train_dataset(self) -> Any:
        """The training data set."""
        return _dataset(self.scenario, "train", None)

    def eval_dataset(self) -> Any:
        """The evaluation data set, or None."""
        return _dataset(self.scenario, "eval", None) if self.scenario.data.n_eval else None

    def test_dataset(self, n: int) -> Any:
        """A data set of `n` samples for prediction."""
        return _dataset(self.scenario, "test", n)

    def identify(self, inputs: Mapping[str, Tensor], training: bool) -> tuple[int, ...] | None:
        """The positions in the data set of the rows that reached forward, or None if they are not of this data set."""
        splits = ("train",) if training else ("eval", "test", "train")
        for split in splits:
            if split == "eval" and not self.scenario.data.n_eval:
                continue
            n = self._test_length if split == "test" else None
            if split == "test" and n is None:
                continue
            found = zoo.identify(_dataset(self.scenario, split, n), dict(inputs))
            if found is not None:
                return found
        return None

    _test_length: int | None = None

    def expect_test(self, n: int) -> None:
        """Say that a data set of `n` samples will be predicted, so that its samples can be identified."""
        self._test_length = n

    def trainer_kwargs(self, output_dir: str) -> dict[str, Any]:
        """Everything as the stock constructor takes it."""
        components = self.scenario.components
        kwargs: dict[str, Any] = {
            **({"model": self.model()} if self.model_init is None else {"model_init": self.model_init}),
            "args": self.training_arguments(output_dir),
            "train_dataset": self.train_dataset(),
            "eval_dataset": self.eval_dataset(),
        }
        collator = zoo.collator(self.scenario)
        if collator is not None:
            kwargs["data_collator"] = collator
        if components.loss == "compute_loss_func":
            kwargs["compute_loss_func"] = self._loss_function()
        if components.scores:
            kwargs["compute_metrics"] = self._metrics()
        if components.early_stopping is not None:
            from transformers import EarlyStoppingCallback

            stopping = components.early_stopping
            kwargs["callbacks"] = [EarlyStoppingCallback(stopping.patience, stopping.threshold)]
        return kwargs

    def _loss_function(self) -> Callable[..., Any]:
        observer = self._observer

        def summed_squared_error(outputs: Any, labels: Any, num_items_in_batch: Any = None) -> Any:
            logits = next(iter(outputs.values())) if isinstance(outputs, dict) else outputs[0]
            items = num_items_in_batch if num_items_in_batch is not None else labels.numel()
            loss = ((logits - labels) ** 2).sum() / items
            observer.saw_loss(loss, num_items_in_batch)
            return loss

        return summed_squared_error

    def _metrics(self) -> Callable[..., dict[str, float]]:
        scores, observer = self.scenario.components.scores, self._observer
        calls = 0

        def score(prediction: Any, compute_result: bool = True) -> dict[str, float]:
            nonlocal calls
            observer.saw_metrics(prediction.predictions, prediction.label_ids)
            if not compute_result:
                return {}
            value = scores[min(calls, len(scores) - 1)]
            calls += 1
            return {"score": value}

        return score


@functools.lru_cache(maxsize=256)
def _dataset_of(data: Any, model: Any, split: Any, n: int | None) -> Any:
    return zoo.build_dataset(data, split, model=model, n=n)


def _dataset(scenario: Scenario, split: str, n: int | None) -> Any:
    return _dataset_of(scenario.data, scenario.model, split, n)


@dataclass(frozen=True)
class Subject:
    """A trainer under test.

    Attributes:
        name: as the user names it (`module:attribute`).
        make: (parts, output_dir) -> Trainer.
        declaration: what is declared of it.
        own_data: it brings data of its own, so that samples can't be identified.
        hint: what its author may have forgotten to declare, for the reader of a violation.
        generates: it is a Seq2SeqTrainer, which needs Seq2SeqTrainingArguments.
    """

    name: str
    make: Callable[[Parts, str], Trainer]
    declaration: Declaration = Declaration()
    own_data: bool = False
    hint: str = ""
    generates: bool = False


def generating(subject: Subject) -> Subject:
    """The subject that is looked at where texts are generated: the stock Seq2SeqTrainer for the stock Trainer, else the subject itself."""
    return load(GENERATING) if subject.name == DEFAULT else subject


def load(name: str) -> Subject:
    """The subject named `module:attribute`.

    Raises:
        SubjectError: it can't be imported, or is neither a Trainer class nor a factory.
    """
    module_name, colon, attribute = name.partition(":")
    if not colon or not module_name or not attribute:
        raise SubjectError(f"subject {name!r}: write it as module:attribute, for example {DEFAULT}")
    try:
        target: Any = importlib.import_module(module_name)
    except Exception as error:  # whatever a user's module raises is theirs to read, in one line
        raise SubjectError(
            f"subject {name!r}: importing {module_name} failed: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        ) from error
    for part in attribute.split("."):
        try:
            target = getattr(target, part)
        except AttributeError:
            public = [each for each in dir(target) if not each.startswith("_")]
            raise SubjectError(f"subject {name!r}: {module_name} has no {part!r}{nearest(part, public)}") from None
    return wrap(target, name)


def wrap(target: Any, name: str | None = None) -> Subject:
    """A subject from a Trainer class or a factory.

    Raises:
        SubjectError: it is neither.
    """
    import transformers

    name = name or f"{getattr(target, '__module__', '?')}:{getattr(target, '__qualname__', type(target).__name__)}"
    declaration = getattr(target, _DECLARATION, Declaration())
    if isinstance(target, type) and issubclass(target, transformers.Trainer):
        generates = issubclass(target, transformers.Seq2SeqTrainer)

        def made(parts: Parts, output_dir: str) -> Any:
            if generates and parts.generation is None:
                parts.generation = {}
            return target(**parts.trainer_kwargs(output_dir))

        return Subject(name, _checked(made, name), declaration, hint=_hint(target, declaration), generates=generates)
    if isinstance(target, type) or not callable(target):
        raise SubjectError(f"subject {name!r} is {_describe(target)}: neither a Trainer class nor a factory that makes a Trainer")
    try:
        names = list(inspect.signature(target).parameters)
    except (TypeError, ValueError) as error:
        raise SubjectError(f"subject {name!r}: its signature can't be read: {error}") from None
    if len(names) >= 2 and names[:2] == ["output_dir", "n"]:

        def plain(parts: Parts, output_dir: str) -> Any:
            kwargs = parts.training_arguments_kwargs(output_dir)
            kwargs.pop("output_dir")
            return target(output_dir, parts.scenario.data.n, **kwargs)

        return Subject(name, _checked(plain, name), declaration, own_data=True)
    if len(names) >= 2:
        return Subject(name, _checked(target, name), declaration)
    raise SubjectError(
        f"subject {name!r}: a factory takes (parts, output_dir) or (output_dir, n, **training_arguments), not ({', '.join(names)})"
    )


def _hint(target: Any, declaration: Declaration) -> str:
    import transformers

    if target.compute_loss is transformers.Trainer.compute_loss or declaration.loss_reduction is not None:
        return ""
    return (
        f"{target.__name__} overrides compute_loss: if its loss is meant to be another than the model's, declare that by "
        "@trainer_props.subject(loss_reduction=...)"
    )


def _checked(make: Callable[[Parts, str], Any], name: str) -> Callable[[Parts, str], Any]:
    def made(parts: Parts, output_dir: str) -> Any:
        import transformers

        trainer = make(parts, output_dir)
        if not isinstance(trainer, transformers.Trainer):
            raise SubjectError(f"subject {name!r} returned {_describe(trainer)}, not a transformers.Trainer")
        return trainer

    return made


def _describe(value: Any) -> str:
    kind = type(value).__name__
    return f"{'an' if kind[0].lower() in 'aeiou' else 'a'} {kind}" if not isinstance(value, type) else f"the class {value.__name__}"
