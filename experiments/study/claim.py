"""What a decided claim of the paper consists of."""

import dataclasses
from typing import Literal

Verdict = Literal[
    "holds",
    "holds in part",
    "does not hold in part",
    "does not hold",
    "not decided",
    "cannot be tested here",
]


@dataclasses.dataclass(frozen=True)
class Claim:
    """A claim and what became of it.

    Attributes:
      quote: the paper's own words.
      meaning: what the claim would mean if it held, in numbers.
      evidence: what we know, with intervals and n.
      verdict: see `Verdict`.
      source: file, command or module that the evidence is from.
      topic: the claim in a few words.
      brief: the evidence in a clause.
    """

    quote: str
    meaning: str
    evidence: str
    verdict: Verdict
    source: str
    topic: str
    brief: str
