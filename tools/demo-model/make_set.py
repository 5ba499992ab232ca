"""A data set with ground truth: scenes in the style that the demo model never saw in training.

    python make_set.py SPRITES.pt CLASSES.json OUT [--count 240] [--seed 11]

Writes OUT/photos/NN/NNNN.png (320x240, 1-3 objects), OUT/truth/NN/NNNN.png (indexed: 0 background, i = the i-th class of
CLASSES.json, a class file of the product) and OUT/labels.csv.
"""
import argparse
import json
import os

from PIL import Image

from evaluate import make_scenes
from sprites import Sprites, styles_of

SEED = 11                                    # of none of evaluate.py's scenes


def voc_palette():
    """256 colours as PASCAL VOC has them: the bits of the index, three at a time, from the highest bit of each channel down."""
    colours = []
    for index in range(256):
        for channel in range(3):
            colours.append(sum((index >> (3 * k + channel) & 1) << (7 - k) for k in range(8)))
    return colours


def write_set(out, sprites, classes, count, seed):
    images, objects, _, masks = make_scenes(sprites, count, seed)
    lines = ["image,labels"]
    for i, (image, shown, mask) in enumerate(zip(images, objects, masks, strict=True)):
        name = f"{i // 100:02d}/{i:04d}.png"
        truth = Image.fromarray(mask.astype("uint8"))
        truth.putpalette(voc_palette())
        for folder, picture in (("photos", image), ("truth", truth)):
            os.makedirs(os.path.dirname(f"{out}/{folder}/{name}"), exist_ok=True)
            picture.save(f"{out}/{folder}/{name}")
        lines.append(f"{name},{';'.join(classes[c] for c in sorted(shown))}")
    with open(f"{out}/labels.csv", "w") as f:
        f.write("\n".join(lines) + "\n")


def main():
    ap = argparse.ArgumentParser(description="Makes a data set with ground truth.")
    ap.add_argument("sprites", help="what sprites.py wrote")
    ap.add_argument("classes", help="class file")
    ap.add_argument("out", help="folder to write to")
    ap.add_argument("--count", type=int, default=240)
    ap.add_argument("--seed", type=int, default=SEED)
    a = ap.parse_args()
    with open(a.classes) as f:
        classes = [c["name"] for c in json.load(f)["classes"]]
    sprites = Sprites(a.sprites, styles_of(a.sprites)[1])
    assert sprites.classes == classes, "the sprites were packed for other classes than the class file's"
    write_set(a.out, sprites, classes, a.count, a.seed)
    print(a.count, "pictures are in", a.out)


if __name__ == "__main__":
    main()
