"""Golden results of every stage, for one archive and some photos.

    python make_golden.py ARCHIVE.pt OUT_DIR PHOTO:ID[,ID...][!] …

The texts below are tokenised with CLIP's own merges ($CLIP_BPE, default the repository's copy). The ids after a photo
choose the asked-for classes; "!" moves the first class's embedding towards the image until its probability is almost
one. Computed in float64, written as float32: OUT_DIR/texts/ and OUT_DIR/PHOTO/, one plain .npy per stage (names and
shapes as in clip_es.py), the texts used, the mask and its confidence, and the decoded pixels as photo.ppm, so that any
language can read them.
"""
import gzip
import html
import json
import os
import re
import sys

import numpy as np
import torch
from PIL import Image

import clip_es as O

CLASSES = [                                      # the paper's words for VOC: synonyms joined in one prompt
    "aeroplane", "bicycle", "bird avian", "boat", "bottle", "bus", "car", "cat", "chair seat", "cow", "diningtable",
    "dog", "horse", "motorbike", "person with clothes,people,human", "pottedplant", "sheep", "sofa", "train",
    "tvmonitor screen"]
BACKGROUND = [
    "ground", "land", "grass", "tree", "building", "wall", "sky", "lake", "water", "river", "sea", "railway",
    "railroad", "keyboard", "helmet", "cloud", "house", "mountain", "ocean", "road", "rock", "street", "valley",
    "bridge", "sign"]
TEMPLATE = "a clean origami {}."
VOCABULARY = os.environ.get("CLIP_BPE", os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "../../data/clip_merges.txt.gz"))


def byte_alphabet():
    keep = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = {b: chr(b) for b in keep}
    for i, b in enumerate(b for b in range(256) if b not in table):
        table[b] = chr(256 + i)
    return {b: table[b] for b in [*keep, *(b for b in range(256) if b not in keep)]}


class Tokenizer:
    """CLIP's lower-cased byte-pair encoding, for ASCII text. vocab_size < 49408 keeps the first merges only."""

    def __init__(self, path=VOCABULARY, vocab_size=49408):
        merges = gzip.open(path).read().decode().split("\n")[1:vocab_size - 512 - 2 + 1]
        merges = [tuple(m.split()) for m in merges]
        self.bytes = byte_alphabet()
        letters = list(self.bytes.values())
        self.ids = {t: i for i, t in enumerate([*letters, *(c + "</w>" for c in letters), *map("".join, merges),
                                                "<|startoftext|>", "<|endoftext|>"])}
        self.rank = {m: i for i, m in enumerate(merges)}

    def word(self, text):
        parts = [*text[:-1], text[-1] + "</w>"]
        while len(parts) > 1:
            best = min(zip(parts, parts[1:], strict=False), key=lambda m: self.rank.get(m, 1e9))
            if best not in self.rank:
                break
            out, i = [], 0
            while i < len(parts):
                if tuple(parts[i:i + 2]) == best:
                    out.append(parts[i] + parts[i + 1])
                    i += 2
                else:
                    out.append(parts[i])
                    i += 1
            parts = out
        return parts

    def __call__(self, text, length=77):
        text = re.sub(r"\s+", " ", html.unescape(html.unescape(text))).strip().lower()
        ids = [self.ids["<|startoftext|>"]]
        for w in re.findall(r"'s|'t|'re|'ve|'m|'ll|'d|[a-z]+|[0-9]|[^\sa-z0-9]+", text):
            ids += [self.ids[t] for t in self.word("".join(self.bytes[b] for b in w.encode()))]
        ids.append(self.ids["<|endoftext|>"])
        assert len(ids) <= length, text
        return torch.tensor(ids + [0] * (length - len(ids)))


def write(folder, arrays):
    os.makedirs(folder, exist_ok=True)
    for name, value in arrays.items():
        value = np.asarray(value)
        np.save(f"{folder}/{name}.npy", value.astype(np.float32) if value.dtype == np.float64 else value)


def main(archive, out, *photos):
    w = O.load(archive, torch.float64)
    tok = Tokenizer(VOCABULARY, w["token_embedding.weight"].shape[0])
    length = w["positional_embedding"].shape[0]
    tokens = torch.stack([tok(TEMPLATE.format(c), length) for c in CLASSES + BACKGROUND])
    emb = torch.stack([O.class_embedding(w, t[None]) for t in tokens])
    write(f"{out}/texts", dict(tokens=tokens.int().numpy(), embeddings=emb.numpy()))
    json.dump(dict(classes=CLASSES, background=BACKGROUND, template=TEMPLATE), open(f"{out}/texts/texts.json", "w"))
    for item in photos:
        path, spec = item.rsplit(":", 1)
        saturate = spec.endswith("!")                    # one class almost certain: 1 - p underflows in float32
        ids = [int(i) for i in spec.rstrip("!").split(",")]
        image, texts = Image.open(path).convert("RGB"), torch.cat([emb[ids], emb[len(CLASSES):]])
        if saturate:
            x, _, _ = O.encode_image(w, O.preprocess(image, w.patch))
            last, _ = O.block(w, f"visual.transformer.resblocks.{w.layers('visual.transformer.') - 1}", x)
            f = O.layer_norm(w, "visual.ln_post", last)[1:].mean(0) @ w["visual.proj"]
            t = texts[0] + 0.25 * f / f.norm()
            texts[0] = t / t.norm()
        r = O.segment(w, image, texts, len(ids))
        label, score = O.pseudo_mask(r["refined_full"])
        name = os.path.splitext(os.path.basename(path))[0] + ("_saturated" if saturate else "")
        write(f"{out}/{name}", dict(
            {k: v.numpy() for k, v in r.items()}, class_ids=np.array(ids, np.int32), texts=texts.numpy(),
            mask=label.numpy(), confidence=score.max(0).values.numpy()))
        image.save(f"{out}/{name}/photo.ppm")
        print(name, {k: tuple(v.shape) for k, v in r.items()}, "probabilities", r["probabilities"][:len(ids)].tolist(),
              "refined range", [(round(float(m.min()), 4), round(float(m.max()), 4)) for m in r["refined"]])


if __name__ == "__main__":
    torch.set_num_threads(2)
    main(*sys.argv[1:])
