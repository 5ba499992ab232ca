"""Evaluates masks and CAMs by the definitions, slowly, in numpy alone: the other implementation that 45.eval.ts compares with.
   evaluate.py FOLDER: FOLDER/list.json has [{"id", "width", "height"}], FOLDER/raw/ID.{mask,truth} the maps' bytes; classes: argv[2]
   prints the figures as JSON; with a third argument the folder of CAMs (.npz or .npy) and rules as JSON in the fourth."""

import json
import sys

import numpy as np

folder, size = sys.argv[1], int(sys.argv[2])
pictures = json.load(open(f"{folder}/list.json"))


def load(picture, kind):
    return np.fromfile(f"{folder}/raw/{picture['id']}.{kind}", np.uint8).reshape(picture["height"], picture["width"])


def band(binary, width):
    """The published mask_to_boundary: erode with a 3 x 3 square, `width` times, nothing outside the picture."""
    eroded = np.pad(binary, width)
    for _ in range(width):
        around = [np.roll(eroded, (dy, dx), (0, 1)) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
        eroded = np.logical_and.reduce(around)
    h, w = binary.shape
    return binary & ~eroded[width : width + h, width : width + w]


def evaluate(maskOf):
    hist = np.zeros((size, size + 1), np.int64)
    both, true, found = np.zeros(size), np.zeros(size), np.zeros(size)
    for picture in pictures:
        truth, mask = load(picture, "truth").astype(int), maskOf(picture).astype(int)
        known = truth != 255
        for t, m in zip(truth[known], mask[known]):
            hist[t, size if m == 255 else m] += 1
        mask = np.where(known, mask, 255)
        width = max(1, int(round(0.02 * np.sqrt(truth.shape[0] ** 2 + truth.shape[1] ** 2))))
        for value in range(size):
            a, b = band(truth == value, width), band(mask == value, width)
            both[value] += (a & b).sum()
            true[value] += a.sum()
            found[value] += b.sum()
    right = np.diag(hist).astype(float)
    with np.errstate(all="ignore"):
        iou = right / (hist.sum(1) + hist[:, :size].sum(0) - right)
        boundary = both / (true + found - both)
    return {
        "miou": np.nanmean(iou),
        "boundaryMiou": np.nanmean(boundary),
        "pixelAccuracy": right.sum() / hist.sum(),
        "iou": [None if np.isnan(x) else x for x in iou],
        "boundary": [None if np.isnan(x) else x for x in boundary],
        "confusion": hist.tolist(),
    }


def cams_mask(rule):
    def of(picture):
        try:
            file = np.load(f"{sys.argv[3]}/{picture['id']}.npz")
        except FileNotFoundError:
            file = np.load(f"{sys.argv[3]}/{picture['id']}.npy", allow_pickle=True).item()
        maps = file["attn_highres"].astype(np.float64)
        most = maps.max(0)
        background = np.full_like(most, rule["threshold"]) if "threshold" in rule else (1 - most) ** rule["power"]
        return np.concatenate([[0], file["keys"] + 1])[np.argmax(np.concatenate([background[None], maps]), 0)]

    return of


if len(sys.argv) > 3:
    print(json.dumps([evaluate(cams_mask(rule)) for rule in json.loads(sys.argv[4])]))
else:
    print(json.dumps(evaluate(lambda picture: load(picture, "mask"))))
