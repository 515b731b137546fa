#!/usr/bin/env python3
"""A crawler, on the loop: many pages at once, and many crawls at once, in one process with one thread.

    tern-worker --runner 'crawl=python3 -m tern.runner contrib/examples/crawl.py'
    contrib/examples/crawl.py http://localhost:8000/

The handler `crawl` follows the links of a page within its host, and tells as JSON which pages there are and which links
are broken. It speaks HTTP/1.0 by hand, as far as such an example needs it.
"""

import asyncio
import html.parser
import json
import sys
import urllib.parse

import tern

PAGES = 1000
AT_ONCE = 20
PAGE_BYTES = 1 << 20


class Links(html.parser.HTMLParser):
    """The addresses that a page links to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.found += [value for name, value in attrs if tag == "a" and name == "href" and value]


async def get(url: str) -> tuple[int, str]:
    """Status and text of a page."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise tern.FailedForGood(f"{url} is no http:// address")
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
    try:
        target = urllib.parse.quote(parts.path or "/", safe="/%") + (f"?{parts.query}" if parts.query else "")
        writer.write(f"GET {target} HTTP/1.0\r\nHost: {parts.netloc}\r\n\r\n".encode())
        data = bytearray()
        while len(data) < PAGE_BYTES and (some := await reader.read(65536)):
            data += some
    finally:
        writer.close()
    head, _, body = bytes(data).partition(b"\r\n\r\n")
    return int(head.split(None, 2)[1]), body.decode("utf-8", "replace")


def links_of(url: str, text: str) -> set[str]:
    """Those within the host, without what stands behind a #."""
    parser = Links()
    parser.feed(text)
    found = {urllib.parse.urldefrag(urllib.parse.urljoin(url, link)).url for link in parser.found}
    return {link for link in found if urllib.parse.urlsplit(link)[:2] == urllib.parse.urlsplit(url)[:2]}


@tern.handler(retries=2, timeout=300)
async def crawl(job: tern.Job) -> str:
    """Finds the pages and the broken links of a site."""
    start = job.payload.decode().strip()
    pages: dict[str, int] = {}
    broken: list[list] = []
    queue, seen = [start], {start}
    while queue and len(pages) < PAGES:
        batch, queue = queue[:AT_ONCE], queue[AT_ONCE:]
        answers = await asyncio.gather(*(get(url) for url in batch), return_exceptions=True)
        for url, answer in zip(batch, answers):
            if isinstance(answer, tern.Failed) or (isinstance(answer, BaseException) and url == start):
                raise answer
            if isinstance(answer, BaseException) or answer[0] != 200:
                broken.append([url, str(answer) if isinstance(answer, BaseException) else answer[0]])
                continue
            pages[url] = len(answer[1])
            fresh = links_of(url, answer[1]) - seen
            seen |= fresh
            queue += sorted(fresh)
        job.progress(100 * len(pages) // (len(pages) + len(queue)) if pages else 0, f"{len(pages)} pages")
    print(f"{len(pages)} pages, {len(broken)} broken links")
    return json.dumps({"pages": len(pages), "bytes": sum(pages.values()), "broken": sorted(broken)})


def main(urls: list[str]) -> None:
    from tern.client import Client

    with Client() as client:
        for url, job in [(url, client.submit("crawl", url)) for url in urls]:
            print(url, client.result(job).decode())


if __name__ == "__main__":
    main(sys.argv[1:])
