"""`why --at`: why a node was in its state, from the history."""

from __future__ import annotations

from supervisors.cli.calling import Call
from supervisors.cli.past import Asked, at_or_below, past_of
from supervisors.past.causes import explain_past
from supervisors.views import WhyView


def why_past(call: Call, path: str, text: str) -> WhyView:
    """Return why the node at `path` was in its state.

    Raises:
        CommandError: As `past_of`.
        SelectorError: There was no such node.
    """
    asked = Asked(call)
    past = past_of(call, text, asked=asked)
    at_or_below(past.nodes, path, 0)  # refuses a path that nothing was at
    return explain_past(asked, past, path)
