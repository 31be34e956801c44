"""Specs: OTP's defaults, filled in when a spec is made; nothing unknown is swallowed."""

from __future__ import annotations

import msgspec
import pytest
from support.supervision import child, make, supervisor

from supervisors.specs import (
    AutoShutdown,
    ChildSpec,
    ChildType,
    ImportStart,
    LocalStart,
    OnLimit,
    Restart,
    Strategy,
    SupervisorSpec,
)


@pytest.mark.parametrize(
    ("field", "default"),
    [
        ("strategy", Strategy.ONE_FOR_ONE),
        ("intensity", 1),
        ("period", 5.0),
        ("auto_shutdown", AutoShutdown.NEVER),
        ("on_limit", OnLimit.ESCALATE),
        ("max_children", None),
        ("children", ()),
    ],
)
def test_a_supervisor_spec_has_the_defaults_of_otp(field: str, default: object):
    assert getattr(SupervisorSpec(), field) == default


@pytest.mark.parametrize(
    ("field", "default"),
    [
        ("restart", Restart.PERMANENT),
        ("type", ChildType.WORKER),
        ("shutdown", 5.0),
        ("significant", False),
        ("start_timeout", 30.0),
        ("budget", None),
        ("restart_on_gave_up", False),
        ("needs", ()),
    ],
)
def test_a_workers_spec_has_the_defaults_of_otp(field: str, default: object):
    assert getattr(ChildSpec("w", LocalStart(make)), field) == default


def test_the_default_backoff_is_none_at_all():
    assert ChildSpec("w", LocalStart(make)).backoff.first == 0


def test_a_supervisor_as_child_is_waited_for_without_limit_both_ways():
    spec = ChildSpec("s", SupervisorSpec())

    assert spec.type is ChildType.SUPERVISOR
    assert spec.shutdown == "infinity"
    assert spec.start_timeout is None


def test_a_worker_declared_to_be_a_supervisor_gets_a_supervisors_defaults():
    spec = ChildSpec("s", ImportStart("app.tree:Top"), type=ChildType.SUPERVISOR)

    assert spec.shutdown == "infinity"
    assert spec.start_timeout is None


@pytest.mark.parametrize("shutdown", [0, 0.5, 60, "infinity", "brutal_kill"])
def test_a_shutdown_that_is_given_stays(shutdown: object):
    assert child("w", shutdown=shutdown).shutdown == shutdown


def test_no_limit_for_the_start_can_be_given():
    assert child("w", start_timeout=None).start_timeout is None


def test_an_unknown_field_is_refused_where_it_is_written():
    with pytest.raises(TypeError, match="restrat"):
        ChildSpec("w", LocalStart(make), restrat=Restart.PERMANENT)  # type: ignore[call-arg]


@pytest.mark.parametrize("missing", [(), ("w",)])
def test_id_and_start_are_mandatory(missing: tuple[str, ...]):
    with pytest.raises(TypeError):
        ChildSpec(*missing)  # type: ignore[call-arg]


def test_a_spec_cannot_be_changed():
    with pytest.raises(AttributeError):
        child("w").restart = Restart.TEMPORARY  # type: ignore[misc]


def test_a_changed_copy_keeps_what_was_filled_in():
    spec = msgspec.structs.replace(child("w", shutdown=7.0), restart=Restart.TRANSIENT)

    assert (spec.shutdown, spec.start_timeout, spec.type) == (7.0, 30.0, ChildType.WORKER)


def test_trees_compare_by_value():
    assert supervisor(child("a"), child("b")) == supervisor(child("a"), child("b"))
    assert supervisor(child("a")) != supervisor(child("a", shutdown=1.0))
