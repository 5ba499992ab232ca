"""Procedural grounds to put sprites on: ten kinds, each with the words that name it."""
import numpy as np
import torch
from PIL import Image

BACKGROUNDS = {                              # kind -> words for it; together they are the competing words of the demo
    "grass": ["grass", "lawn", "meadow", "field"],
    "sky": ["sky", "cloud", "clouds"],
    "sea": ["sea", "water", "ocean", "lake", "river"],
    "sand": ["sand", "beach", "desert", "ground", "land"],
    "snow": ["snow", "ice"],
    "wall": ["wall", "room"],
    "wood": ["wood", "table", "floor"],
    "night": ["night", "space", "stars"],
    "road": ["road", "street", "asphalt"],
    "brick": ["brick", "bricks", "building"],
}
KINDS = list(BACKGROUNDS)
HEIGHT, WIDTH = 288, 384


def noise(rng, h, w, cell_y, cell_x=None):
    """Smooth value noise in [0, 1] with the given cell size."""
    cell_x = cell_x or cell_y
    a = rng.random((max(2, h // cell_y + 2), max(2, w // cell_x + 2))).astype(np.float32)
    return np.asarray(Image.fromarray(a).resize((w, h), Image.BICUBIC)).clip(0, 1)


def fractal(rng, h, w, cell, stretch=1, octaves=4):
    """A sum of noises, each half as coarse as the one before."""
    out, amplitude, total = 0, 1.0, 0
    for _ in range(octaves):
        out = out + amplitude * noise(rng, h, w, max(1, int(cell)), max(1, int(cell * stretch)))
        total += amplitude
        amplitude *= 0.55
        cell /= 2
    return out / total


def ramp(t, *colours):
    """Piecewise linear colour ramp over t in [0, 1]."""
    t = np.clip(t, 0, 1)[..., None] * (len(colours) - 1)
    c = np.array(colours, np.float32)
    i = np.minimum(t.astype(int), len(colours) - 2)[..., 0]
    f = t - i[..., None]
    return c[i] * (1 - f) + c[i + 1] * f


# ---------------------------------------------------------------- one painter a kind
# rng, x, y (H, W) -> (H, W, 3) in 0..255, unclipped.
def grass(rng, x, y):
    h, w = y.shape
    t = 0.6 * fractal(rng, h, w, rng.integers(6, 30)) + 0.4 * noise(rng, h, w, rng.integers(6, 14), 2)
    return ramp(t * 1.3 - 0.15, (40, 95, 30), (90, 155, 50), (150, 200, 90)) * (1.1 - 0.25 * (y / h))[..., None]


def sky(rng, x, y):
    h, w = y.shape
    t = fractal(rng, h, w, rng.integers(40, 110), 1.8)
    cloud = np.clip((t - 0.5 + 0.15 * rng.random()) * 5, 0, 1)[..., None] * (rng.random() < 0.75)
    return ramp(y / h, (70 + 40 * rng.random(), 140, 225), (170, 210, 245)) * (1 - cloud) + cloud * 248


def sea(rng, x, y):
    h, w = y.shape
    t = 0.7 * noise(rng, h, w, rng.integers(4, 10), rng.integers(20, 60)) + 0.3 * noise(rng, h, w, 3, 12)
    return ramp(t * 1.4 - 0.2, (10, 70 + 30 * rng.random(), 130), (30, 120 + 40 * rng.random(), 170), (140, 205, 220))


def sand(rng, x, y):
    h, w = y.shape
    t = 0.5 * noise(rng, h, w, rng.integers(8, 20), 80) + 0.5 * fractal(rng, h, w, 6)
    return ramp(t, (190, 150, 95), (225, 195, 140), (240, 220, 175))


def snow(rng, x, y):
    h, w = y.shape
    t = fractal(rng, h, w, rng.integers(30, 80), 1.5)
    return ramp(t * 1.4 - 0.2, (195, 210, 230), (232, 238, 246), (252, 252, 255))


def wall(rng, x, y):
    h, w = y.shape
    base = np.array([150 + 90 * rng.random(), 140 + 90 * rng.random(), 130 + 90 * rng.random()], np.float32)
    im = np.ones((h, w, 1)) * base * (0.92 + 0.16 * fractal(rng, h, w, 120, octaves=2))[..., None]
    if rng.random() < 0.5:                                           # wallpaper: stripes or dots
        p = rng.integers(14, 48)
        if rng.random() < 0.5:
            on = (x // p) % 2
        else:
            on = ((x % p - p / 2) ** 2 + (y % p - p / 2) ** 2) < (p / 5) ** 2
        im = im * (1 - 0.12 * on[..., None])
    return im


def wood(rng, x, y):
    h, w = y.shape
    p = rng.integers(30, 80)
    plank = (y // p).astype(int)
    t = 0.65 * noise(rng, h, w, 3, 90) + 0.35 * noise(rng, h, w, 12, 120) + 0.12 * (plank * 7919 % 5 - 2) / 2
    return ramp(t, (95, 55, 28), (150, 95, 50), (195, 140, 85)) * np.where(y % p < 2, 0.6, 1)[..., None]


def night(rng, x, y):
    h, w = y.shape
    t = fractal(rng, h, w, 90)
    im = ramp(0.6 * (y / h) + 0.4 * t, (6, 8, 25), (20, 25, 65), (45, 45, 95))
    n = rng.integers(30, 140)
    sy, sx = rng.integers(1, h - 1, n), rng.integers(1, w - 1, n)
    im[sy, sx] = 200 + 55 * rng.random((n, 1))
    im[sy[::3], sx[::3] - 1] = im[sy[::3] - 1, sx[::3]] = 170
    return im


def road(rng, x, y):
    h, w = y.shape
    t = 0.5 * rng.random((h, w)).astype(np.float32) + 0.5 * fractal(rng, h, w, 20)
    im = ramp(t, (70, 70, 74), (105, 105, 108), (140, 140, 142))
    if rng.random() < 0.5:                                           # a dashed line
        y0, thickness = rng.integers(20, h - 20), rng.integers(4, 10)
        im[(abs(y - y0) < thickness) & (x % 90 < 55)] = (225, 220, 200)
    return im


def brick(rng, x, y):
    h, w = y.shape
    bh, bw = rng.integers(16, 30), rng.integers(36, 64)
    row = (y // bh).astype(int)
    xx = x + (row % 2) * bw / 2
    column = (xx // bw).astype(int)
    t = 0.5 * ((row * 7919 + column * 104729) % 17) / 17 + 0.5 * fractal(rng, h, w, 8)
    im = ramp(t, (120, 45, 35), (165, 75, 55), (195, 110, 85))
    im[(y % bh < 3) | (xx % bw < 3)] = (190, 180, 168)
    return im


PAINTERS = dict(grass=grass, sky=sky, sea=sea, sand=sand, snow=snow, wall=wall, wood=wood, night=night, road=road,
                brick=brick)


def background(kind, rng):
    """One picture (HEIGHT, WIDTH, 3) uint8 of a kind."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    im = PAINTERS[kind](rng, x, y)
    gain = (0.85 + 0.3 * rng.random()) * (0.95 + 0.1 * rng.random(3))
    return np.clip(im * gain, 0, 255).astype(np.uint8)


def background_pool(per_kind, seed):
    """(kinds * per_kind, 3, HEIGHT, WIDTH) uint8; picture i shows kind i // per_kind."""
    rng = np.random.default_rng(seed)
    a = np.stack([background(k, rng) for k in KINDS for _ in range(per_kind)])
    return torch.from_numpy(a).permute(0, 3, 1, 2).contiguous()
