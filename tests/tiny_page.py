"""A page of HTML, parsed strictly enough to find what a browser would forgive; shared by the tests of pages."""

from html.parser import HTMLParser

VOID = {"meta", "img", "br"}


class Parsed(HTMLParser):
    """Tags must close in order; collects ids, attributes and text."""

    def __init__(self, source: str):
        super().__init__()
        self.open, self.attributes, self.words, self.tags = [], [], [], []
        self.feed(source)
        self.close()
        assert self.open == []
        ids = [value for _, key, value in self.attributes if key == "id"]
        assert len(ids) == len(set(ids)), "an id stands twice"
        self.ids = set(ids)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, key, value) for key, value in attrs]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "img":
            assert "alt" in dict(attrs)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, key, value) for key, value in attrs]

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        return "".join(self.words)
