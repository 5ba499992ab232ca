"""Scenes: sprites on procedural grounds, composed in batches with torch.

compose() draws every batch afresh (position, scale, rotation, flip, warp, colour, shadow, occlusion), so training
never sees the same picture twice and nothing has to be stored. It returns the masks too, but training ignores them:
only the names of what is in the picture are used.

The order of the random draws is part of the scenes: the shipped ones come out byte for byte from their seed.
"""
import numpy as np
import torch
import torch.nn.functional as F

from backgrounds import KINDS

UPPER, LOWER = ["sky", "night", "wall", "brick"], ["grass", "sea", "sand", "snow", "wood", "road"]


def tensor(a):
    return torch.from_numpy(np.asarray(a, np.float32))


def per_picture(a):
    """(n) -> (n, 1, 1), to be spread over a batch of maps."""
    return tensor(a)[:, None, None]


# ---------------------------------------------------------------- grounds
def choose_grounds(B, rng):
    """Which kinds: one, or (three times in ten) an upper kind over a lower one. -> two, upper, lower: (B) each."""
    two = rng.random(B) < 0.3
    upper = np.where(two, [KINDS.index(UPPER[i]) for i in rng.integers(len(UPPER), size=B)],
                     rng.integers(len(KINDS), size=B))
    lower = np.where(two, [KINDS.index(LOWER[i]) for i in rng.integers(len(LOWER), size=B)], upper)
    return two, upper, lower


def crops(kinds, pool, H, W, rng):
    """A random crop of a random ground of each kind, at any scale: the grain varies with it. (n, 3, H, W) in [0, 1]."""
    per = len(pool) // len(KINDS)
    h, w = pool.shape[2:]
    out = torch.empty(len(kinds), 3, H, W)
    for i, k in enumerate(kinds):
        source = pool[int(k) * per + int(rng.integers(per))]
        z = rng.uniform(0.7, 1.0)
        ch, cw = min(h, int(H * z)), min(w, int(W * z))
        y, x = rng.integers(h - ch + 1), rng.integers(w - cw + 1)
        c = source[:, y:y + ch, x:x + cw].float()
        c = c.flip(2) if rng.random() < 0.5 else c
        out[i] = F.interpolate(c[None], (H, W), mode="bilinear", align_corners=False)[0]
    return out / 255


def draw_grounds(B, pool, H, W, rng):
    """-> images (B, 3, H, W), list of kind-id lists."""
    two, upper, lower = choose_grounds(B, rng)
    img = crops(upper, pool, H, W, rng)
    if two.any():
        low = torch.zeros(B, 3, H, W)
        low[torch.from_numpy(two)] = crops(lower[two], pool, H, W, rng)
        horizon = torch.from_numpy(rng.uniform(0.3, 0.65, B) * H).float()[:, None]
        tilt = torch.from_numpy(rng.uniform(-0.06, 0.06, B)).float()[:, None]
        line = horizon + tilt * (torch.arange(W) - W / 2)
        below = (torch.arange(H)[None, :, None] > line[:, None]).float()[:, None]
        below = below * torch.from_numpy(two).float()[:, None, None, None]
        img = img * (1 - below) + low * below
    return img, [[int(a)] if a == b else [int(a), int(b)] for a, b in zip(upper, lower, strict=True)]


# ---------------------------------------------------------------- objects
def colour_matrices(n, rng, strength):
    """Random hue rotation, saturation and gain as 3x3 matrices."""
    angle = rng.normal(0, 0.18 * strength, n)
    wild = rng.random(n) < 0.08 * strength                           # a few wrong-coloured objects: shape must do
    angle = np.where(wild, rng.uniform(-np.pi, np.pi, n), angle)
    saturation = 1 + rng.uniform(-0.4, 0.3, n) * strength
    saturation = np.where(rng.random(n) < 0.05 * strength, 0.1, saturation)
    gain = 1 + rng.uniform(-0.25, 0.2, n) * strength
    grey = np.ones((3, 3)) / 3
    c, s = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None] / np.sqrt(3)
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    rotation = c * np.eye(3) + (1 - c) * grey + s * cross
    m = gain[:, None, None] * (saturation[:, None, None] * (rotation - grey) + grey)
    return torch.from_numpy(m.astype(np.float32))


