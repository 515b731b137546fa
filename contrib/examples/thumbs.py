#!/usr/bin/env python3
"""Thumbnails, in processes: computing that is spread over the cores, with nothing but the standard library.

    tern-worker --runner 'thumbs=python3 -m tern.runner contrib/examples/thumbs.py'
    contrib/examples/thumbs.py 20

The first offers the handler `thumb`; the second makes 20 pictures, has them shrunk, and says how small they have become.
Pictures are PPM (P6, 8 bits), as pnmtopng and others read it.
"""

import re
import sys

import tern

MOST = 64  # pixels, of the longer side


def read(ppm: bytes) -> tuple[int, int, memoryview]:
    """Width, height, and three bytes a pixel."""
    head = re.match(rb"P6\s(?:#.*\n)*(\d{1,5})\s(\d{1,5})\s255\s", ppm)
    if not head:
        raise tern.FailedForGood("the payload is no PPM picture (P6, 8 bits)")
    width, height = int(head[1]), int(head[2])
    pixels = memoryview(ppm)[head.end():]
    if not width or not height or len(pixels) != 3 * width * height:
        raise tern.FailedForGood(f"{width} x {height} pixels need {3 * width * height} bytes, not {len(pixels)}")
    return width, height, pixels


def mean_row(rows: list[memoryview], width: int, small: int) -> bytes:
    """One row of the thumbnail: the mean of a box of pixels for each."""
    out = bytearray()
    for x in range(small):
        left, right = 3 * (x * width // small), 3 * max((x + 1) * width // small, x * width // small + 1)
        for colour in range(3):
            values = [v for row in rows for v in row[left + colour:right:3]]
            out.append(sum(values) // len(values))
    return bytes(out)


@tern.handler(tag="cpu", timeout=60)
def thumb(job: tern.Job) -> bytes:
    """Shrinks a PPM picture to at most 64 pixels a side."""
    width, height, pixels = read(job.payload)
    scale = max(width, height, MOST) / MOST
    small_width, small_height = max(1, int(width / scale)), max(1, int(height / scale))
    out = bytearray(b"P6 %d %d 255\n" % (small_width, small_height))
    for y in range(small_height):
        top = y * height // small_height
        bottom = max((y + 1) * height // small_height, top + 1)
        rows = [pixels[3 * width * row:3 * width * (row + 1)] for row in range(top, bottom)]
        out += mean_row(rows, width, small_width)
        job.progress(100 * (y + 1) // small_height)
    print(f"{width} x {height} -> {small_width} x {small_height}")
    return bytes(out)


def picture(n: int) -> bytes:
    """Something to shrink: 320 x 200, another one for each n."""
    pixels = bytearray()
    for y in range(200):
        for x in range(320):
            pixels += bytes(((x + n) & 255, (y * 2) & 255, (x ^ y ^ n) & 255))
    return b"P6 320 200 255\n" + pixels


def main(n: int) -> None:
    from tern.client import Client, spec

    with Client() as client:
        ids = client.submit_many(spec("thumb", picture(i), name=f"picture {i}") for i in range(n))
        for job in ids:
            print(f"{job}: {len(client.result(job))} bytes")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
