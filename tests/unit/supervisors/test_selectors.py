import pytest
from support.sample_tree import sample_nodes, worker

from supervisors.selectors import SelectorError, check_selector, find, not_found, select, state_selectors
from supervisors.views import NodeState

NODES = sample_nodes()


def paths(*selectors: str) -> list[str]:
    return [node.path for node in select(NODES, selectors)]


@pytest.mark.parametrize(
    ("selector", "chosen"),
    [
        ("/io/gmail", ["/io/gmail"]),
        ("/io/gmail/", ["/io/gmail"]),
        ("/io/*", ["/io/gmail", "/io/browser", "/io/tts", "/io/stt", "/io/twilio", "/io/disk"]),
        ("/sys/**", ["/sys", "/sys/recorder", "/sys/scheduler", "/sys/watchdog"]),
        ("/work/task#?", ["/work/task#1", "/work/task#2", "/work/task#3"]),
        ("/*", ["/sys", "/io", "/agents", "/work"]),
        ("@restarting", ["/io/browser"]),
        ("@not-configured", ["/io/tts"]),
        ("@failed", ["/io/twilio", "/io/disk", "/work/task#3"]),
        ("@unhealthy", ["/io/browser", "/io/twilio", "/io/disk", "/work/task#3"]),
        ("@parked", []),
        ("/", ["/"]),
    ],
)
def test_a_selector_chooses_in_tree_order(selector, chosen):
    assert paths(selector) == chosen


def test_everything_is_chosen_by_two_stars():
    assert paths("/**") == [node.path for node in NODES]


def test_overlapping_selectors_choose_a_node_once():
    assert paths("/io/gmail", "/io/*", "/io/gmail").count("/io/gmail") == 1


@pytest.mark.parametrize("selector", ["", " ", "io/gmail", "/io//gmail", "@broken", "@", "*", "/a b", "/" + "x" * 65])
def test_a_malformed_selector_is_a_usage_error_with_a_hint(selector):
    with pytest.raises(SelectorError) as raised:
        check_selector(selector)

    assert raised.value.code == "usage"
    assert raised.value.hint


@pytest.mark.parametrize(
    ("selector", "hint"),
    [
        ("/io/gmial", "did you mean /io/gmail?"),
        ("/io/brwser", "did you mean /io/browser?"),
        ("/zzz", "there are /sys, /io, /agents, /work; see: actorctl ps"),
        ("/zzz/*", "there are /sys, /io, /agents, /work; see: actorctl ps"),
    ],
)
def test_a_selector_that_nothing_matches_names_what_is_near_or_what_there_is(selector, hint):
    with pytest.raises(SelectorError) as raised:
        paths(selector)

    assert (raised.value.code, raised.value.hint.split(" or ")[0].rstrip("?")) == ("not_found", hint.rstrip("?"))


def test_a_misspelt_path_among_a_hundred_thousand_is_found_among_its_siblings():
    nodes = [worker(f"/pool/a{number}") for number in range(100_000)] + [worker("/zoo/lion")]

    with pytest.raises(SelectorError) as raised:
        select(nodes, ["/zoo/loin"])

    assert raised.value.hint == "did you mean /zoo/lion?"


def test_one_missing_path_among_several_chooses_nothing():
    with pytest.raises(SelectorError, match="there is no actor at /nowhere"):
        paths("/io/gmail", "/nowhere")


@pytest.mark.parametrize("selector", ["/io/*", "@failed"])
def test_where_one_node_is_asked_for_a_glob_or_state_is_refused(selector):
    with pytest.raises(SelectorError, match="may select several"):
        find(NODES, selector)


def test_every_state_can_be_selected():
    assert {f"@{state.value}" for state in NodeState} < set(state_selectors())


def test_a_path_that_is_there_twice_is_suggested_once():
    assert not_found("/io/gmial", ["/io/gmail", "/io/gmail", "/io"]).hint == "did you mean /io/gmail?"
