"""Golden results of maps by similarity, for photos that make_golden.py wrote.

    python make_similarity.py ARCHIVE.pt OUT/PHOTO …

Computed in float64, written as float32 into OUT/PHOTO/similarity/: for each preset PRESET_features (N, E), PRESET_maps and
PRESET_refined (1 + K, N); for naclip, and for naclip in windows of 3 patches with a stride of 2, also mask and confidence at the
photo's size, without refinement and with it.
"""
import sys
from dataclasses import replace

import torch

import clip_es as O
import similarity as S
from case_files import read, write


def main(archive, *photos):
    w = O.load(archive, torch.float64)
    variants = {**S.PRESETS, "windows": replace(S.PRESETS["naclip"], window=3 * w.patch, stride=2 * w.patch)}
    for photo in photos:
        image, texts, K, label_of_text = read(photo)
        out = f"{photo}/similarity"
        for name, settings in variants.items():
            with torch.no_grad():
                r = S.segment(w, settings, image, texts, label_of_text, K)
                features = S.patch_features(w, settings, O.preprocess(image, w.patch))
            if name != "windows":
                write(out, f"{name}_features", features)
            write(out, f"{name}_maps", r["maps"].flatten(1))
            write(out, f"{name}_refined", r["refined"].flatten(1))
            if name in ("naclip", "windows"):
                for stage, prefix in (("full", name), ("refined_full", f"{name}_refined")):
                    write(out, f"{prefix}_confidence", r[stage].max(0).values)
                    write(out, f"{prefix}_mask", r[stage].argmax(0).to(torch.uint8))
            print(photo, name, "largest probabilities", [round(float(m.max()), 3) for m in r["maps"]])


if __name__ == "__main__":
    torch.set_num_threads(2)
    main(*sys.argv[1:])
