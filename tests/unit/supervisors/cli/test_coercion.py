from enum import Enum
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from supervisors.cli.calling import ActorctlCommand, Call, Panel, command
from supervisors.cli.coercion import LightParam


class Size(Enum):
    """A choice."""

    SMALL = "small"
    LARGE = "large"


def app_with() -> tuple[typer.Typer, list[dict[str, object]]]:
    app = typer.Typer()
    seen: list[dict[str, object]] = []

    @command(app, "try", panel=Panel.ABOUT, is_local=True, examples=("try",))
    def attempt(
        call: Call,
        words: Annotated[list[str] | None, typer.Argument()] = None,
        count: Annotated[int, typer.Option("--count", min=1, max=9)] = 1,
        ratio: Annotated[float | None, typer.Option("--ratio")] = None,
        size: Annotated[Size, typer.Option("--size")] = Size.SMALL,
        wait: Annotated[bool, typer.Option("--wait/--no-wait")] = True,
        length: Annotated[int | None, typer.Option("--length", parser=len)] = None,
    ) -> None:
        """Try it."""
        seen.append({"words": words, "count": count, "ratio": ratio, "size": size, "wait": wait, "length": length})

    return app, seen


def test_values_come_typed_and_defaults_stay():
    app, seen = app_with()

    result = CliRunner().invoke(
        app, ["a", "b", "--count", "3", "--ratio", "0.5", "--size", "large", "--no-wait", "--length", "four"]
    )
    CliRunner().invoke(app, [])

    assert result.exit_code == 0, result.output
    assert seen == [
        {"words": ["a", "b"], "count": 3, "ratio": 0.5, "size": Size.LARGE, "wait": False, "length": 4},
        {"words": None, "count": 1, "ratio": None, "size": Size.SMALL, "wait": True, "length": None},
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--count", "x"], "'x' is no whole number"),
        (["--count", "1.5"], "'1.5' is no whole number"),
        (["--count", "0"], "0 is not between 1 and 9"),
        (["--count", "10"], "10 is not between 1 and 9"),
        (["--ratio", "half"], "'half' is no number"),
        (["--size", "larg"], "did you mean large?"),
        (["--size", "x"], "small, large"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_in_words(arguments, message):
    app, seen = app_with()

    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"})

    assert result.exit_code == 2
    assert message in result.output
    assert seen == []


def test_every_parameter_of_every_command_is_read_without_pydantic():
    from supervisors.cli.main import all_commands, make_group

    group = make_group()
    for _, found in all_commands():
        assert isinstance(found, ActorctlCommand)
        for param in [*found.params, *group.params]:
            assert isinstance(param._runtime_param, LightParam), param.name
