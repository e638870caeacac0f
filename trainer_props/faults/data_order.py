"""Faults in what is read: samplers, batches, streams."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from trainer_props.faults.registry import fault


def _with_order(order: Callable[[Any, Any], Any]) -> Any:
    """A Trainer class with another sampler: `order` makes it of the Trainer and the usual one."""
    from transformers import Trainer

    class WithOrder(Trainer):
        def _get_train_sampler(self, *args: Any) -> Any:
            usual = super()._get_train_sampler(*args)
            return usual if usual is None else order(self, usual)

    return WithOrder


def _sampler(length: int, indices: Callable[[], Sequence[int]]) -> Any:
    """A sampler of so many indices, which asks for them at the beginning of every pass."""
    from torch.utils.data import Sampler

    class Listed(Sampler[int]):
        def __len__(self) -> int:
            return length

        def __iter__(self) -> Iterator[int]:
            return iter(indices())

    return Listed()


@fault(property="data_order.every_epoch_sees_each_sample_once")
def one_sample_short() -> Any:
    """An epoch is one sample short."""

    def order(trainer: Any, usual: Any) -> Any:
        length = max(1, len(usual) - 1)
        return _sampler(length, lambda: list(usual)[:length])

    return _with_order(order)


@fault(property="data_order.no_sample_twice_in_an_epoch")
def sampled_with_replacement() -> Any:
    """Samples are drawn with replacement."""
    from torch.utils.data import RandomSampler

    return _with_order(lambda trainer, usual: RandomSampler(trainer.train_dataset, replacement=True))


@fault(property="data_order.drop_last_leaves_out_less_than_a_batch")
def last_batch_dropped_though_full() -> Any:
    """`dataloader_drop_last` drops the last batch also if it is full."""

    def order(trainer: Any, usual: Any) -> Any:
        size = trainer.args.train_batch_size
        if not trainer.args.dataloader_drop_last or len(usual) <= size:
            return usual
        length = (len(usual) - 1) // size * size
        return _sampler(length, lambda: list(usual)[:length])

    return _with_order(order)


@fault(property="data_order.micro_batches_have_their_size")
def trained_with_the_evaluation_batch_size() -> Any:
    """The data loader of training takes the batch size of evaluation."""
    from transformers import Trainer

    class EvaluationSize(Trainer):
        def get_train_dataloader(self) -> Any:
            self._train_batch_size = self.args.eval_batch_size
            return super().get_train_dataloader()

    return EvaluationSize


@fault(property="data_order.sequential_order_is_that_of_the_data")
def sequential_strategy_ignored() -> Any:
    """`train_sampling_strategy="sequential"` is not looked at: order is random."""
    from torch.utils.data import RandomSampler, SequentialSampler

    return _with_order(lambda trainer, usual: RandomSampler(trainer.train_dataset) if isinstance(usual, SequentialSampler) else usual)


@fault(property="data_order.random_order_is_random")
def random_strategy_ignored() -> Any:
    """Samples come in the order of the data set where they should be shuffled."""
    from torch.utils.data import RandomSampler, SequentialSampler

    return _with_order(lambda trainer, usual: SequentialSampler(trainer.train_dataset) if isinstance(usual, RandomSampler) else usual)


@fault(property="data_order.epochs_are_reshuffled")
def shuffled_once() -> Any:
    """The order is drawn once, and every epoch follows it."""
    from torch.utils.data import RandomSampler

    def order(trainer: Any, usual: Any) -> Any:
        if not isinstance(usual, RandomSampler):
            return usual
        drawn = list(usual)
        return _sampler(len(drawn), lambda: drawn)

    return _with_order(order)


@fault(property="data_order.grouped_batches_are_sorted_by_length")
def shortest_first() -> Any:
    """Samples that are grouped by length come from short to long."""

    def order(trainer: Any, usual: Any) -> Any:
        if trainer.args.train_sampling_strategy != "group_by_length":
            return usual
        return _sampler(len(usual), lambda: list(usual)[::-1])

    return _with_order(order)


@fault(property="data_order.streams_are_read_in_order")
def stream_peeked_into() -> Any:
    """The first batch of every pass over a stream is taken to look at its shape, and not given back."""
    from torch.utils.data import IterableDataset
    from transformers import Trainer

    class Peeks(Trainer):
        _peeked: Any = None

        def get_batch_samples(self, epoch_iterator: Any, *rest: Any) -> Any:
            if isinstance(self.train_dataset, IterableDataset) and epoch_iterator is not self._peeked:
                self._peeked = epoch_iterator
                next(epoch_iterator, None)
            return super().get_batch_samples(epoch_iterator, *rest)

    return Peeks


@fault(property="data_order.streams_are_read_in_order")
def neighbours_of_a_stream_swapped() -> Any:
    """A stream goes through a shuffling buffer of two samples."""
    from torch.utils.data import IterableDataset
    from transformers import Trainer

    class Swapped(IterableDataset[Any]):
        def __init__(self, stream: Any) -> None:
            self._stream = stream

        def __iter__(self) -> Iterator[Any]:
            waiting: list[Any] = []
            for sample in self._stream:
                waiting.append(sample)
                if len(waiting) == 2:
                    yield from reversed(waiting)
                    waiting.clear()
            yield from waiting

    class SizedSwapped(Swapped):
        def __len__(self) -> int:
            return len(self._stream)

    class Buffered(Trainer):
        def get_train_dataloader(self) -> Any:
            stream = self.train_dataset
            if not isinstance(stream, IterableDataset):
                return super().get_train_dataloader()
            self.train_dataset = SizedSwapped(stream) if hasattr(stream, "__len__") else Swapped(stream)
            try:
                return super().get_train_dataloader()
            finally:
                self.train_dataset = stream

    return Buffered
