"""Reads a page as an auditor's archive would: whole, without a script, and without anything from elsewhere.

usage: page.py PAGE FOLDER
Prints the text of the page; writes each linked file into FOLDER. Ends with 1 where the page is not so.
"""

import base64
import html.parser
import pathlib
import sys

VOID = {"meta", "br", "link", "img", "hr", "input"}


class Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links, self.wrong = [], set(), [], []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag not in VOID:
            self.open.append(tag)
        if tag in {"script", "link", "img", "iframe", "object", "embed", "form"}:
            self.wrong.append(f"<{tag}>")
        if any(name.startswith("on") or name in {"src", "style"} for name in attributes):
            self.wrong.append(f"<{tag} {attributes}>")
        if "id" in attributes:
            self.ids.add(attributes["id"])
        if "href" in attributes:
            self.links.append((attributes["href"], attributes.get("download")))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}>")

    def handle_data(self, data):
        if "style" not in self.open and data.strip():
            print(data.strip())


def main():
    source, folder = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    page = Page()
    page.feed(source.read_text(encoding="utf-8"))
    page.close()
    for href, name in page.links:
        if href.startswith("#"):
            if href[1:] not in page.ids:
                page.wrong.append(f"{href} leads nowhere")
        elif href.startswith("data:application/json;base64,") and name and "/" not in name:
            folder.joinpath(name).write_bytes(base64.b64decode(href.split(",", 1)[1], validate=True))
        else:
            page.wrong.append(f"link to {href[:60]}")
    if page.open or page.wrong:
        sys.exit(f"not a page of its own: {page.open} {page.wrong}")


main()
