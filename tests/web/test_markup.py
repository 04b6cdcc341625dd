"""Nothing that is put into HTML can become more than text."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from peewee_multidb.web.markup import Markup, el, joined


class Reader(HTMLParser):
    """Keeps what a browser would see: the elements, their attributes and the text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: dict[str, Any] = {}
        self.text = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        self.attributes.update(attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


plain = st.text(alphabet=st.characters(min_codepoint=32, blacklist_categories=["Cs", "Cf", "Cc"]))


@given(plain, plain)
def test_a_text_and_an_attribute_are_read_back_as_they_were(text: str, value: str) -> None:
    reader = Reader()
    reader.feed(el("td", text, data_label=value))
    reader.close()
    assert reader.tags == ["td"] and reader.text == text and reader.attributes == {"data-label": value}


@given(st.text())
def test_whatever_is_put_in_there_is_one_element(text: str) -> None:
    reader = Reader()
    reader.feed(el("p", text, el("b", text), title=text))
    reader.close()
    assert reader.tags == ["p", "b"] and list(reader.attributes) == ["title"]
    assert not set(reader.text) & set("\u202e\u2066\x00\x1b")


def test_markup_is_taken_as_it_is_and_nothing_else_is() -> None:
    assert joined(Markup("<b>"), "<b>", None, ["&", 1]) == "<b>&lt;b&gt;&amp;1"
    assert el("input", name="a", required=True, hidden=False, title=None) == '<input name="a" required>'
    assert el("polyline", points="1,2") == '<polyline points="1,2"></polyline>'
