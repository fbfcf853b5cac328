# SPDX-License-Identifier: GPL-3.0-or-later
"""What was taken for granted about a mesh, in sentences for the artist, as files and logs carry them."""

from __future__ import annotations

from typing import Any

from .sequence import NestedSequence

# Of what a file says about its training, only so much is shown.
MOST_SENTENCES = 8
LONGEST_SENTENCE = 300


def assumptions(sequence: NestedSequence) -> list[str]:
    """What was taken for granted about the mesh that a sequence was trained on."""
    return sentences(sequence.training.get("assumptions"))


def sentences(value: Any) -> list[str]:
    """`value` as sentences to be shown, none if it is anything else: it may come from a stranger's file.

    JSON can hold halves of characters, which cannot be shown; question marks stand for them.
    """
    if not isinstance(value, list | tuple):
        return []
    texts = [text[:LONGEST_SENTENCE] for text in value[:MOST_SENTENCES] if isinstance(text, str) and text.strip()]
    return [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
