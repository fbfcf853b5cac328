# SPDX-License-Identifier: GPL-3.0-or-later
"""How long computations end before they are done, because nobody wants their result any more.

Such a function takes `cancelled`, which it calls every now and then, and raises `Cancelled` when the answer is true.
"""

from __future__ import annotations


class Cancelled(Exception):
    """Nobody wants the result of a computation any more."""
