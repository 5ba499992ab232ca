"""Dense maps by similarity, step by step, in plain PyTorch: the definition of maps: 'similarity'.

Every patch gets an embedding in the space of texts, and one softmax compares it with all words. CLIP's last block mixes the
patches so much that they all look alike, so the block is changed. The steps come from three papers:

- NACLIP (arXiv 2404.08181): key-key attention with a Gaussian prior on the neighbourhood, no residual, no feed-forward.
- ResCLIP (arXiv 2411.15851): the attention of earlier blocks is mixed into the last one (its RCS module).
- SC-CLIP (arXiv 2411.15869): outliers among the tokens are repaired, and the similarity in middle layers guides the last block.

Each step is a setting, and each published method is one row of PRESETS. Papers count the blocks of a ViT with 12; block_at() finds
the same depth in another one. Shapes are those of clip_es.py: N patches, n = N + 1 tokens, D width, H heads, E embedding, C texts.
"""
from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F

import clip_es as O


@dataclass(frozen=True)
class Settings:
    key_attention: bool = False     # softmax(k k^T) instead of softmax(q k^T)
    neighbourhood: float = 0        # standard deviation of the Gaussian prior, in patches; 0: no prior
    residual: bool = True
    feed_forward: bool = True
    attend_class: bool = True       # the class token takes part in the last attention
    mix: float = 0                  # share of the earlier blocks' attention
    mix_factor: float = 1           # factor of the mixed attention
    repair: float = 0               # share of the patches that are outliers
    mid_attention: bool = False     # half of the last attention is the softmax of the mid-layer similarity
    aggregate: bool = False         # patches average similar ones, before and after the last block
    fuse: bool = False              # adds the pass of the sum of the middle blocks
    class_token: float = 0          # share of the class token that is added to every patch
    logit_scale: float = 40
    window: int = 0                 # pixels; 0: the whole photo
    stride: int = 0                 # pixels; 0: half a window


_CHANGED = Settings(key_attention=True, residual=False, feed_forward=False)
PRESETS = {
    "clip": Settings(),
    "naclip": replace(_CHANGED, neighbourhood=5),
    "resclip": replace(_CHANGED, neighbourhood=5, mix=0.3, mix_factor=2),
    "sc-clip": replace(_CHANGED, attend_class=False, repair=0.05, mid_attention=True, aggregate=True, fuse=True, class_token=0.3),
}

LOCAL_NEIGHBOURS = 30       # of the local outlier factor
LEAST_SIMILARITY = 0.4      # smaller similarities do not count when patches are averaged
SHARPNESS = 3.0             # of the mid-layer similarity before its softmax
MIXED_BLOCKS = range(6, 10)  # ResCLIP: blocks 6 to 9 of 12
MID_BLOCK = 9               # SC-CLIP: the similarity before the last block
LATE_BLOCK = 4              # SC-CLIP: the similarity after the last block
FUSED_BLOCKS = range(4, 11)  # SC-CLIP: blocks 4 to 10 of 12


