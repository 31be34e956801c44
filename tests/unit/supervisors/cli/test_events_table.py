"""The one line of an event that has no text of its own."""

import pytest

from actors.events import ActorExited
from actors.exits import ExitReason, to_record
from supervisors.cli.events_table import event_text
from supervisors.views import TopicView, instant


def event(**data: object) -> TopicView:
    return TopicView(seq=1, topic_seq=1, epoch="1", at=instant(0.0), topic="actor.exit", path="/a", data=data)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"uptime": 1.5, "why": "", "state": None}, "uptime=1.5"),
        ({"count": 0, "expected": False}, "count=0 expected=False"),
        ({"reason": {"kind": "crashed", "crash": {"type_name": "ValueError"}}}, "reason=crashed:ValueError"),
        ({"group": ["/a", "/b"], "limits": {}}, "group=['/a', '/b'] limits={}"),
    ],
)
def test_what_has_a_value_is_shown(data, text):
    assert event_text(event(**data)) == text


def test_the_exit_of_an_actor_as_a_tap_tells_it():
    reason = to_record(ExitReason.crashed(ValueError("boom")))

    said = event_text(event(reason={"kind": reason.kind, "crash": {"type_name": reason.crash.type_name}}, uptime=2.0))

    assert said == "reason=crashed:builtins.ValueError uptime=2"
    assert ActorExited.TOPIC == "actor.exit"
