"""Golden results of several scales and the mirrored photo, for photos that make_golden.py wrote.

    python make_views.py ARCHIVE.pt OUT/PHOTO …

Computed in float64, written as float32 into OUT/PHOTO/views/: for the scales 0.5, 1 and 1.5, each also mirrored, the scores of the labels (K),
mask and confidence at the photo's size, by GradCAM and by similarity (naclip), without refinement and with it. The same, of the label with
the largest score only, for GradCAM with refinement: the other labels' scores are below minScore.
"""
import os
import sys

import torch

import clip_es as O
import similarity as S
import views as V
from case_files import read, write

SCALES, FLIP = (0.5, 1, 1.5), True


def write_mask(folder, name, maps, scores):
    """maps (1 + K, H, W), the background first."""
    write(folder, f"{name}_scores", scores)
    write(folder, f"{name}_confidence", maps.max(0).values)
    write(folder, f"{name}_mask", maps.argmax(0).to(torch.uint8))


def main(archive, *photos):
    w = O.load(archive, torch.float64)
    for photo in photos:
        image, texts, K, label_of_text = read(photo)
        out = f"{photo}/views"
        for refine in (False, True):
            suffix = "_refined" if refine else ""
            maps, scores = V.gradcam(w, image, texts, K, refine, SCALES, FLIP)
            write_mask(out, f"gradcam{suffix}", O.pseudo_mask(maps)[1], scores)
            if refine:
                write_mask(out, "one_label", O.pseudo_mask(V.without_low_scores(maps, scores, scores.max()))[1], scores)
            with torch.no_grad():
                maps, scores = V.similarity(w, S.PRESETS["naclip"], image, texts, label_of_text, K, refine, SCALES, FLIP)
            write_mask(out, f"similarity{suffix}", maps, scores)
        print(photo, os.listdir(out))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(*sys.argv[1:])
