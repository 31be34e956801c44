import json
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from support.sample_tree import sample_header, sample_nodes, sample_tree, supervisor, worker

from supervisors.requests import COMMANDS
from supervisors.views import TreeView, from_wire, instant, to_wire
from supervisors.views.documents import DOCUMENTS, document, plain, schema


def test_a_tree_comes_back_from_the_wire_as_it_was_sent():
    sent = sample_tree()

    assert from_wire(json.loads(json.dumps(to_wire(sent))), TreeView) == sent


def test_a_field_at_its_default_is_left_out_on_the_wire_and_written_in_documents():
    node = worker("/a")

    assert "attempt" not in to_wire(node)
    assert plain(node)["attempt"] == 0
    assert list(plain(node)) == list(node.__struct_fields__)


def test_unknown_fields_of_a_newer_node_are_ignored():
    wire = to_wire(sample_tree())
    wire["header"]["of_tomorrow"] = 1

    assert from_wire(wire, TreeView) == sample_tree()


def test_a_flat_tree_is_nested_in_start_order():
    root = sample_tree().nested()

    assert [child.path for child in root.children] == ["/sys", "/io", "/agents", "/work"]
    assert [child.path for child in root.children[1].children][:2] == ["/io/gmail", "/io/browser"]


def test_a_part_of_a_tree_is_nested_under_its_own_root():
    part = TreeView(header=sample_header(), nodes=tuple(n for n in sample_nodes() if n.path.startswith("/io")))

    assert part.nested().path == "/io"
    assert len(part.nested().children) == 6


@pytest.mark.parametrize("nodes", [(), (worker("/a"), worker("/b")), (supervisor("/x", 0, 0), worker("/y/z"))])
def test_what_is_no_tree_is_refused(nodes):
    with pytest.raises(ValueError, match="no tree"):
        TreeView(header=sample_header(), nodes=nodes).nested()


def test_a_deep_tree_is_nested_without_recursion():
    path, nodes = "", [supervisor("/", 0, 0)]
    for _ in range(400):
        path += "/a"
        nodes.append(supervisor(path, 0, 0))

    assert TreeView(header=sample_header(), nodes=tuple(nodes)).nested().path == "/"


def test_instants_are_aware_and_utc():
    assert instant(0.0) == datetime(1970, 1, 1, tzinfo=UTC)
    assert instant(None) is None


def test_json_gets_no_nan_and_text_for_what_it_does_not_know():
    value = {"nan": float("nan"), "at": datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=1))), "odd": object}

    found = plain(value)

    assert found["nan"] is None
    assert found["at"] == "2026-01-01T00:00:00+01:00"
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_every_document_has_a_schema_that_is_json(kind):
    found = json.loads(json.dumps(schema(kind)))

    assert found["title"] == kind
    assert found["$ref"].removeprefix("#/$defs/") in found["$defs"]


def test_a_document_always_has_items():
    found = document("ActorList", ())

    assert found == {"kind": "ActorList", "apiVersion": "actors/v1", "items": []}


def test_a_kind_that_does_not_exist_is_refused():
    with pytest.raises(KeyError):
        document("Nonsense", ())


@pytest.mark.parametrize("name", COMMANDS)
def test_the_arguments_and_the_view_of_every_command_are_plain_data(name):
    command = COMMANDS[name]

    for kind in (command.arguments, command.view):
        msgspec.json.schema(kind)
        assert not any("Ref" in field.name for field in msgspec.structs.fields(kind))
