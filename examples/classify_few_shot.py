"""Sort news headlines into sections, with eight worked examples and `select`.

Every headline is read behind the same worked examples, so their tokens are evaluated once for the
whole batch. `select` compares how likely each label is as the continuation; it cannot answer
anything else.

    python examples/classify_few_shot.py
    treegram run examples/classify_few_shot.py:classify --arg headline="Rain delays the final"
"""

from __future__ import annotations

import sys

import treegram as tg

SECTIONS = ["sport", "business", "science", "food"]

EXAMPLES = [
    ("United score twice in the last minute to win the cup", "sport"),
    ("Bank raises interest rates to slow inflation", "business"),
    ("Telescope finds water in the air of a distant planet", "science"),
    ("How to bake sourdough bread without an oven", "food"),
    ("Injured striker will miss the rest of the season", "sport"),
    ("Carmaker's profit falls as steel prices rise", "business"),
    ("Fossil of a feathered dinosaur found in a quarry", "science"),
    ("Ten soups that use up your winter vegetables", "food"),
]

HEADLINES = [
    ("Sprinter breaks her own 200 metres record in Zurich", "sport"),
    ("Coach resigns after fifth defeat in a row", "sport"),
    ("Home team loses final on penalties", "sport"),
    ("Cyclist in yellow keeps his lead in the mountains", "sport"),
    ("Tennis champion withdraws with a sore knee", "sport"),
    ("Airline to cut 3,000 jobs as fuel costs climb", "business"),
    ("Shares slide after chip maker warns on sales", "business"),
    ("Two supermarket chains agree to merge", "business"),
    ("Start-up raises 40 million dollars from investors", "business"),
    ("Oil price drops to its lowest in two years", "business"),
    ("Gene therapy restores hearing in mice", "science"),
    ("Probe sends first pictures of an asteroid's surface", "science"),
    ("Physicists measure the lifetime of the neutron", "science"),
    ("New species of frog discovered in Madagascar", "science"),
    ("Ice cores show how the climate changed 5,000 years ago", "science"),
    ("A lemon cake that needs only five ingredients", "food"),
    ("Why you should salt the pasta water", "food"),
    ("The best way to roast a chicken", "food"),
    ("Chef shares his recipe for onion soup", "food"),
    ("Make your own yoghurt in a warm jar overnight", "food"),
]


@tg.function
def classify(s: tg.State, headline: str) -> None:
    """The newspaper section that a headline belongs in."""
    s += f"Sort each headline into a section of the newspaper: {', '.join(SECTIONS)}.\n\n"
    for text, section in EXAMPLES:
        s += f"Headline: {text}\nSection: {section}\n\n"
    s += f"Headline: {headline}\nSection: " + tg.select("section", SECTIONS)


def main() -> int:
    """Classifies the headlines and compares with their labels; the exit status is 0."""
    states = classify.run_batch([headline for headline, _ in HEADLINES])

    right = 0
    for (headline, label), state in zip(HEADLINES, states, strict=True):
        answer = state["section"]
        right += answer == label
        remark = "" if answer == label else f"  (labelled {label})"
        print(f"{headline:<56} {answer}{remark}")

    usage = sum((state.usage for state in states), tg.Usage())
    print()
    print(f"accuracy  {right} of {len(states)}")
    print(
        f"cache     {usage.cached_tokens} of {usage.prompt_tokens} prompt tokens "
        f"({usage.cached_tokens / usage.prompt_tokens:.1%}) were not evaluated again"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
