from pathlib import Path

from support.command_reference import reference

PAGE = Path(__file__).parents[4] / "docs" / "reference" / "commands.md"


def test_the_page_of_commands_says_what_the_app_says():
    assert PAGE.read_text("utf-8") == reference(), "make it anew: see tests/support/command_reference.py"
