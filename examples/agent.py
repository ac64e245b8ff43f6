"""A shop assistant that calls tools: a price list, a calculator, and `finish`.

Each turn the model writes one call, which a regular expression keeps well-formed, and reads its
result. The conversation only grows, so each turn evaluates just the latest result; the cache keeps
everything before it.

    python examples/agent.py
    treegram run examples/agent.py:answer --arg question="What do 5 ladders cost?" --stream
"""

from __future__ import annotations

import ast
import operator
import sys

import treegram as tg

PRICES = {"hammer": 12.50, "saw": 18.00, "ladder": 64.00, "rope": 7.25, "kettle": 30.00}
MAX_STEPS = 5

QUESTIONS = [
    "What do 3 hammers cost?",
    "What do 12 kettles cost?",
    "What do 2 violins cost?",
    "What is 1024 / 16?",
]

CALL = (
    r'price\("[a-z ]{1,20}"\)'
    r'|calculate\("[0-9 .*/+-]{1,30}"\)'
    r'|finish\("[A-Za-z0-9 .]{1,30}"\)'
)

EXAMPLES = """\
Answer each question about the shop by calling tools.

Question: What do 2 lamps cost?
Call: price("lamp")
Result: 15.00 each
Call: calculate("2 * 15.00")
Result: 30.00
Call: finish("30.00")

Question: What do 4 pianos cost?
Call: price("piano")
Result: not sold here
Call: finish("not sold here")

Question: What is 17 + 26?
Call: calculate("17 + 26")
Result: 43.00
Call: finish("43.00")

Question: What do 7 brushes cost?
Call: price("brush")
Result: 3.20 each
Call: calculate("7 * 3.20")
Result: 22.40
Call: finish("22.40")

Question: What do 6 cars cost?
Call: price("car")
Result: not sold here
Call: finish("not sold here")

Question: What do 3 spades cost?
Call: price("spade")
Result: 21.50 each
Call: calculate("3 * 21.50")
Result: 64.50
Call: finish("64.50")

"""


@tg.function
def answer(s: tg.State, question: str) -> None:
    """Answers a question about the shop's prices with the help of tools."""
    s += f"{EXAMPLES}Question: {question}\n"
    for step in range(1, MAX_STEPS + 1):
        s += "Call: " + tg.gen(f"call{step}", regex=CALL, max_tokens=40) + "\n"
        tool, argument = s[f"call{step}"].removesuffix('")').split('("')
        if tool == "finish":
            s["answer"] = argument
            return
        s[f"result{step}"] = price(argument) if tool == "price" else calculate(argument)
        s += f"Result: {s[f'result{step}']}\n"
    s["answer"] = f"no answer in {MAX_STEPS} steps"


def price(item: str) -> str:
    """The price of one `item`, or that there is none."""
    return f"{PRICES[item]:.2f} each" if item in PRICES else "not sold here"


OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def calculate(expression: str) -> str:
    """The value of an arithmetic expression of numbers, + - * and /, or what is wrong with it."""
    try:
        return f"{_value(ast.parse(expression.strip(), mode='eval').body):.2f}"
    except (ArithmeticError, SyntaxError, ValueError) as error:
        return f"cannot calculate that: {error}"


def _value(node: ast.expr) -> float:
    match node:
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            result: float = OPERATORS[type(op)](_value(left), _value(right))
            return result
    raise ValueError("expected numbers, + - * and /")


def main() -> int:
    """Answers the questions and prints every step; the exit status is 0."""
    for question in QUESTIONS:
        state = answer.run(question)
        print(question)
        for name in state.names():
            print(f"  {name:<8} {state[name]}")
        usage = state.usage
        print(f"  [{usage.cached_tokens} of {usage.prompt_tokens} prompt tokens cached]\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
