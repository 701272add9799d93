"""The page without a browser: valid, from here alone, and true about where videos go."""

import re

import pytest
from html_page import Parsed
from serve_case import Scripted
from starlette.testclient import TestClient

from cpml_jax.serve import app, page
from cpml_jax.serve.settings import Settings


def test_the_page_is_valid_and_fetches_from_here_alone(tmp_path):
    built = app.build(Scripted(), tmp_path, Settings(megabytes=1, videos=3), model="<b>tiny")
    client = TestClient(built, base_url="http://127.0.0.1:8765")
    source = client.get("/").text
    parsed = Parsed(source.replace("<link ", "<br "))
    assert "&lt;b&gt;tiny" in source and "each up to 1 mb and 10 minutes; up to 3 at a time" in parsed.text.lower()
    linked = [value for _, key, value in parsed.attributes if key in ("src", "href")]
    assert sorted(linked) == ["data:,", "openapi.json", "serve.js", "style.css"]
    script, style = (client.get(f"/{name}") for name in ("serve.js", "style.css"))
    assert script.headers["content-type"].startswith("text/javascript") and "text/css" in style.headers["content-type"]
    for text in (source, script.text, style.text):
        assert not re.search(r"https?:|//[a-z]|@import|url\(|innerHTML|eval\(", text)
    assert not [key for _, key, _ in parsed.attributes if key.startswith("on")]


@pytest.mark.parametrize("host", ["", "127.0.0.1", "0.0.0.0"])
def test_the_page_says_where_videos_are_read_and_who_sees_them(host):
    said = page.html(Settings(host=host), "")
    assert ("on the computer of this address" in said) == (host == "0.0.0.0")
    assert ("Whoever has this server's address with its token" in said) == bool(host)
