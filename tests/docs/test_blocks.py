"""Every code block of the documentation is what its language says, and every command is one that there is."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from airflow.cli import cli_parser

from airflow_mlops import ModelSpec
from airflow_mlops.cli import main
from airflow_mlops.cli.commands.command import Command, Group
from airflow_mlops.cli.commands.everything import everything
from airflow_mlops.domain.spec.problems import keys
from airflow_mlops.exceptions import SpecError

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
INDENTED = re.compile(r"^    (airflow[ -]mlops .*)$", re.MULTILINE)
INLINE = re.compile(r"`((?:airflow mlops|airflow-mlops) [^`]+)`")


class Block(NamedTuple):
    """A fenced block, and where it is."""

    page: str
    line: int
    language: str
    text: str
    mark: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(*languages: str) -> list[Block]:
    result = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in FENCE.finditer(text):
            before = text[: match.start()]
            mark = re.search(r"<!-- test: (\w+) -->\n\Z", before)
            indent = len(match[1])
            body = "".join(line[indent:] for line in match[3].splitlines(keepends=True))
            result.append(Block(page.name, before.count("\n") + 1, match[2], body, mark[1] if mark else ""))
    return [block for block in result if not languages or block.language in languages]


def test_every_block_says_its_language() -> None:
    assert {block.language for block in blocks()} == {
        "console",
        "dockerfile",
        "mermaid",
        "python",
        "text",
        "yaml",
    }


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_python_compiles(block: Block) -> None:
    ast.parse(block.text.replace("…", "..."))


def test_python_has_our_format(tmp_path: Path) -> None:
    for number, block in enumerate(blocks("python")):
        (tmp_path / f"{block.page}_{block.line}_{number}.py").write_text(block.text.replace("…", "..."))
    subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--check", "--isolated", "--line-length=110", tmp_path],
        check=True,
    )


@pytest.mark.parametrize("block", [block for block in blocks("yaml") if not block.mark], ids=str)
def test_yaml_is_a_part_of_a_spec_or_of_something_else(block: Block) -> None:
    values = yaml.safe_load(block.text)
    if not isinstance(values, dict) or not values.keys() <= keys(ModelSpec).keys():
        assert not block.text.startswith("name:")
        return
    reasons = []
    for task in ("classification", "regression"):
        base = {
            "name": "model", "task": task, "target": "y", "key": ["id"], "event_time": "at", "partition": "day",
            "source": {"files": "/data/{partition}.csv"},
        }  # fmt: skip
        try:
            ModelSpec.from_dict({**base, **values})
        except SpecError as error:
            reasons.append(str(error))
        else:
            return
    pytest.fail("\n".join(reasons))


def lines(block: Block) -> Iterator[str]:
    """Return the command lines of a block of console, each as one line and without remarks."""
    text = re.sub(r"\\\n\s*", "", block.text)
    for line in re.findall(r"^\$ (.*)$", text, re.MULTILINE):
        yield re.sub(r"\s+#.*$", "", line)


COMMANDS = [(str(block), line) for block in blocks("console") for line in lines(block)]
COMMANDS += [(page.name, line) for page in PAGES for line in INDENTED.findall(page.read_text())]
PROGRAMS = (
    "airflow",
    "airflow-mlops",
    "cat",
    "curl",
    "docker",
    "make",
    "pip",
    "pytest",
    "python",
    "python3",
    "source",
)


@pytest.fixture
def mlops(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """The program ``airflow-mlops``, which only keeps the arguments that it has parsed."""
    parsed: list[object] = []

    class Module:
        def __getattr__(self, name: str) -> object:
            return parsed.append

    monkeypatch.setattr(main, "import_module", lambda name: Module())
    yield parsed
    assert parsed


def words_of(line: str) -> list[str]:
    line = re.sub(r"\s+(?:#|[|>]).*$", "", line)
    words = shlex.split(line)
    while words and re.match(r"[A-Z_]+=", words[0]):
        words.pop(0)
    return words


OURS = [
    (place, line)
    for place, line in COMMANDS
    if words_of(line)[0] == "airflow-mlops" or words_of(line)[:2] == ["airflow", "mlops"]
]
OTHERS = [pair for pair in COMMANDS if pair not in OURS]


def test_there_are_commands() -> None:
    assert len(OURS) > 40
    assert len(OTHERS) > 20


@pytest.mark.parametrize(("place", "line"), OURS)
def test_a_command_of_ours_is_one_that_there_is(place: str, line: str, mlops: list[object]) -> None:
    words = words_of(line)
    main.main(words[1:] if words[0] == "airflow-mlops" else words[2:])


def test_a_command_that_there_is_not_fails(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main.main(["run", "spec.yaml", "--nowhere"])
    assert "--nowhere" in capsys.readouterr().err


@pytest.mark.parametrize(("place", "line"), OTHERS)
def test_another_command_is_one_that_there_is(place: str, line: str) -> None:
    program, *words = words_of(line)
    program = program.removeprefix("venv/bin/")
    assert program in PROGRAMS, place
    if program == "airflow":
        cli_parser.get_parser().parse_args(words)
    elif program == "make":
        assert re.search(rf"^{words[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    elif program in ("python", "python3") and words[0] == "-m":
        assert importlib.util.find_spec(words[1])


def names(group: Group, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], set[str]]]:
    """Return the flags of each command, by the words that name it."""
    for command in group.commands:
        words = (*above, command.name)
        if isinstance(command, Command):
            yield words, {flag for argument in command.arguments for flag in argument.flags}
        else:
            yield words, set()
            yield from names(command, words)


def test_commands_and_options_in_running_text_are_ones_that_there_are() -> None:
    flags = dict(names(everything()))
    for page in PAGES:
        for text in INLINE.findall(page.read_text(encoding="utf-8")):
            words = (
                " ".join(text.split()).removeprefix("airflow-mlops ").removeprefix("airflow mlops ").split()
            )
            command = tuple(words[:2]) if tuple(words[:2]) in flags else tuple(words[:1])
            if command[0].isupper() or command[0].startswith("-"):  # COMMAND, --version
                continue
            assert command in flags, f"{page.name}: {text}"
            named = set(re.findall(r"(?<=\s)--?[a-z][a-z-]*", text))
            assert named <= flags[command] | {"--help"}, f"{page.name}: {text}"
