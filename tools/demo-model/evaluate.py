"""Top-1 and mask quality of an archive, by the reference implementation in ../golden.

    python evaluate.py ARCHIVE.pt SPRITES.pt CLASSES.json [--scenes 400] [--sheet sheet.png] [--write SCENES_DIR]

Scenes are 320x240 with 1-3 objects; the names of what is in the picture are given (as in the paper), the background
words are the competitors, background = 1 - largest map, no CRF. 'class' pools pixels per class over all scenes,
background included (VOC's mIoU); 'object' averages the IoU of every single object. The initial CAM is judged by the
same rule as CAA, at its own grid enlarged bilinearly. CLASSES.json is a class file of the product.
"""
import argparse
import json
import os

import numpy as np
import torch
from PIL import Image

import oracle  # noqa: F401  (finds ../golden)
import clip_es as O
from backgrounds import KINDS, background_pool
from make_golden import VOCABULARY, Tokenizer
from scenes import compose
from sprites import Sprites, styles_of

H, W = 240, 320
TOKENS = 16                                  # longest prompt here; a text's embedding does not depend on its padding
SHIPPED_SCENES, SHIPPED_SEED = 12, 2024
SCENES_SEED, SINGLE_SEED = 4242, 77
SHEET = 24                                   # scenes on the contact sheet
PALETTE = [(0, 0, 0), (255, 64, 64), (64, 160, 255), (255, 220, 40)]


def arguments():
    ap = argparse.ArgumentParser(description="Judges an archive of the demo model.")
    ap.add_argument("archive")
    ap.add_argument("sprites", help="what sprites.py wrote")
    ap.add_argument("classes", help="class file")
    ap.add_argument("--scenes", type=int, default=400)
    ap.add_argument("--threads", type=int, default=1)
    ap.add_argument("--sheet", help="PNG of photo, truth, initial CAM and CAA side by side to write")
    ap.add_argument("--write", help="folder to write the demo's twelve scenes to")
    ap.add_argument("--power", type=float, default=1.0, help="background = (1 - largest map) ** power")
    ap.add_argument("--background", help="comma-separated words instead of the class file's")
    ap.add_argument("--vocabulary", default=VOCABULARY, help="CLIP's merges")
    return ap.parse_args()


class Judge:
    """A model with its classes encoded. texts (C, E), background (M, E): unit rows."""

    def __init__(self, archive, classes, vocabulary):
        self.w, tokenizer = O.load(archive), Tokenizer(vocabulary)
        self.names = [c["name"] for c in classes["classes"]]

        def embed(words):
            prompts = [tokenizer(classes["template"].format(word))[:TOKENS] for word in words]
            return O.class_embedding(self.w, torch.stack(prompts))

        with torch.no_grad():
            self.texts = torch.stack([embed(c.get("synonyms", [c["name"]])) for c in classes["classes"]])
            self.background = torch.stack([embed([b]) for b in classes["background"]])

    def segment(self, image, objects):
        """-> {"cam", "caa"}: maps (K, H, W) of the objects, before and after refinement."""
        r = O.segment(self.w, image, torch.cat([self.texts[objects], self.background]), len(objects))
        size = image.size[::-1]
        return {"cam": torch.stack([O.resize(c, *size) for c in r["cams"]]), "caa": r["refined_full"]}

    @torch.no_grad()
    def classify(self, image):
        """-> {"patch mean", "class token"}: the most probable class, of all."""
        w = self.w
        x, _, _ = O.encode_image(w, O.preprocess(image, w.patch))
        x, _ = O.block(w, f"visual.transformer.resblocks.{w.layers('visual.transformer.') - 1}", x)
        token = O.layer_norm(w, "visual.ln_post", x)[0] @ w["visual.proj"]
        return {"patch mean": int(O.class_probabilities(w, x, self.texts).argmax()),
                "class token": int((self.texts @ token).argmax())}


