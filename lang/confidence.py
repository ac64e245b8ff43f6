"""How sure a model was of a value, and of every field in it.

A constraint leaves some tokens legal at each position. The model's probabilities of those, made to
sum to 1, are what exact constrained sampling draws from, so their product along a text is the
chance that it is written, whatever sampler then really wrote it. Text that the constraint forces is
certain. In a JSON text each field has its own: the product over the tokens that touch it, which is
its chance given what stands before it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from .errors import ParameterError
from .json_schema.keywords import child
from .json_schema.spans import Span, Step, value_spans


class Decision(NamedTuple):
    """A position where a token was drawn.

    Attributes:
        start, end: the token's bytes in the text. `start` is negative where healing respells the
            end of the prompt; a token that ended the text has no bytes.
        probability: of the drawn token among the legal ones.
        runner_up: of the likeliest other legal token.
    """

    start: int
    end: int
    probability: float
    runner_up: float


@dataclass(frozen=True, repr=False)
class Confidence:
    """How sure the model was of `text`, from the `decisions` that wrote it.

    The probabilities are the model's own: temperature 1, nothing truncated, without penalties and
    logit_bias, among the tokens that the constraint allows. Which text was chosen is up to the
    sampler; how likely it was is not.
    """

    text: str
    decisions: tuple[Decision, ...]

    @cached_property
    def probability(self) -> float:
        """The chance that exact constrained sampling writes `text`, in these tokens.

        It shrinks with the length of a free text; compare `weakest` there.
        """
        return math.prod(decision.probability for decision in self.decisions)

    @cached_property
    def margin(self) -> float:
        """`probability` minus the most that any other continuation can have, in -1 to 1.

        Another continuation departs at some position, with the probability of the text up to there
        times that of the likeliest other token: the largest such product bounds them all. The
        margin is exact if that token settles its value, as with most enums, booleans and choices,
        and never too large. Another spelling of the same text counts as another continuation.
        """
        reached, rival = 1.0, 0.0
        for decision in self.decisions:
            rival = max(rival, reached * decision.runner_up)
            reached *= decision.probability
        return self.probability - rival

    @cached_property
    def weakest(self) -> float:
        """The probability of the least certain token; does not depend on the length of the text."""
        return min((decision.probability for decision in self.decisions), default=1.0)

    @cached_property
    def fields(self) -> Mapping[str, Confidence]:
        """Every value inside a JSON text, by its path, such as `$.address.city` or `$.tags[0]`.

        Empty where the text is no JSON, or was cut, or holds no other value. A token that touches
        two values counts for both, and what ends a number counts for the number. Whether an
        optional field is there is its object's confidence, not the field's.
        """
        return {child("$", *steps): found for steps, found in self._inner.items()}

    def __getitem__(self, step: Step) -> Confidence:
        """The confidence of a member or an element: `meta.confidence["tags"][0]`.

        Raises ParameterError if the text has none of that name.
        """
        found = self._inner.get((step,))
        if found is None:
            known = ", ".join(repr(steps[0]) for steps in self._inner if len(steps) == 1)
            raise ParameterError(
                "field", f"expected one of {known or 'none'}, got {step!r}; text: {self.text!r:.60}"
            )
        return found

    def __repr__(self) -> str:
        return (
            f"Confidence({self.text!r:.60}, probability={self.probability:.3g}, "
            f"margin={self.margin:.3g}, weakest={self.weakest:.3g})"
        )

    @cached_property
    def _inner(self) -> dict[tuple[Step, ...], Confidence]:
        data = self.text.encode()
        try:
            *inner, _ = value_spans(data)
        except ValueError:
            return {}
        return {
            span.steps: self._part(data, span)
            for span in sorted(inner, key=lambda span: (span.start, -span.end))
        }

    def _part(self, data: bytes, span: Span) -> Confidence:
        start, end = span.start, span.end
        # nothing inside a number tells that it ends: the token after it does
        is_number = data[start : start + 1] in b"-0123456789"
        return Confidence(
            data[start:end].decode(),
            tuple(
                decision._replace(start=decision.start - start, end=decision.end - start)
                for decision in self.decisions
                if decision.end > start
                and (decision.start < end or (is_number and decision.start == end))
            ),
        )
