"""Questions about data, each with a guess and its reason, answered by flags, by a person, or by the guesses."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_mlops.domain.counts import counted
from airflow_mlops.exceptions import SettingRefused

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_mlops.stages.init.guesses import Guess
    from airflow_mlops.stages.init.inputs import Input
    from airflow_mlops.stages.init.look import Look
    from airflow_mlops.stages.init.plan import Answers

T = TypeVar("T")

NONE = "none"
"""The answer that there is no such column."""


class Questions:
    """Ask what flags leave open.

    :param takes_guesses: whether guesses are taken without asking.
    :param asks: whether there is a person to ask.
    """

    def __init__(self, *, takes_guesses: bool, asks: bool) -> None:
        self._takes_guesses = takes_guesses
        self._asks = asks and not takes_guesses
        self._open: list[str] = []
        self.reasons: dict[str, str] = {}

    def answer(
        self,
        key: str,
        flag: str,
        question: str,
        flag_value: str | None,
        guess: Guess | None,
        read: Callable[[str], T],
        missing: str = "",
    ) -> T:
        """Return an answer.

        :param key: of the spec, under which the reason of a guess is kept.
        :param flag_value: value of the flag; None if it was left out.
        :param read: returns the answer that a text is; it refuses wrong ones.
        :param missing: what to say if there is neither an answer nor a guess.
        :raises SettingRefused: if the flag has a wrong value, or there is no guess and nobody to ask.
        """
        if flag_value is not None:
            return read(flag_value)
        if self._asks:
            return self._ask(key, question, guess, read)
        if guess is None:
            raise SettingRefused(missing or f"nothing tells {question.lower()}: give {flag}")
        if not self._takes_guesses:
            self._open.append(f"{flag} ({guess.value}: {guess.reason})")
        self.reasons[key] = guess.reason
        return read(guess.value)

    def refuse_open(self) -> None:
        """Refuse what was neither said nor can be asked.

        :raises SettingRefused: naming the flags, each with its guess.
        """
        if self._open:
            raise SettingRefused(
                f"nobody can be asked here; take the guesses with --yes, or give {', '.join(self._open)}"
            )

    def _ask(self, key: str, question: str, guess: Guess | None, read: Callable[[str], T]) -> T:
        if guess is not None:
            print(f"{question} {guess.value}: {guess.reason}")
        while True:
            prompt = f"  [{guess.value}] " if guess is not None else f"{question} "
            try:
                text = input(prompt).strip()
            except EOFError:
                raise SettingRefused("no answer; flags answer too, and --yes takes the guesses") from None
            if not text and guess is None:
                continue
            try:
                answer = read(text or guess.value)  # type: ignore[union-attr]
            except SettingRefused as error:
                print(f"  {error}")
                continue
            if guess is not None and text in ("", guess.value):
                self.reasons[key] = guess.reason
            return answer


def answers(args: Namespace, data: Input, look: Look, name: str) -> tuple[Answers, dict[str, str]]:
    """Return what a person wants, and why the guesses that were taken are likely.

    :raises SettingRefused: if an answer does not suit the data, or is missing and nobody can be asked.
    """
    from airflow_mlops.domain.calendars import Grain
    from airflow_mlops.stages.init import guesses
    from airflow_mlops.stages.init.guesses import Guess
    from airflow_mlops.stages.init.plan import Answers

    questions = Questions(takes_guesses=args.yes, asks=sys.stdin.isatty())
    target = questions.answer(
        "target", "--target", "What is predicted?", args.target, guesses.target(look), _column(look, "target")
    )
    time, as_of = _time(args, questions, data, look, target)
    key = questions.answer(
        "key",
        "--key",
        "What identifies a row?",
        args.key,
        _key_guess(data, look, target, time),
        _key(look, target),
    )
    if data.named is not None:
        if args.partition and args.partition != data.named.grain:
            raise SettingRefused(
                f"the names of the files hold a {data.named.grain} each; leave out --partition {args.partition}"
            )
        grain = data.named.grain
        questions.reasons["partition"] = "as the names of the files hold it"
    elif time is None:
        grain = Grain(args.partition or Grain.DAY)
    else:
        guess = guesses.grain(look.columns[time])
        question = "How long is a partition?"
        grain = questions.answer("partition", "--partition", question, args.partition, guess, _grain)
    late = Guess("P0D", "the latest rows have a label")
    if time is not None and look.columns[target].missing:
        late = guesses.delay(look.columns[target], *_ends(data, target, time))
    if time is None and args.label_delay is None:
        delay = late.value
    else:
        question = "How long until the target of a row is known?"
        delay = questions.answer("labels", "--label-delay", question, args.label_delay, late, _duration)
    questions.refuse_open()
    return Answers(name, target, key, time, grain, delay, as_of), questions.reasons


def _time(
    args: Namespace, questions: Questions, data: Input, look: Look, target: str
) -> tuple[str | None, datetime | None]:
    """Return the event time, or when rows hold that have none; neither if the names of their files tell it."""
    from airflow_mlops.stages.init import guesses, plan

    if args.as_of is not None:
        if args.time not in (None, NONE):
            raise SettingRefused("--time and --as-of exclude each other: rows have a time, or they have none")
        return None, plan.moment(args.as_of)
    guess = guesses.time(look, {target})
    if guess is None and data.named is not None and args.time in (None, NONE):
        return None, None
    if guess is None or args.time == NONE:
        what = "" if guess is not None else _no_time(data, look, target)
        missing = f"{what}--as-of 2024-01-31, the day that the rows hold for, makes one partition of them"
        if args.time not in (None, NONE):
            return _event_time(look, target)(args.time), None
        question = f"{data.name} has no column of times. For which day do its rows hold, such as 2024-01-31?"
        return None, questions.answer("event_time", "--as-of", question, None, None, plan.moment, missing)
    question = "What is the time of a row?"
    read = _event_time(look, target)
    return questions.answer("event_time", "--time", question, args.time, guess, read), None


def _no_time(data: Input, look: Look, target: str) -> str:
    """Say why no column is taken for the event time: there is none, or one only with times that are not likely to be real."""
    from airflow_mlops.stages.init import guesses

    unlikely = guesses.times(look, {target}, is_named=True)
    if not unlikely:
        return f"{data.name} has no column with a time in each row, and none is invented: "
    hours = look.columns[unlikely[0]].hours
    return (
        f"{data.name} has times from {min(hours):%Y-%m-%d} to {max(hours):%Y-%m-%d} in {unlikely[0]!r}, which are not taken for event "
        f"times unasked: correct them, or name it with --time {unlikely[0]}; or "
    )


def _column(look: Look, what: str) -> Callable[[str], str]:
    from airflow_mlops.stages.init import column_names

    def read(text: str) -> str:
        if text in look.columns:
            return text
        near = column_names.nearest(text, look.columns)
        hint = f"did you mean {near!r}?" if near else f"there are {', '.join(look.columns)}"
        raise SettingRefused(f"{what}: there is no column {text!r}; {hint}")

    return read


def _event_time(look: Look, target: str) -> Callable[[str], str]:
    from airflow_mlops.stages.init import guesses

    def read(text: str) -> str:
        name = _column(look, "time")(text)
        column = look.columns[name]
        if name in guesses.times(look, {target}, is_named=True):
            return name
        if name == target:
            raise SettingRefused(f"time: {name!r} is the target")
        if not column.hours:
            raise SettingRefused(f"time: {name!r} holds {guesses.describe(column)}, and no times")
        without = column.rows - sum(column.hours.values())
        raise SettingRefused(f"time: {without:,} of {column.rows:,} rows have no {name!r}; correct them")

    return read


def _key(look: Look, target: str) -> Callable[[str], tuple[str, ...]]:
    def read(text: str) -> tuple[str, ...]:
        if text == NONE and NONE not in look.columns:
            return ()
        names = [text] if text in look.columns else [part.strip() for part in text.split(",")]
        columns = tuple(dict.fromkeys(map(_column(look, "key"), names)))
        if target in columns:
            raise SettingRefused(f"key: {target!r} is the target, which is unknown when a row is scored")
        if lacking := [name for name in columns if look.columns[name].missing]:
            raise SettingRefused(
                f"key: some rows have no {lacking[0]!r}; name columns that all rows have, or {NONE}"
            )
        return columns

    return read


def _key_guess(data: Input, look: Look, target: str, time: str | None) -> Guess:
    from airflow_mlops.stages.init import guesses, rows
    from airflow_mlops.stages.init.guesses import Guess

    for guess in guesses.keys(look, target, time):
        # The sample is only a part of many rows.
        if look.sample.num_rows == look.rows or not rows.repeated(data.read(), guess.columns).later:
            near = _near_key(data, look, target) if len(guess.columns) > 1 else ""
            return Guess(",".join(guess.columns), guess.reason + near)
    reason = "no column tells rows apart; a digest of the row does"
    return Guess(NONE, reason + _near_key(data, look, target))


def _near_key(data: Input, look: Look, target: str) -> str:
    """Say which column tells most rows apart, and how many it does not; "" if there is none that is called like a key."""
    from airflow_mlops.stages.init import guesses, rows

    near = guesses.near_key(look, target)
    later = rows.repeated(data.read(), [near]).later if near is not None else ()
    if not later:
        return ""
    return f"; {near!r} alone nearly tells rows apart: {counted(len(later), 'row repeats', 'rows repeat')} that of an earlier one"


def _grain(text: str) -> Any:
    from airflow_mlops.domain.calendars import Grain

    if text not in set(Grain):
        raise SettingRefused(f"partition: one of {', '.join(Grain)}, not {text!r}")
    return Grain(text)


def _duration(text: str) -> str:
    from pydantic import TypeAdapter, ValidationError

    from airflow_mlops.domain.spec.fields import Duration

    try:
        TypeAdapter(Duration).validate_python(text)
    except ValidationError as error:
        why = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise SettingRefused(f"label delay: {why}") from None
    return text


def _ends(data: Input, target: str, time: str) -> tuple[datetime | None, datetime]:
    """Return the time of the latest row with a label, and of the latest row."""
    import pyarrow.compute as pc

    from airflow_mlops.stages.init.look import in_utc, plain

    labelled, latest = [], []
    for batch in data.read():
        rows = in_utc(plain(batch.select([time, target])), [time])
        labelled.append(pc.max(rows.filter(rows[target].is_valid())[time]).as_py())
        latest.append(pc.max(rows[time]).as_py())
    return max(filter(None, labelled), default=None), max(filter(None, latest))