def place(rng, n, H, W, sizes, taken):
    """Centres for n objects of the given sizes that overlap the boxes already taken as little as ten tries allow."""
    best, best_cost = None, np.full(n, np.inf)
    for _ in range(10):
        m = sizes * 0.42                                             # at most a sliver may leave the frame
        cx = m + rng.random(n) * np.maximum(W - 2 * m, 1)
        cy = m + rng.random(n) * np.maximum(H - 2 * m, 1)
        cost = np.zeros(n)
        for tx, ty, ts in taken:
            r = (sizes + ts) / 2
            cost += np.maximum(0, r - abs(cx - tx)) * np.maximum(0, r - abs(cy - ty)) * (ts > 0)
        better = cost < best_cost
        best = (cx, cy) if best is None else (np.where(better, cx, best[0]), np.where(better, cy, best[1]))
        best_cost = np.where(better, cost, best_cost)
    return best


def sampling_grid(rng, cx, cy, sizes, H, W, jitter):
    """Where each pixel of the picture reads its sprite: rotated, stretched, sheared, flipped, warped. (n, H, W, 2)."""
    n = len(sizes)
    angle = np.where(rng.random(n) < 0.1, rng.uniform(-0.9, 0.9, n), rng.normal(0, 0.15, n)) * min(1, jitter)
    aspect = np.exp(rng.normal(0, 0.13, n) * jitter)
    shear = rng.normal(0, 0.1, n) * jitter
    flip = np.where(rng.random(n) < 0.5, -1, 1)
    yy, xx = torch.meshgrid(torch.arange(H) + 0.5, torch.arange(W) + 0.5, indexing="ij")
    dx = (xx[None] - per_picture(cx)) / per_picture(sizes / 2)
    dy = (yy[None] - per_picture(cy)) / per_picture(sizes / 2)
    c, s = per_picture(np.cos(angle)), per_picture(np.sin(angle))
    gx = (c * dx + s * dy) * per_picture(flip * aspect)
    gy = (-s * dx + c * dy) / per_picture(aspect)
    gx = gx + per_picture(shear) * gy
    if jitter:                                                       # gentle warp: other styles draw other outlines
        warp = F.interpolate(torch.randn(n, 2, 5, 5) * 0.06 * jitter, (H, W), mode="bicubic", align_corners=True)
        gx, gy = gx + warp[:, 0], gy + warp[:, 1]
    return torch.stack([gx, gy], -1)


def draw_sprites(img, on, ids, sizes, grid, sprites, rng, jitter):
    """Draws sprite ids[i] with its shadow into picture on[i], in place. Yields (positions in on, alpha (m, H, W))."""
    shadow = F.grid_sample(F.avg_pool2d(sprites.sizes[48][ids, 3:].float() / 255, 6), grid - tensor([0.1, 0.16]),
                           padding_mode="zeros", align_corners=False)
    pictures = torch.from_numpy(on)
    img[pictures] *= 1 - shadow * per_picture(rng.uniform(0, 0.5, len(on)))[:, None]
    level = np.where(sizes > 96, 192, np.where(sizes > 48, 96, 48))
    colours = colour_matrices(len(on), rng, jitter)
    for side in np.unique(level):
        sel = np.nonzero(level == side)[0]
        sprite = sprites.sizes[int(side)][ids[sel]].float() / 255
        alpha = sprite[:, 3:]
        rgb = torch.einsum("nij,njhw->nihw", colours[sel], sprite[:, :3]).clamp(0, 1)
        drawn = F.grid_sample(torch.cat([rgb * alpha, alpha], 1), grid[sel], padding_mode="zeros", align_corners=False)
        k = pictures[sel]
        img[k] = img[k] * (1 - drawn[:, 3:]) + drawn[:, :3]
        yield sel, drawn[:, 3]


def pick_objects(on, objects, sprites, rng):
    """One more object for each picture in `on`, of a class it does not show yet; -> sprite ids."""
    ids = []
    for i in on:
        if objects[i]:
            c = int(rng.choice([c for c in sprites.available if c not in objects[i]]))
        else:
            c = int(sprites.available[rng.integers(len(sprites.available))])
        objects[i].append(c)
        ids.append(sprites.pick(c, rng))
    return np.array(ids)


def object_sizes(n_obj, size, on, rng):
    """(B): smaller where the picture holds several, 0 where it holds none at this layer."""
    small, large = size
    B = len(n_obj)
    largest = np.where(n_obj == 1, large,
                       np.where(n_obj == 2, 0.8 * large + 0.2 * small, 0.65 * large + 0.35 * small))
    out = np.zeros(B)
    out[on] = (small + rng.random(B) * (largest - small))[on]
    return out