def block_at(block: int, layers: int) -> int:
    """The block, counted from 1, at the depth that `block` has in a tower of 12. Never the last one, if there are others."""
    return min(max((2 * block * layers + 12) // 24, 1), max(layers - 1, 1))


def blocks_at(blocks, layers: int) -> list[int]:
    return sorted({block_at(b, layers) for b in blocks})


# ---------------------------------------------------------------- the image tower
def tower(w: O.Weights, pixels):
    """Outputs of all blocks except the last: outputs[b] (n, D) of block b, outputs[0] entering block 1; and the attentions."""
    p = w.patch
    gh, gw = pixels.shape[1] // p, pixels.shape[2] // p
    x = F.conv2d(pixels[None].to(w["visual.conv1.weight"].dtype), w["visual.conv1.weight"], stride=p).flatten(2)[0].T
    x = torch.cat([w["visual.class_embedding"][None], x]) + O.positional_embedding(w, gh, gw)
    outputs, attentions = [O.layer_norm(w, "visual.ln_pre", x)], []
    for i in range(w.layers("visual.transformer.") - 1):
        x, attention = O.block(w, f"visual.transformer.resblocks.{i}", outputs[-1])
        outputs.append(x)
        attentions.append(attention)
    return outputs, attentions, (gh, gw)


def heads(x):
    return x.view(x.shape[0], -1, 64).transpose(0, 1)                      # (n, D) -> (H, n, 64)


def query_key_value(w: O.Weights, block: int, x):
    """block counts from 1. Each is (H, n, 64)."""
    name = f"visual.transformer.resblocks.{block - 1}"
    qkv = O.layer_norm(w, name + ".ln_1", x) @ w[name + ".attn.in_proj_weight"].T + w[name + ".attn.in_proj_bias"]
    return [heads(part) for part in qkv.chunk(3, dim=1)]


# ---------------------------------------------------------------- SC-CLIP: outliers and similarity
def find_outliers(patches, share: float):
    """The patches (N, D) with the largest local outlier factors. The released code compares a patch's squared distance to its
    k-th neighbour with those of its k neighbours."""
    N = patches.shape[0]
    k = min(LOCAL_NEIGHBOURS, N - 1)
    if k < 1:
        return torch.zeros(N, dtype=torch.bool)
    squares = (patches[:, None] - patches[None]).pow(2).sum(-1)
    nearest, index = squares.topk(k + 1, largest=False)
    reach, neighbours = nearest[:, -1], index[:, 1:]                       # the nearest one is the patch itself
    factor = (reach[:, None] / reach[neighbours]).mean(1)
    return factor > torch.quantile(factor, 1 - share)


def repair(patches, outliers, gh: int, gw: int):
    """Each outlier becomes the mean of those of its 8 neighbours that are none. Without such a neighbour it stays as it is."""
    out = patches.clone()
    for i in outliers.nonzero()[:, 0].tolist():
        y, x = divmod(i, gw)
        near = [a * gw + b for a in range(max(y - 1, 0), min(y + 2, gh)) for b in range(max(x - 1, 0), min(x + 2, gw))]
        good = [j for j in near if not outliers[j]]
        if good:
            out[i] = patches[good].mean(0)
    return out


def similarity(patches):
    unit = patches / patches.norm(dim=1, keepdim=True)
    return unit @ unit.T


def average_similar(s, x):
    """Every row becomes the mean of all rows, weighted by the similarities of at least LEAST_SIMILARITY."""
    weight = torch.where(s < LEAST_SIMILARITY, 0, s)
    return weight / (weight.sum(1, keepdim=True) + 1e-6) @ x


def mid_attention(s):
    """Softmax of the similarities above their mean."""
    s = (s - s.mean()) * SHARPNESS
    return torch.where(s < 0, -torch.inf, s).softmax(1)


# ---------------------------------------------------------------- the last block
def neighbourhood_prior(gh: int, gw: int, std: float):
    """(N, N): e^(-d^2 / (2 std^2)) of the distance d between two patches. It is added to the scores before the softmax."""
    y, x = torch.meshgrid(torch.arange(gh), torch.arange(gw), indexing="ij")
    at = torch.stack([y, x], -1).reshape(-1, 2).double()
    return torch.exp(-(at[:, None] - at[None]).pow(2).sum(-1) / (2 * std ** 2))


def last_attention(w: O.Weights, settings: Settings, outputs, x, grid, mid):
    """The changed attention of the last block, before out_proj. x: the tokens that take part, (n, D) or without the class token
    (N, D). mid: the similarity of the middle block, or None."""
    layers, first = w.layers("visual.transformer."), 0 if settings.attend_class else 1
    q, k, v = query_key_value(w, layers, x)
    scores = (k if settings.key_attention else q) / 8 @ k.transpose(1, 2)
    if settings.neighbourhood > 0:
        scores[:, 1 - first:, 1 - first:] += neighbourhood_prior(*grid, settings.neighbourhood).to(scores.dtype)
    attention = scores.softmax(-1)
    if settings.mix > 0:
        earlier = []
        for block in blocks_at(MIXED_BLOCKS, layers):
            q, k, _ = query_key_value(w, block, outputs[block - 1][first:])
            earlier.append((q / 8 @ k.transpose(1, 2)).softmax(-1))
        attention = settings.mix_factor * ((1 - settings.mix) * attention + settings.mix * torch.stack(earlier).mean(0))
    if mid is not None:
        middle = torch.zeros_like(attention)
        middle[:, 1 - first:, 1 - first:] = mid_attention(mid)
        if first == 0:
            middle[:, 0, 0] = 1                                             # the class token keeps its value
        attention = (attention + middle) / 2
    return (attention @ v).transpose(0, 1).reshape(x.shape)


def last_block(w: O.Weights, settings: Settings, outputs, patches, class_token, grid, mid):
    """patches (N, D), class_token (1, D) -> the block's output for the patches (N, D)."""
    name = f"visual.transformer.resblocks.{w.layers('visual.transformer.') - 1}"
    x = torch.cat([class_token, patches]) if settings.attend_class else patches
    attended = last_attention(w, settings, outputs, x, grid, mid)[-len(patches):]
    out = attended @ w[name + ".attn.out_proj.weight"].T + w[name + ".attn.out_proj.bias"]
    out = out + settings.class_token * class_token
    if settings.residual:
        out = out + patches
    if settings.feed_forward:
        h = O.layer_norm(w, name + ".ln_2", out) @ w[name + ".mlp.c_fc.weight"].T + w[name + ".mlp.c_fc.bias"]
        h = O.quick_gelu(h) @ w[name + ".mlp.c_proj.weight"].T + w[name + ".mlp.c_proj.bias"]
        out = out + h if settings.residual else h
    return out


def patch_features(w: O.Weights, settings: Settings, pixels):
    """pixels (3, h, w) -> unit rows (N, E) in the space of texts."""
    outputs, _, (gh, gw) = tower(w, pixels)
    layers = w.layers("visual.transformer.")
    class_token, patches = outputs[-1][:1], outputs[-1][1:]
    outliers = find_outliers(patches, settings.repair) if settings.repair > 0 else torch.zeros(gh * gw, dtype=torch.bool)
    patches = repair(patches, outliers, gh, gw)
    of_block = lambda b: outputs[min(block_at(b, layers), layers - 1)][1:]
    mid = similarity(repair(of_block(MID_BLOCK), outliers, gh, gw)) if settings.mid_attention or settings.aggregate else None
    late = similarity(of_block(LATE_BLOCK))
    if settings.aggregate:
        patches = average_similar(mid, patches)
    finish = lambda x: average_similar(late, x) if settings.aggregate else x
    run = lambda patches, token: finish(
        last_block(w, settings, outputs, patches, token, (gh, gw), mid if settings.mid_attention else None))
    x = run(patches, class_token)
    if settings.fuse:
        fused = sum(outputs[min(b, layers - 1)] for b in blocks_at(FUSED_BLOCKS, layers))
        x = x + run(fused[1:], fused[:1])
    z = O.layer_norm(w, "visual.ln_post", x) @ w["visual.proj"]
    return z / z.norm(dim=1, keepdim=True)


# ---------------------------------------------------------------- words
def places(size: int, window: int, stride: int) -> list[int]:
    """Where the windows begin in one direction. The last one ends at the photo's end."""
    if window >= size:
        return [0]
    return [*range(0, size - window, stride), size - window]


def text_cosines(w: O.Weights, settings: Settings, pixels, texts):
    """texts (C, E) -> cosines (C, gh, gw). With windows: (C, h, w), the mean over the windows that contain a pixel, after each
    window's cosines were enlarged to its pixels."""
    p, (_, h, wd) = w.patch, pixels.shape
    whole = lambda part: (texts @ patch_features(w, settings, part).T).reshape(len(texts), part.shape[1] // p, part.shape[2] // p)
    if settings.window == 0:
        return whole(pixels)
    window = -(-settings.window // p) * p
    stride = max((settings.stride or settings.window // 2) // p, 1) * p
    total, count = torch.zeros(len(texts), h, wd, dtype=texts.dtype), torch.zeros(h, wd, dtype=texts.dtype)
    for y in places(h, window, stride):
        for x in places(wd, window, stride):
            part = pixels[:, y:y + window, x:x + window]
            total[:, y:y + window, x:x + window] += F.interpolate(
                whole(part)[None], part.shape[1:], mode="bilinear", align_corners=False)[0]
            count[y:y + window, x:x + window] += 1
    return total / count


def word_probabilities(settings: Settings, cosines, label_of_text, K: int):
    """cosines (C, h, w) -> (1 + K, h, w): the background, then the labels. label_of_text: 0 for a background word, k + 1 for label k.
    The largest probability among the texts of a label stands for it."""
    p = (settings.logit_scale * cosines).softmax(0)
    out = torch.zeros(1 + K, *p.shape[1:], dtype=p.dtype)
    for c, label in enumerate(label_of_text):
        out[label] = torch.maximum(out[label], p[c])
    return out


def segment(w: O.Weights, settings: Settings, image, texts, label_of_text, K: int, box_threshold: float = 0.4, scale: float = 1,
            mirrored: bool = False):
    """Every stage's result in a dict. `full` (1 + K, H, W) without refinement, `refined_full` with it. scale, mirrored: see
    clip_es.preprocess()."""
    W, H = image.size
    pixels = O.preprocess(image, w.patch, scale, mirrored)
    outputs, attentions, (gh, gw) = tower(w, pixels)
    cosines = text_cosines(w, settings, pixels, texts)
    full = word_probabilities(settings, enlarge(cosines, H, W), label_of_text, K)
    maps = word_probabilities(settings, cosines, label_of_text, K)
    if settings.window > 0:
        maps = F.avg_pool2d(maps[None], w.patch)[0]
    _, last = O.block(w, f"visual.transformer.resblocks.{w.layers('visual.transformer.') - 1}", outputs[-1])
    a = O.affinity(O.mean_attention([*attentions, last]))
    boxes = torch.stack([torch.ones(gh, gw), *(O.box_mask(O.min_max(m), box_threshold) for m in maps[1:])])
    refined = torch.stack([to_range_of(m, O.refine(m, a, b)) for m, b in zip(maps, boxes, strict=True)])
    return dict(cosines=cosines, maps=maps, full=full, refined=refined, refined_full=enlarge(refined, H, W))


def to_range_of(m, refined):
    """The refined map with the range of the map m. CAA spreads every map; so the map of an absent word stays low, and that of one that
    is there stays high."""
    return m.min() + (m.max() - m.min()) * O.min_max(refined)


def enlarge(maps, height: int, width: int):
    return F.interpolate(maps[None], (height, width), mode="bilinear", align_corners=False)[0]
