"""Writes the PNG files of this folder and expected.npz. Run with numpy and Pillow: python3 make.py

The files are put together by hand because no common encoder writes every colour type, depth and interlacing. Where Pillow
reads a type without loss, its result is compared with what is expected here.
"""
import struct
import zlib

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 13, 11
SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
rng = np.random.default_rng(7)


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def pack(row, depth):
    """A row of samples as bytes."""
    if depth == 16:
        return row.astype(">u2").tobytes()
    bits = "".join(format(int(v), f"0{depth}b") for v in row)
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[i:i + 8], 2) for i in range(0, len(bits), 8))


def paeth(a, b, c):
    p = a + b - c
    pa, pb, pc = abs(p - a), abs(p - b), abs(p - c)
    return a if pa <= pb and pa <= pc else b if pb <= pc else c


def filtered(rows, bpp):
    """Every filter in turn."""
    out, above = b"", None
    for y, row in enumerate(rows):
        f = y % 5
        prior = above if above is not None else bytes(len(row))
        line = bytearray([f])
        for i, v in enumerate(row):
            a = row[i - bpp] if i >= bpp else 0
            b = prior[i]
            c = prior[i - bpp] if i >= bpp else 0
            line.append((v - [0, a, b, (a + b) // 2, paeth(a, b, c)][f]) & 255)
        out += bytes(line)
        above = row
    return out


def write(name, colour, depth, samples, interlace=False, palette=None, trns=None):
    bpp = max(1, SAMPLES[colour] * depth // 8)
    data = b""
    for x0, y0, dx, dy in ADAM7 if interlace else [(0, 0, 1, 1)]:
        part = samples[y0::dy, x0::dx]
        if part.shape[0] and part.shape[1]:
            data += filtered([pack(r.reshape(-1), depth) for r in part], bpp)
    packed = zlib.compress(data, 9)
    cut = len(packed) // 3
    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", WIDTH, HEIGHT, depth, colour, 0, 0, int(interlace)))
    out += chunk(b"tEXt", b"Comment\0a chunk to pass over")
    if palette is not None:
        out += chunk(b"PLTE", palette.astype(np.uint8).tobytes())
    if trns is not None:
        out += chunk(b"tRNS", trns)
    out += chunk(b"IDAT", packed[:cut]) + chunk(b"IDAT", b"") + chunk(b"IDAT", packed[cut:]) + chunk(b"IEND", b"")
    open(name + ".png", "wb").write(out)


def to8(samples, depth):
    return (samples >> 8 if depth == 16 else samples * 255 // (2 ** depth - 1)).astype(np.uint8)


expected = {}
for interlace in (False, True):
    end = "-interlaced" if interlace else ""
    for colour, depths in {0: (1, 2, 4, 8, 16), 2: (8, 16), 4: (8, 16), 6: (8, 16)}.items():
        for depth in depths:
            name = f"colour{colour}-{depth}{end}"
            s = rng.integers(0, 2 ** depth, (HEIGHT, WIDTH, SAMPLES[colour]))
            write(name, colour, depth, s, interlace)
            e = to8(s, depth)
            expected[name] = np.concatenate([np.repeat(e[..., :1], 3, -1), e[..., 1:]], -1) if colour == 4 else e
    for depth in (1, 2, 4, 8):
        name = f"palette-{depth}{end}"
        entries = min(2 ** depth, 200)
        palette = rng.integers(0, 256, (entries, 3))
        s = rng.integers(0, entries, (HEIGHT, WIDTH, 1))
        alpha = rng.integers(0, 256, entries // 2)
        clear = interlace
        write(name, 3, depth, s, interlace, palette, alpha.astype(np.uint8).tobytes() if clear else None)
        e = palette[s[..., 0]].astype(np.uint8)
        if clear:
            full = np.concatenate([alpha, np.full(entries - len(alpha), 255)])
            e = np.concatenate([e, full[s].astype(np.uint8)], -1)
        expected[name] = e
for colour, depth in ((0, 4), (0, 8), (0, 16), (2, 8), (2, 16)):
    name = f"clear{colour}-{depth}"
    s = rng.integers(0, 2 ** depth, (HEIGHT, WIDTH, SAMPLES[colour]))
    s[3, 4] = s[7, 2]
    if depth == 16:
        s[5, 5] = s[7, 2] ^ 1               # the same upper byte: not transparent
    write(name, colour, depth, s, trns=s[7, 2].astype(">u2").tobytes())
    e = to8(s, depth)
    e = np.repeat(e, 3, -1) if colour == 0 else e
    a = np.where((s == s[7, 2]).all(-1, keepdims=True), 0, 255).astype(np.uint8)
    expected[name] = np.concatenate([e, a], -1)

for name, e in expected.items():
    image = Image.open(name + ".png")
    image.load()
    if name in ("colour0-16", "colour0-16-interlaced", "clear0-16"):
        got = np.asarray(image.convert("I")) >> 8
        e = e[..., 0]
    elif "clear" in name or (name.startswith("palette") and e.shape[-1] == 4) or name.startswith("colour4"):
        if name in ("clear2-16", "clear0-4"):
            continue                        # Pillow compares with the transparent colour after changing to 8 bits
        got = np.asarray(image.convert("RGBA"))
    elif name.startswith("colour0"):
        got = np.asarray(image.convert("L"))
        e = e[..., 0]
    else:
        got = np.asarray(image.convert("RGBA" if e.shape[-1] == 4 else "RGB"))
    if not (got == e).all():
        print("Pillow differs:", name, image.mode)
np.savez_compressed("expected.npz", **expected)
