"""URLs: what is none is refused before anything is sent."""

from __future__ import annotations

import pytest

from actors.jobs.web import WebError, check_url, get


@pytest.mark.parametrize("url", ["", "localhost:9222", "ftp://x/y", "http://", "file:///etc/passwd"])
def test_what_is_no_http_url_is_refused(url):
    with pytest.raises(ValueError, match="http"):
        check_url(url)


def test_a_trailing_slash_is_dropped():
    assert check_url("https://example.org/base/") == "https://example.org/base"


def test_an_error_names_the_url_without_its_query():
    with pytest.raises(WebError) as caught:
        get("http://127.0.0.1:1/path?key=hidden", timeout=2)

    assert "http://127.0.0.1:1/path" in str(caught.value)
    assert "hidden" not in str(caught.value)
