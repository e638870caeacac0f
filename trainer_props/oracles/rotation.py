"""The rotation of checkpoints in a directory that was used before.

Source: the docstring of TrainingArguments (`save_total_limit`: the older checkpoints in `output_dir` are deleted, the best one and the most
recent one never are), and https://github.com/huggingface/transformers/pull/37260 (what is older, the time of modification says).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def left_after_each_save(
    limit: int | None, older: Sequence[str], saves: Iterable[tuple[str, str | None]], *, reversed_times: bool = False
) -> list[list[str]]:
    """Names of the checkpoints that are left after each save, sorted.

    Args:
        limit: `save_total_limit`.
        older: the checkpoints that were there before, the one that was written first at the head.
        saves: of each save the checkpoint, and the one that is called the best right after it.
        reversed_times: before each save the times of all checkpoints are in the reversed order of their being written.
    """
    written = list(older)
    found = []
    for newest, best in saves:
        written = [each for each in written if each != newest]
        by_age = written[::-1] if reversed_times else list(written)
        removable = [each for each in by_age if each != best]
        kept = len(written) + 1 - len(removable)
        excess = 0 if limit is None or limit <= 0 else max(0, len(written) + 1 - max(limit, kept))
        gone = removable[:excess]
        written = [each for each in written if each not in gone] + [newest]
        found.append(sorted(written))
    return found