def make_scenes(sprites, n, seed, counts=(0.34, 0.33, 0.33), size=(70, 180)):
    """-> PIL images, objects, grounds, masks (n, H, W) of class id + 1."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    pool = background_pool(3, seed + 1)
    img, objects, grounds, mask = compose(sprites, pool, n, H, W, rng, counts, size, 0.25, masks=True)
    img = (img * 255).round().byte().permute(0, 2, 3, 1).numpy()
    return [Image.fromarray(i) for i in img], objects, grounds, mask.numpy()


def confusion(predicted, truth, C):
    index = truth.reshape(-1).astype(np.int64) * (C + 1) + predicted.reshape(-1)
    return np.bincount(index, minlength=(C + 1) ** 2).reshape(C + 1, C + 1)


def mean_iou(conf):
    inter, union = np.diag(conf), conf.sum(0) + conf.sum(1) - np.diag(conf)
    return float((inter / np.maximum(union, 1))[conf.sum(1) > 0].mean())


def iou(predicted, truth, value):
    p, t = predicted == value, truth == value
    return float((p & t).sum() / (p | t).sum())


def top1(judge, sprites, n):
    """-> {score: share of right answers}, names of what was confused by the patch mean."""
    right, wrong = {"patch mean": 0, "class token": 0}, []
    images, objects, _, _ = make_scenes(sprites, n, SINGLE_SEED, (1, 0, 0))
    for image, (truth,) in zip(images, objects, strict=True):
        answer = judge.classify(image)
        for score, k in answer.items():
            right[score] += k == truth
        if answer["patch mean"] != truth:
            wrong.append(f"{judge.names[truth]}>{judge.names[answer['patch mean']]}")
    return {score: round(v / n, 3) for score, v in right.items()}, wrong


def mask_quality(judge, sprites, n, power):
    """-> {"class": {map: mIoU}, "object": {map: mean IoU}}, rows of the contact sheet."""
    C = len(judge.names)
    conf, per_object, rows = {"cam": 0, "caa": 0}, {"cam": [], "caa": []}, []
    images, objects, _, masks = make_scenes(sprites, n, SCENES_SEED)
    for image, o, truth in zip(images, objects, masks, strict=True):
        value = np.array([0] + [c + 1 for c in o])
        shown = [truth]
        for k, maps in judge.segment(image, o).items():
            predicted = value[O.pseudo_mask(maps, power)[0].numpy()]
            conf[k] = conf[k] + confusion(predicted, truth, C)
            per_object[k] += [iou(predicted, truth, c + 1) for c in o if (truth == c + 1).any()]
            shown.append(predicted)
        if len(rows) < SHEET:
            rows.append(sheet_row(np.asarray(image, np.float32), shown, o))
    return {"class": {k: round(mean_iou(v), 3) for k, v in conf.items()},
            "object": {k: round(float(np.mean(v)), 3) for k, v in per_object.items()}}, rows


def sheet_row(photo, masks, objects):
    tiles = [photo]
    for m in masks:
        colour = np.zeros_like(photo)
        for j, c in enumerate(objects):
            colour[m == c + 1] = PALETTE[j + 1]
        tiles.append(np.where((m > 0)[..., None], 0.4 * photo + 0.6 * colour, photo * 0.75))
    return np.concatenate(tiles, 1)[::2, ::2].clip(0, 255).astype(np.uint8)


def write_scenes(out, judge, sprites):
    """Twelve held-out scenes for the demo: PNG, indexed ground truth (0 background, i + 1 = i-th label), labels.json
    with the reference implementation's IoU of every object."""
    os.makedirs(out, exist_ok=True)
    labels = {}
    scenes = zip(*make_scenes(sprites, SHIPPED_SCENES, SHIPPED_SEED), strict=True)
    for i, (image, objects, grounds, mask) in enumerate(scenes):
        name = f"scene{i + 1:02d}"
        image.save(f"{out}/{name}.png", optimize=True)
        index = np.zeros_like(mask)
        for j, c in enumerate(objects):
            index[mask == c + 1] = j + 1
        p = Image.fromarray(index)
        p.putpalette([v for c in PALETTE for v in c] + [0] * (768 - 3 * len(PALETTE)))
        p.save(f"{out}/{name}_mask.png", optimize=True)
        found = {k: O.pseudo_mask(maps)[0].numpy() for k, maps in judge.segment(image, objects).items()}
        labels[name] = {"labels": [judge.names[c] for c in objects], "background": [KINDS[k] for k in grounds]} | {
            f"iou_{k}": [round(iou(m, index, j + 1), 3) for j in range(len(objects))] for k, m in found.items()}
    with open(f"{out}/labels.json", "w") as f:
        json.dump(labels, f, indent=1)
    print("scenes are in", out, flush=True)


def main():
    a = arguments()
    torch.set_num_threads(a.threads)
    torch.set_flush_denormal(True)
    with open(a.classes) as f:
        classes = json.load(f)
    if a.background:
        classes["background"] = a.background.split(",")
    judge = Judge(a.archive, classes, a.vocabulary)
    seen, held_out = styles_of(a.sprites)
    for kind, styles in (("held-out style", held_out), ("seen styles", seen)):
        sprites = Sprites(a.sprites, styles)
        assert sprites.classes == judge.names, "the sprites were packed for other classes than the class file's"
        right, wrong = top1(judge, sprites, 2 * a.scenes)
        print(f"{kind}: top-1 of {len(judge.names)}", right, "confused:", *wrong[:25], flush=True)
        quality, rows = mask_quality(judge, sprites, a.scenes, a.power)
        print(f"{kind}: IoU per class", quality["class"], "per object", quality["object"], flush=True)
        if styles == held_out and a.sheet:
            columns = [rows[i::2][:max(1, len(rows) // 2)] for i in range(min(2, len(rows)))]    # of equal length
            Image.fromarray(np.concatenate([np.concatenate(c, 0) for c in columns], 1)).save(a.sheet)
        if styles == held_out and a.write:
            write_scenes(a.write, judge, sprites)


if __name__ == "__main__":
    main()
