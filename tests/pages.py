"""Run a page of the manual as the script that its code blocks make together.

    python -m tests.pages docs/scopes.md

What the fences of a page mean, in the order in which they stand there:

* ``python``: run, in one namespace a page. ``expression  # -> value`` is compared with the value's repr.
* a ``{code-block}`` with a ``:caption:``: written to a file of that name, whatever the language.
* ``toml`` without a caption: read as settings.
* ``console``: lines behind ``$ `` are run by the shell in the page's folder, the others are their output.
* ``output``: what was printed since the last such block. One that starts with ``Traceback`` means that
  the block before it ends in that error. Printing what the page does not show is an error too.

White space counts as in any text, so a long line may be wrapped; ``...`` stands for anything.
"""

from __future__ import annotations

import ast
import contextlib
import doctest
import io
import json
import linecache
import os
import re
import subprocess
import sys
import tempfile
import tokenize
import traceback
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,})(?P<info>.*)$")
KINDS = frozenset({"console", "output", "python", "toml"})
#: Directives of Sphinx that hold no code.
DIRECTIVES = frozenset({"eval-rst", "figure", "image", "include", "toctree"})
#: A server as the page's reader sees it, or several; they become real ones if the front matter says so.
SERVER_URL = re.compile(r"(postgresql|mysql|mariadb|mssql)(\+\w+)?://([\w.@:,-]+/\w+)")
#: Commands that bring the package to the reader's machine; here it is installed already.
INSTALLING = ("python3 -m venv", ". .venv/bin/activate", "pip install", "mkdir shop", "cd shop")
#: pytest-asyncio, where it is installed, says so in every project that has not set it.
QUIET = 'ignore:The configuration option "asyncio_default_fixture_loop_scope" is unset'
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class Mismatch(Exception):
    """A page does not do what it shows."""


@dataclass(frozen=True)
class Block:
    """One fence: what kind, its text, the line of the page where the text starts."""

    kind: str
    text: str
    line: int
    file: str | None = None


@dataclass
class Page:
    """A page's blocks and the servers that its front matter asks for.

    ``servers: postgres`` makes each URL of the page a database of its own on a real server.
    ``clusters: postgres`` makes the hosts that have a database of the same name the primary and the
    replicas of a cluster, in the order in which the page shows them.
    """

    path: Path
    blocks: list[Block] = field(default_factory=list)
    servers: list[str] = field(default_factory=list)
    clusters: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> Page:
        lines = path.read_text(encoding="utf-8").splitlines()
        page = cls(path)
        if lines and lines[0] == "---":
            matter = lines[1 : lines.index("---", 1)]
            page.servers, page.clusters = _listed(matter, "servers"), _listed(matter, "clusters")
        page.blocks = list(_fences(path, lines))
        return page

    def server_urls(self) -> list[str]:
        """Every server URL on the page, in order, each once."""
        text = "\n".join(block.text for block in self.blocks)
        return list(dict.fromkeys(match[0] for match in SERVER_URL.finditer(text)))


def _listed(matter: list[str], key: str) -> list[str]:
    named = [line.partition(":")[2] for line in matter if line.startswith(f"{key}:")]
    return " ".join(named).replace(",", " ").split()


def _fences(path: Path, lines: list[str]) -> Iterator[Block]:
    number = 0
    while number < len(lines):
        opening = FENCE.match(lines[number])
        number += 1
        if opening is None:
            continue
        start = number
        closing = re.compile(rf"^ *{opening['ticks']} *$")
        while not closing.match(lines[number]):
            number += 1
        body = [line.removeprefix(opening["indent"]) for line in lines[start:number]]
        number += 1
        info = opening["info"].strip()
        caption = None
        if info.startswith("{code-block}"):
            info = info.removeprefix("{code-block}").strip()
            while body and body[0].startswith(":"):
                key, _, value = body.pop(0)[1:].partition(":")
                caption = value.strip() if key == "caption" else caption
                start += 1
        if info.strip("{}").split(" ")[0].strip("}") in DIRECTIVES and info.startswith("{"):
            continue
        if info not in KINDS and caption is None:
            raise Mismatch(f"{path}:{start}: a {info or 'plain'!r} block, which no test checks")
        yield Block(info, "\n".join(body) + "\n", start + 1, caption)


