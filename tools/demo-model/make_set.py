"""A data set with ground truth: scenes in the style that the demo model never saw in training, or in those that it saw.

    python make_set.py SPRITES.pt CLASSES.json OUT [--count 240] [--seed 11] [--styles held-out|seen]

Writes OUT/photos/NN/NNNN.png (320x240, 1-3 objects), OUT/truth/NN/NNNN.png (indexed: 0 background, i = the i-th class of
CLASSES.json, a class file of the product) and OUT/labels.csv. CLASSES.json may have some of the sprites' classes only: the
others are not drawn.
"""
import argparse
import json
import os

import numpy as np
from PIL import Image

from evaluate import make_scenes
from sprites import Sprites, styles_of

SEED = 11                                    # of none of evaluate.py's scenes
BATCH = 240                                  # pictures that are drawn at a time: more need much memory


def voc_palette():
    """256 colours as PASCAL VOC has them: the bits of the index, three at a time, from the highest bit of each channel down."""
    colours = []
    for index in range(256):
        for channel in range(3):
            colours.append(sum((index >> (3 * k + channel) & 1) << (7 - k) for k in range(8)))
    return colours


def drawn_values(sprites, classes):
    """Leaves the sprites of these classes. -> (sprites.classes + 1): the value in the truth by the value in a scene's mask."""
    wanted = [sprites.classes.index(name) for name in classes]
    sprites.available = [c for c in sprites.available if c in wanted]
    values = np.zeros(len(sprites.classes) + 1, np.uint8)
    for value, c in enumerate(wanted, 1):
        values[c + 1] = value
    return values


def write_set(out, sprites, classes, count, seed):
    values, lines = drawn_values(sprites, classes), ["image,labels"]
    for first in range(0, count, BATCH):
        images, objects, _, masks = make_scenes(sprites, min(BATCH, count - first), seed + 1000 * (first // BATCH))
        for i, (image, shown, mask) in enumerate(zip(images, objects, masks, strict=True), first):
            name = f"{i // 100:02d}/{i:04d}.png"
            truth = Image.fromarray(values[mask])
            truth.putpalette(voc_palette())
            for folder, picture in (("photos", image), ("truth", truth)):
                os.makedirs(os.path.dirname(f"{out}/{folder}/{name}"), exist_ok=True)
                picture.save(f"{out}/{folder}/{name}")
            labels = sorted(values[c + 1] for c in shown)
            lines.append(f"{name},{';'.join(classes[value - 1] for value in labels)}")
    with open(f"{out}/labels.csv", "w") as f:
        f.write("\n".join(lines) + "\n")


def main():
    ap = argparse.ArgumentParser(description="Makes a data set with ground truth.")
    ap.add_argument("sprites", help="what sprites.py wrote")
    ap.add_argument("classes", help="class file")
    ap.add_argument("out", help="folder to write to")
    ap.add_argument("--count", type=int, default=240)
    ap.add_argument("--seed", type=int, default=SEED)
    ap.add_argument("--styles", choices=("held-out", "seen"), default="held-out")
    a = ap.parse_args()
    with open(a.classes) as f:
        classes = [c["name"] for c in json.load(f)["classes"]]
    seen, held_out = styles_of(a.sprites)
    sprites = Sprites(a.sprites, seen if a.styles == "seen" else held_out)
    unknown = [name for name in classes if name not in sprites.classes]
    assert not unknown, f"there are no sprites of {', '.join(unknown)}: leave these classes out of {a.classes}"
    write_set(a.out, sprites, classes, a.count, a.seed)
    print(a.count, "pictures are in", a.out)


if __name__ == "__main__":
    main()
