"""Pillow's bicubic resize of small pictures, for the test of the engine's own.

    python make_resize.py OUT_DIR

Writes OUT_DIR/NAME_in.npy (height, width, 3) and NAME_out.npy, uint8. The pictures are noise with a few flat parts and hard edges,
because rounding and clamping show there, not in a photo's middle tones.
"""
import os
import sys

import numpy as np
from PIL import Image

CASES = {  # name: ((width, height), (out width, out height))
    "up": ((23, 17), (48, 32)),
    "down": ((61, 45), (16, 13)),
    "down_far": ((97, 5), (3, 2)),
    "wider_only": ((19, 16), (32, 16)),
    "taller_only": ((16, 19), (16, 48)),
    "wider_and_lower": ((13, 37), (29, 11)),
    "narrower_and_taller": ((37, 13), (11, 29)),
    "one_pixel": ((1, 1), (32, 32)),
    "one_row": ((21, 1), (32, 16)),
    "one_column": ((1, 21), (16, 32)),
    "next_multiple": ((47, 33), (48, 48)),
    "same": ((9, 7), (9, 7)),
}


def picture(width, height, generator):
    noise = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
    noise[generator.random((height, width)) < 0.25] = 255   # hard edges: the filter overshoots and must be clamped
    noise[generator.random((height, width)) < 0.25] = 0
    noise[: height // 3, : width // 3] = (200, 100, 50)     # flat: stays flat whatever the weights' rounding
    return noise


def main(out):
    generator = np.random.default_rng(1)
    os.makedirs(out, exist_ok=True)
    for name, (size, out_size) in CASES.items():
        image = picture(*size, generator)
        resized = np.asarray(Image.fromarray(image).resize(out_size, Image.BICUBIC))
        np.save(f"{out}/{name}_in.npy", image)
        np.save(f"{out}/{name}_out.npy", resized)


if __name__ == "__main__":
    main(*sys.argv[1:])