class Run:
    """One run of a page, in the current folder."""

    def __init__(self, page: Page, urls: dict[str, str]) -> None:
        self.page = page
        self.urls = urls
        self.module = types.ModuleType("page")
        self.printed = ""
        self.error: str | None = None
        self.origin = 0

    def run(self) -> None:
        sys.modules["page"] = self.module
        sys.path.insert(0, str(Path.cwd()))
        steps: dict[str, Callable[[Block], None]] = {
            "python": self.python,
            "toml": self.toml,
            "console": self.console,
            "output": self.output,
        }
        for block in self.page.blocks:
            if block.kind != "output":
                self.nothing_pending()
            if block.file is not None:
                file = Path(block.file)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(self.real(block.text))
            else:
                steps[block.kind](block)
        self.nothing_pending()

    def python(self, block: Block) -> None:
        name = str(self.page.path)
        source = self.real(block.text)
        tree = _Shown(source, block.line).visit(ast.parse(source, name))
        ast.increment_lineno(ast.fix_missing_locations(tree), block.line - 1)
        self.module.__dict__["__shown__"] = self.shown
        # The lines of the page as they run, so that a traceback shows them.
        linecache.checkcache(name)
        printed = io.StringIO()
        self.origin = block.line
        try:
            with contextlib.redirect_stdout(printed):
                exec(compile(tree, name, "exec"), self.module.__dict__)
        except Mismatch:
            raise
        except Exception as error:
            self.error = traceback.format_exc()
            frames = traceback.extract_tb(error.__traceback__)
            stopped = next((frame.lineno for frame in frames if frame.filename == name), None)
            if stopped is not None and stopped < tree.body[-1].lineno:
                raise Mismatch(f"{name}:{stopped}: the rest of the block never runs\n{self.error}") from None
            printed.write("".join(traceback.format_exception_only(error)))
        self.printed += printed.getvalue()

    def shown(self, value: Any, expected: str, line: int) -> None:
        self.compare(expected, repr(value), line)

    def toml(self, block: Block) -> None:
        from peewee_multidb import Databases

        file = Path("page.toml")
        file.write_text(self.real(block.text))
        Databases().load(file)

    def console(self, block: Block) -> None:
        expected: list[str] = []
        command = None
        for offset, line in enumerate([*block.text.splitlines(), "$ :"]):
            if not line.startswith("$ "):
                expected.append(line)
                continue
            if command is not None:
                self.command(command, "\n".join(expected), block.line + offset - len(expected) - 1)
            command, expected = line.removeprefix("$ "), []

    def command(self, command: str, expected: str, line: int) -> None:
        if command.startswith(INSTALLING):
            return
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        done = subprocess.run(
            self.real(command),
            shell=True,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PATH": path, "COLUMNS": "80", "PYTHONWARNINGS": QUIET},
        )
        failed = done.returncode != 0 and "Traceback" not in expected
        if failed:
            raise Mismatch(f"{self.page.path}:{line}: exit code {done.returncode}\n{done.stdout}")
        self.compare(expected, done.stdout, line)

    def output(self, block: Block) -> None:
        expected, printed = block.text, self.printed
        head = "Traceback (most recent call last):"
        if expected.startswith(head):
            expected = expected.removeprefix(head).lstrip().removeprefix("...\n")
            if self.error is None:
                raise Mismatch(f"{self.page.path}:{block.line}: no error was raised; printed:\n{printed}")
        elif self.error is not None:
            raise Mismatch(f"{self.page.path}:{block.line}: {self.error}")
        self.compare(expected, printed, block.line)
        self.printed, self.error = "", None

    def nothing_pending(self) -> None:
        if self.error is not None:
            raise Mismatch(self.error)
        if self.printed:
            where = f"{self.page.path}:{self.origin}"
            raise Mismatch(f"{where}: prints what the page does not show:\n{self.printed}")

    def compare(self, expected: str, got: str, line: int) -> None:
        for shown, real in self.urls.items():
            got = got.replace(real, shown)
        if not doctest.OutputChecker().check_output(expected.strip() + "\n", got.strip() + "\n", FLAGS):
            raise Mismatch(f"{self.page.path}:{line}: the page shows\n\n{expected}\n\nbut it is\n\n{got}")

    def real(self, text: str) -> str:
        return SERVER_URL.sub(lambda match: self.urls.get(match[0], match[0]), text)


class _Shown(ast.NodeTransformer):
    """Turns ``expression  # -> value`` into a comparison."""

    def __init__(self, source: str, line: int) -> None:
        self.line = line
        self.values: dict[int, str] = {}
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT and token.string.startswith("# -> "):
                self.values[token.start[0]] = token.string.removeprefix("# -> ")

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        expected = self.values.pop(node.end_lineno or 0, None)
        if expected is None:
            return node
        where = ast.Constant(self.line + node.lineno - 1)
        call = ast.Call(ast.Name("__shown__", ast.Load()), [node.value, ast.Constant(expected), where], [])
        return ast.copy_location(ast.Expr(ast.copy_location(call, node)), node)

    def visit_Module(self, node: ast.Module) -> ast.AST:
        self.generic_visit(node)
        if self.values:
            line, value = min(self.values.items())
            raise Mismatch(f"line {self.line + line - 1}: '# -> {value}' stands at no expression")
        return node


def run_apart(path: Path, urls: dict[str, str], folder: Path) -> str:
    """Run a page in a process of its own, in a folder; return what went wrong, or nothing."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("MULTIDB_")}
    root = str(Path(__file__).resolve().parent.parent)
    strictly = [sys.executable, "-X", "dev", "-W", "error"]
    done = subprocess.run(
        [*strictly, "-m", "tests.pages", str(path.resolve()), json.dumps(urls)],
        cwd=folder,
        env={**env, "PYTHONPATH": root, "PYTHONIOENCODING": "utf-8"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.stdout if done.returncode else ""


def main() -> int:
    path = Path(sys.argv[1]).resolve()
    urls = json.loads(sys.argv[2]) if len(sys.argv) > 2 else {}
    folder = None if len(sys.argv) > 2 else tempfile.TemporaryDirectory()
    if folder is not None:
        os.chdir(folder.name)
    try:
        Run(Page.read(path), urls).run()
    except Mismatch as error:
        print(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
