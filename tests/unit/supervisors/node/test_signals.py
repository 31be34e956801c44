"""Signals climb the ladder drain, hurry, kill; a command to drain is its first rung."""

from __future__ import annotations

import os
import signal

import pytest

from supervisors.node.signals import KILLED_EXIT, StopRequest, StopRequests

DRAIN, HURRY = StopRequest.DRAIN, StopRequest.HURRY


@pytest.fixture
def died(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    return codes


def taken(requests: StopRequests) -> list[StopRequest | None]:
    found = []
    while (request := requests.take(timeout=0.0)) is not None:
        found.append(request)
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_drains_the_second_hurries_the_third_kills(died, number):
    with StopRequests() as requests:
        for _ in range(2):
            signal.raise_signal(number)
        assert died == []
        signal.raise_signal(number)

        assert taken(requests)[:2] == [DRAIN, HURRY]
        assert died == [KILLED_EXIT]


def test_after_a_command_to_drain_the_first_signal_hurries_and_the_second_kills(died):
    with StopRequests() as requests:
        requests.ask_to_drain()
        requests.ask_to_drain()
        signal.raise_signal(signal.SIGINT)
        assert taken(requests) == [DRAIN, DRAIN, HURRY]
        assert died == []
        signal.raise_signal(signal.SIGINT)

        assert died == [KILLED_EXIT]


def test_a_command_to_drain_after_a_signal_brings_the_next_signal_no_nearer_to_killing(died):
    with StopRequests() as requests:
        signal.raise_signal(signal.SIGINT)
        requests.ask_to_drain()
        signal.raise_signal(signal.SIGINT)

        assert taken(requests) == [DRAIN, DRAIN, HURRY]
        assert died == []


def test_the_handlers_of_before_are_put_back():
    before = signal.getsignal(signal.SIGTERM)

    with StopRequests():
        assert signal.getsignal(signal.SIGTERM) != before

    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no such signal")
def test_hup_asks_to_reload_unless_the_terminal_is_gone(died, monkeypatch):
    with StopRequests() as requests:
        signal.raise_signal(signal.SIGHUP)
        monkeypatch.setattr(requests, "_had_terminal", True)
        monkeypatch.setattr("supervisors.node.signals._has_terminal", lambda: False)
        signal.raise_signal(signal.SIGHUP)

        assert taken(requests) == [StopRequest.RELOAD, DRAIN]
    assert died == []
