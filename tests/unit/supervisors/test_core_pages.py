"""The immutable map under the children: like a dict, and earlier versions never change."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from supervisors.core.pages import PAGE, Pages

names = st.integers(0, 3 * PAGE).map(lambda n: f"n{n}")


@given(st.lists(st.tuples(names, st.none() | st.integers())))
def test_it_behaves_as_a_dict_and_old_versions_stay(changes: list[tuple[str, int | None]]):
    pages, model = Pages[int](), dict[str, int]()
    versions = []
    for name, value in changes:
        versions.append((pages, dict(model)))
        if value is None:
            pages = pages.remove(name)
            model.pop(name, None)
        else:
            pages = pages.insert(name, value)
            model[name] = value

    for version, expected in [*versions, (pages, model)]:
        assert dict(version.items()) == expected
        assert sorted(version.values()) == sorted(expected.values())
        assert len(version) == len(expected)


def test_a_large_map_is_spread_over_pages_and_still_finds_all():
    pages = Pages[int]()
    for n in range(20_000):
        pages = pages.insert(f"n{n}", n)

    assert len(pages) == 20_000
    assert len(pages.pages) > 1
    assert max(len(page) for page in pages.pages) < 2_000
    assert pages["n19999"] == 19_999
    assert "n0" in pages
    assert "x" not in pages
    assert pages.get("x") is None


def test_removing_what_is_not_there_changes_nothing():
    pages = Pages[int]().insert("a", 1)

    assert pages.remove("b") is pages
