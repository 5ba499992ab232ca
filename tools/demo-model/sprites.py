"""Sprites: every emoji trimmed, centred and stored at three sizes in one file.

    python sprites.py SPRITE_DIR WORDS.json OUT.pt           # after rasterize.mjs
"""
import glob
import json
import os
import sys

import numpy as np
import torch
from PIL import Image

HELD_OUT_STYLE = "twemoji"                   # never seen in training: only for evaluation and the shipped scenes
SIZES = (192, 96, 48)                        # each object is drawn from the smallest that is enough


def pack(sprite_dir, words_file, out):
    """Trims every sprite to its own extent, centres it on a square and stores all sizes as uint8 RGBA."""
    with open(words_file) as f:
        classes = list(json.load(f))
    level = {s: [] for s in SIZES}
    label, style = [], []
    styles = sorted(os.listdir(sprite_dir))
    for style_id, folder in enumerate(styles):
        for file in sorted(glob.glob(f"{sprite_dir}/{folder}/*.png")):
            square = trimmed(Image.open(file).convert("RGBA"))
            for s in SIZES:
                full = Image.new("RGBA", (s, s))
                full.paste(square.resize((s - 4, s - 4), Image.LANCZOS), (2, 2))    # 2 px of nothing: clean edges
                level[s].append(np.asarray(full))
            label.append(classes.index(os.path.basename(file).split("__")[0].replace("_", " ")))
            style.append(style_id)
    sizes = {s: torch.from_numpy(np.stack(v)).permute(0, 3, 1, 2).contiguous() for s, v in level.items()}
    torch.save(dict(classes=classes, styles=styles, label=torch.tensor(label), style=torch.tensor(style), sizes=sizes),
               out)
    print(len(label), "sprites of", len(classes), "classes in", len(styles), "styles:", *styles)


def trimmed(image):
    """The visible part of an RGBA image, centred on a square of its longer side."""
    image = image.crop(image.getchannel("A").point(lambda v: 255 * (v > 16)).getbbox())
    side = max(image.size)
    square = Image.new("RGBA", (side, side))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square


class Sprites:
    """The sprites of some styles. label (S) class ids; sizes: {side: (S, 4, side, side) uint8}."""

    def __init__(self, path, styles):
        packed = torch.load(path)
        self.classes = packed["classes"]
        ids = [packed["styles"].index(s) for s in styles]
        keep = torch.isin(packed["style"], torch.tensor(ids)).nonzero()[:, 0]
        self.label, self.style = packed["label"][keep], packed["style"][keep]
        self.sizes = {s: v[keep] for s, v in packed["sizes"].items()}
        # class -> list of per-style index lists: styles are drawn evenly, whatever number of sprites each has
        self.by_class = []
        for c in range(len(self.classes)):
            of = (self.label == c).nonzero()[:, 0]
            self.by_class.append([of[self.style[of] == s].numpy() for s in self.style[of].unique()])
        self.available = [c for c in range(len(self.classes)) if self.by_class[c]]

    def pick(self, c, rng):
        """The index of one sprite of class c: a style first, then one of its pictures."""
        group = self.by_class[c][rng.integers(len(self.by_class[c]))]
        return int(group[rng.integers(len(group))])


def styles_of(path):
    """(styles for training, styles held out) of a packed file."""
    styles = torch.load(path)["styles"]
    return [s for s in styles if s != HELD_OUT_STYLE], [HELD_OUT_STYLE]


if __name__ == "__main__":
    pack(*sys.argv[1:])
