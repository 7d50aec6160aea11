"""Draw the Mandelbrot set on all workers, and write it to a PNG.

    python mandelbrot.py                            with a private server on this machine
    python mandelbrot.py 10.0.0.7:11111 [...]       with servers that run already
    python mandelbrot.py --size 1920x1280 --output set.png

Needs farm-client, which brings farm-server along; the PNG is written by zlib and struct. The
picture is cut into tiles, and each tile is a future. Tiles inside the set take a hundred times as
long as those outside, which is why there are many more of them than workers: whoever is done takes
the next.
"""

import argparse
import math
import struct
import sys
import time
import zlib
from concurrent.futures import as_completed
from contextlib import ExitStack

import farm_client as farm

CENTRE = -0.75 + 0j
HEIGHT = 2.5  # of the part of the plane that is shown
BOUND = 256  # beyond 2 a point never comes back; farther out, the colours are smoother


# What runs on the workers.


def escape_time(c, most):
    """How many steps z -> z² + c stays bounded, as a fraction; None if that is for ever."""
    z = 0j
    for step in range(most):
        z = z * z + c
        if z.real * z.real + z.imag * z.imag > BOUND * BOUND:
            return step + 1 - math.log2(math.log(abs(z)) / math.log(BOUND))
    return None


def colour(steps):
    """Three bytes: black inside the set, outside a hue that changes ever more slowly."""
    if steps is None:
        return b"\0\0\0"
    phase = 3 + 0.9 * math.sqrt(max(0.0, steps))
    return bytes(int(127.5 + 127.5 * math.cos(phase + shift)) for shift in (0.0, 0.6, 1.0))


def draw_tile(size, left, top, width, height, most):
    """The pixels of a tile, row by row, three bytes each."""
    whole_width, whole_height = size
    scale = HEIGHT / whole_height
    corner = CENTRE - complex(whole_width - 1, 1 - whole_height) * scale / 2
    return [
        b"".join(
            colour(escape_time(corner + complex(x, -y) * scale, most))
            for x in range(left, left + width)
        )
        for y in range(top, top + height)
    ]


# What runs here.


def tiles(size, edge):
    """Left, top, width and height of the squares that cover the picture."""
    width, height = size
    for top in range(0, height, edge):
        for left in range(0, width, edge):
            yield left, top, min(edge, width - left), min(edge, height - top)


def draw(size, edge, most, progress):
    """The whole picture, as one bytearray for each row."""
    rows = [bytearray(3 * size[0]) for _ in range(size[1])]
    with farm.task_category("tile"):
        # A farm future is a concurrent.futures.Future, so the standard library's tools apply.
        places = {farm.future(draw_tile, size, *tile, most): tile for tile in tiles(size, edge)}
    for done, future in enumerate(as_completed(places), 1):
        left, top, width, _ = places[future]
        for y, pixels in enumerate(future.result(), top):
            rows[y][3 * left : 3 * (left + width)] = pixels
        progress(done, len(places))
    return rows


def png(size, rows):
    """The bytes of a PNG file: 8 bits a channel, red, green, blue."""

    def chunk(kind, data):
        checksum = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0)
    data = b"".join(b"\0" + row for row in rows)  # each row begins with its filter: none
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(data, 9))
        + chunk(b"IEND", b"")
    )


def show_progress(done, total):
    """A bar on one line that is written over; only where somebody looks at it."""
    if sys.stdout.isatty():
        bar = "#" * (40 * done // total)
        end = "\n" if done == total else ""
        print(f"\r  [{bar:<40}] {done} of {total} tiles", end=end, flush=True)


def picture_size(text):
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 960x640")
    return int(width), int(height)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("servers", nargs="*", metavar="ADDRESS", help="servers that run already")
    add("--size", type=picture_size, default="960x640", metavar="WxH")
    add("--edge", type=int, default=64, metavar="N", help="of a tile, in pixels")
    add("--most", type=int, default=300, metavar="N", help="steps that count as for ever")
    add("--output", default="mandelbrot.png", metavar="FILE")
    options = parser.parse_args()

    with ExitStack() as stack:
        kernel = stack.enter_context(farm.make_kernel(options.servers or "local", timeout=30))
        width, height = options.size
        print(f"drawing {width} x {height} pixels on {kernel.worker_count} workers")
        began = time.perf_counter()
        rows = draw(options.size, options.edge, options.most, show_progress)
        print(f"drawn in {time.perf_counter() - began:.2f} s")
        for worker in kernel.workers():
            print(f"  worker {worker.index} at {worker.address}: {worker.tasks_done} tiles")
    with open(options.output, "wb") as file:
        file.write(png(options.size, rows))
    print(f"wrote {options.output}")


if __name__ == "__main__":
    main()
