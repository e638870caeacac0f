"""A text generator that owes nothing to transformers."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import cross_entropy


class TextGenerator(nn.Module):
    """Embedding, one LSTM layer, scores over the vocabulary.

    `labels` hold the next token at each position, -100 where none counts; the loss is the mean over those that count.
    Shapes: input_ids and labels [rows, tokens], scores [rows, tokens, vocabulary].
    """

    main_input_name = "input_ids"

    def __init__(self, vocab_size: int = 32, hidden_size: int = 16) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, hidden_size)
        self.lstm = nn.LSTM(hidden_size, hidden_size, batch_first=True)
        self.head = nn.Linear(hidden_size, vocab_size)

    def forward(self, input_ids: Tensor, labels: Tensor | None = None) -> tuple[Tensor, ...]:
        """(loss, scores), or (scores,) without labels."""
        scores = self.head(self.lstm(self.embedding(input_ids))[0])
        if labels is None:
            return (scores,)
        return (cross_entropy(scores.flatten(0, 1), labels.flatten(), ignore_index=-100), scores)