@torch.no_grad()
def compose(sprites, pool, B, H, W, rng, counts=(0.5, 0.3, 0.2), size=(40, 96), jitter=1.0, masks=False,
            empty=0.0, close=0.0):
    """-> images (B, 3, H, W) float in [0, 1]; objects: list of class-id lists; grounds: list of kind-id lists;
    mask (B, H, W) uint8 (0 background, class id + 1) or None. counts: chances of 1, 2, 3 objects.
    empty: chance of a bare background. close: chance of one object larger than the frame; when it hides the background,
    the background is not named. Both teach, by captions alone, which patches are ground and which are object."""
    img, grounds = draw_grounds(B, pool, H, W, rng)
    n_obj = 1 + (rng.random(B)[:, None] > np.cumsum(counts)[None, :2]).sum(1)
    kind = rng.random(B)
    near = kind < close
    n_obj = np.where(near, 1, np.where(kind > 1 - empty, 0, n_obj))
    objects = [[] for _ in range(B)]
    mask = torch.zeros(B, H, W, dtype=torch.uint8) if masks else None
    taken = []
    for layer in range(3):                                           # far to near
        on = np.nonzero(n_obj > layer)[0]
        if not len(on):
            break
        sizes = object_sizes(n_obj, size, on, rng)
        if layer == 0:
            sizes = np.where(near, min(H, W) * rng.uniform(1.1, 1.8, B), sizes)
        cx, cy = place(rng, B, H, W, np.maximum(sizes, 1), taken)
        cx = np.where(near, W * rng.uniform(0.3, 0.7, B), cx)
        cy = np.where(near, H * rng.uniform(0.3, 0.7, B), cy)
        taken.append((cx, cy, sizes))
        ids = pick_objects(on, objects, sprites, rng)
        grid = sampling_grid(rng, cx[on], cy[on], sizes[on], H, W, jitter)
        for sel, alpha in draw_sprites(img, on, ids, sizes[on], grid, sprites, rng, jitter):
            for i, cover in zip(on[sel], alpha.mean((1, 2)).tolist(), strict=True):
                if near[i] and cover > 0.8:
                    grounds[i] = []
            if masks:
                label = torch.tensor([objects[i][layer] + 1 for i in on[sel]], dtype=torch.uint8)[:, None, None]
                mask[on[sel]] = torch.where(alpha > 0.5, label, mask[on[sel]])
    return develop(img, rng) if jitter else img.clamp(0, 1), objects, grounds, mask


def develop(img, rng):
    """Exposure, gamma and sensor noise."""
    B = len(img)
    gain = torch.from_numpy(rng.uniform(0.85, 1.12, (B, 1, 1, 1))).float()
    gamma = torch.from_numpy(np.exp(rng.normal(0, 0.12, (B, 1, 1, 1)))).float()
    img = (img * gain).clamp_(1e-4, 1).pow_(gamma)
    img += torch.randn(img.shape).mul_(torch.from_numpy(np.abs(rng.normal(0, 0.02, (B, 1, 1, 1)))).float())
    return img.clamp_(0, 1)


# ---------------------------------------------------------------- mosaics
# Pictures side by side in one frame. Each keeps its caption, so what a patch may be is known more closely.
def tile(x, rows, cols, h, w):
    """(B * rows * cols, h * w, E) of single pictures -> (B, rows * h * cols * w, E) of mosaics, row by row."""
    x = x.reshape(-1, rows, cols, h, w, x.shape[-1]).permute(0, 1, 3, 2, 4, 5)
    return x.reshape(len(x), rows * h * cols * w, x.shape[-1])


def untile(x, rows, cols, h, w):
    """The way back: (B, rows * h * cols * w, E) -> (B * rows * cols, h * w, E)."""
    x = x.reshape(-1, rows, h, cols, w, x.shape[-1]).permute(0, 1, 3, 2, 4, 5)
    return x.reshape(-1, h * w, x.shape[-1])


def mosaic(img, rows, cols):
    """(B * rows * cols, C, H, W) -> (B, C, rows * H, cols * W)."""
    n, c, h, w = img.shape
    img = img.reshape(n // (rows * cols), rows, cols, c, h, w).permute(0, 3, 1, 4, 2, 5)
    return img.reshape(n // (rows * cols), c, rows * h, cols * w)


def merged(lists, count):
    """Of every `count` lists of ids one, without repetition."""
    return [sorted({i for ids in lists[j:j + count] for i in ids}) for j in range(0, len(lists), count)]
