"""Reads the mails that the arguments name with Python's email package, and prints of each what it found, as JSON."""

import email
import email.policy
import html.parser
import json
import pathlib
import sys


class Tags(html.parser.HTMLParser):
    """Collects the names of tags, and the addresses of links."""

    def __init__(self):
        super().__init__()
        self.tags, self.links, self.text = set(), [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.links += [value for name, value in attrs if name == "href"]
        self.tags.update(name for name, _ in attrs if name.startswith("on"))

    def handle_data(self, data):
        self.text += data


for path in map(pathlib.Path, sys.argv[1:]):
    octets = path.read_bytes()
    message = email.message_from_bytes(octets, policy=email.policy.default)
    parts = list(message.walk())
    defects = [repr(defect) for part in parts for defect in part.defects]
    for part in parts:
        defects += [f"{name}: {defect!r}" for name, value in part.items() for defect in value.defects]
    text, page = (message.get_body((kind,)).get_content() for kind in ("plain", "html"))
    defects += [] if page.splitlines() == path.with_suffix(".html").read_text().splitlines() else ["the HTML file is not the HTML part"]
    tags = Tags()
    tags.feed(page)
    print(json.dumps({
        "name": path.stem,
        "headers": dict(message.items()),
        "defects": defects,
        "types": [part.get_content_type() for part in parts],
        "longest": max(map(len, octets.split(b"\r\n"))),
        "bare": any(line.count(b"\n") + line.count(b"\r") for line in octets.split(b"\r\n")),
        "text": "\n".join(text.splitlines()) + "\n",
        "tags": sorted(tags.tags),
        "links": tags.links,
        "page": tags.text,
    }))
