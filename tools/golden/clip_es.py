"""CLIP-ES, stage by stage, in plain PyTorch: the oracle that every stage of the engine is compared with.

Written for reading, not for speed: no trick, one loop per class, full N x N x N affinity product.
It follows the published method (arXiv 2212.09506) with the constants and quirks of the authors' released
pipeline, and agrees with that pipeline stage by stage (see README.md beside this file for the measured
differences). Golden data are made with it in float64; in float32 it shows what rounding alone costs.

Shapes: N = gh * gw patches, n = N + 1 tokens (class token first), D = width, K = classes asked for,
M = background texts, C = K + M.
"""
from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

PIXEL_MEAN = (0.48145466, 0.4578275, 0.40821073)
PIXEL_STD = (0.26862954, 0.26130258, 0.27577711)


# ---------------------------------------------------------------- checkpoint
@dataclass
class Weights:
    """Parameters under OpenAI's names, in one dtype. Every size is read off the tensors."""
    p: dict[str, torch.Tensor]

    def __getitem__(self, name: str) -> torch.Tensor:
        return self.p[name]

    @property
    def patch(self) -> int:
        return self["visual.conv1.weight"].shape[-1]

    @property
    def width(self) -> int:
        return self["visual.conv1.weight"].shape[0]

    def layers(self, tower: str) -> int:
        return len({k for k in self.p if k.startswith(tower + "resblocks.") and k.endswith("attn.in_proj_weight")})


def load(path: str, dtype=torch.float32) -> Weights:
    """path: TorchScript archive whose state_dict has OpenAI's names (fp16 or fp32 tensors)."""
    state = torch.jit.load(path, map_location="cpu").state_dict()
    skip = ("input_resolution", "context_length", "vocab_size")
    return Weights({k: v.to(dtype) for k, v in state.items() if k not in skip})


# ---------------------------------------------------------------- transformer
def layer_norm(w: Weights, name: str, x):
    return F.layer_norm(x, x.shape[-1:], w[name + ".weight"], w[name + ".bias"], 1e-5)


def quick_gelu(x):
    return x * torch.sigmoid(1.702 * x)


def block(w: Weights, name: str, x, causal: bool = False, ln_1_out=None):
    """One residual attention block. x (n, D) -> (x, attention (n, n) averaged over heads).
    Heads are D / 64. ln_1_out, when given, replaces ln_1(x): GradCAM differentiates with respect to it."""
    n, D = x.shape
    H = D // 64
    y = layer_norm(w, name + ".ln_1", x) if ln_1_out is None else ln_1_out
    qkv = y @ w[name + ".attn.in_proj_weight"].T + w[name + ".attn.in_proj_bias"]
    q, k, v = qkv.view(n, 3, H, 64).permute(1, 2, 0, 3)                     # (H, n, 64)
    s = (q / 8.0) @ k.transpose(1, 2)
    if causal:
        s = s + torch.full((n, n), -math.inf, dtype=x.dtype).triu(1)
    a = s.softmax(-1)                                                       # (H, n, n)
    o = (a @ v).transpose(0, 1).reshape(n, D)
    x = x + o @ w[name + ".attn.out_proj.weight"].T + w[name + ".attn.out_proj.bias"]
    h = layer_norm(w, name + ".ln_2", x) @ w[name + ".mlp.c_fc.weight"].T + w[name + ".mlp.c_fc.bias"]
    x = x + quick_gelu(h) @ w[name + ".mlp.c_proj.weight"].T + w[name + ".mlp.c_proj.bias"]
    return x, a.mean(0)


# ---------------------------------------------------------------- text
def encode_text(w: Weights, tokens) -> torch.Tensor:
    """tokens (T, L) int -> (T, E), not normalised. The end-of-text token has the largest id."""
    out = []
    for t in tokens:
        x = w["token_embedding.weight"][t] + w["positional_embedding"][: len(t)]
        for i in range(w.layers("transformer.")):
            x, _ = block(w, f"transformer.resblocks.{i}", x, causal=True)
        x = layer_norm(w, "ln_final", x)
        out.append(x[int(t.argmax())] @ w["text_projection"])
    return torch.stack(out)


def class_embedding(w: Weights, tokens_of_one_class) -> torch.Tensor:
    """All prompts of one class (templates x synonyms): normalise each, average, normalise."""
    e = encode_text(w, tokens_of_one_class)
    e = (e / e.norm(dim=-1, keepdim=True)).mean(0)
    return e / e.norm()


# ---------------------------------------------------------------- image
def preprocess(image: Image.Image, patch: int, scale: float = 1, mirrored: bool = False) -> torch.Tensor:
    """Pillow bicubic to the next multiple of the patch size in each direction (aspect is not kept), then
    CLIP's normalisation. Returns (3, gh * patch, gw * patch). scale multiplies the photo's size before it is rounded up;
    the resized photo is mirrored from left to right."""
    W, H = image.size
    w, h = math.ceil(scale * W / patch) * patch, math.ceil(scale * H / patch) * patch
    a = np.asarray(image.convert("RGB").resize((w, h), Image.BICUBIC), np.float32) / np.float32(255)
    a = a[:, ::-1] if mirrored else a
    a = (a - np.array(PIXEL_MEAN, np.float32)) / np.array(PIXEL_STD, np.float32)
    return torch.from_numpy(np.ascontiguousarray(a.transpose(2, 0, 1)))


def positional_embedding(w: Weights, gh: int, gw: int, round_to_half: bool = False) -> torch.Tensor:
    """Patch part resized bilinearly (half-pixel centres) from the square training grid; class part kept.
    The released pipeline rounds the result to fp16 on every device: round_to_half=True repeats that."""
    e = w["visual.positional_embedding"]
    g = math.isqrt(e.shape[0] - 1)
    r = F.interpolate(e[1:].T.reshape(1, -1, g, g), (gh, gw), mode="bilinear", align_corners=False)
    e = torch.cat([e[:1], r.reshape(e.shape[1], -1).T])
    return e.half().to(e.dtype) if round_to_half else e


def encode_image(w: Weights, pixels, round_to_half: bool = False):
    """pixels (3, h, w) -> (x (n, D) entering the last block, attentions of the earlier blocks, (gh, gw))."""
    p = w.patch
    gh, gw = pixels.shape[1] // p, pixels.shape[2] // p
    x = F.conv2d(pixels[None].to(w["visual.conv1.weight"].dtype), w["visual.conv1.weight"], stride=p)
    x = x.flatten(2)[0].T                                                   # (N, D)
    x = torch.cat([w["visual.class_embedding"][None], x]) + positional_embedding(w, gh, gw, round_to_half)
    x = layer_norm(w, "visual.ln_pre", x)
    attentions = []
    for i in range(w.layers("visual.transformer.") - 1):
        x, a = block(w, f"visual.transformer.resblocks.{i}", x)
        attentions.append(a)
    return x, attentions, (gh, gw)


# ---------------------------------------------------------------- softmax GradCAM
def class_probabilities(w: Weights, x_last, texts):
    """Last block's output (n, D), texts (C, E) unit rows -> logits (C). The score pools the PATCH tokens,
    not the class token: mean of ln_post over patches, projected, normalised."""
    f = layer_norm(w, "visual.ln_post", x_last)[1:].mean(0) @ w["visual.proj"]
    f = f / f.norm()
    return w["logit_scale"].exp() * (texts / texts.norm(dim=1, keepdim=True)) @ f


def softmax_gradcam(w: Weights, x, texts, K: int):
    """x (n, D) entering the last block; texts (C, E), the K asked-for classes first, then the background.
    Returns cams (K, N) before normalisation, probabilities (C), logits (C), last attention (n, n)."""
    name = f"visual.transformer.resblocks.{w.layers('visual.transformer.') - 1}"
    y = layer_norm(w, name + ".ln_1", x).detach().requires_grad_(True)      # the activation GradCAM explains
    out, attention = block(w, name, x.detach(), ln_1_out=y)
    logits = class_probabilities(w, out, texts)
    prob = logits.softmax(-1)
    cams = []
    for k in range(K):
        (g,) = torch.autograd.grad(prob[k], y, retain_graph=True)
        weight = g[1:].mean(0)                                              # (D) channel weights
        cams.append((y.detach()[1:] @ weight).clamp_min(0))
    return torch.stack(cams), prob.detach(), logits.detach(), attention.detach()


def min_max(m):
    """Released normalisation: subtract the minimum, divide by 1e-7 + maximum. Over the last dimension(s) of one map."""
    m = m - m.min()
    return m / (1e-7 + m.max())


def normalise_cam(cam):
    return min_max(min_max(cam).clamp_min(0))                               # applied twice, as released


# ---------------------------------------------------------------- CAA
def box_mask(cam, threshold: float):
    """cam (gh, gw) in [0, 1] -> 0/1 mask: union of the bounding boxes of the 8-connected components above
    threshold * max, on the map quantised to 8 bits (truncated). Released quirk: a box's far corner is clipped
    to size - 1 and then used as an exclusive end, so a box touching the right/bottom border loses that
    row/column. No component -> empty mask."""
    gh, gw = cam.shape
    q = (np.asarray(cam, np.float32) * 255).astype(np.uint8)
    on = q > int(threshold * q.max())
    seen, mask = np.zeros_like(on), np.zeros((gh, gw), np.float32)
    for y in range(gh):
        for x in range(gw):
            if not on[y, x] or seen[y, x]:
                continue
            stack, ys, xs = [(y, x)], [], []
            seen[y, x] = True
            while stack:
                a, b = stack.pop()
                ys.append(a)
                xs.append(b)
                for da in (-1, 0, 1):
                    for db in (-1, 0, 1):
                        c, d = a + da, b + db
                        if 0 <= c < gh and 0 <= d < gw and on[c, d] and not seen[c, d]:
                            seen[c, d] = True
                            stack.append((c, d))
            mask[min(ys):min(max(ys) + 1, gh - 1), min(xs):min(max(xs) + 1, gw - 1)] = 1
    return torch.from_numpy(mask)


def mean_attention(attentions):
    """Mean of the LAST 8 blocks' head-averaged attention (all of them when fewer), class token dropped: (N, N).
    Rows no longer sum to one."""
    return torch.stack(attentions[-8:]).mean(0)[1:, 1:]


def affinity(attention, sinkhorn_rounds: int = 3, squarings: int = 1):
    """attention (N, N) -> A (N, N): rounds of column then row normalisation, symmetrised, squared."""
    t = attention
    for _ in range(sinkhorn_rounds):
        t = t / t.sum(0, keepdim=True)
        t = t / t.sum(1, keepdim=True)
    t = (t + t.T) / 2
    for _ in range(squarings):
        t = t @ t
    return t


def refine(cam, a, mask):
    """cam, mask (gh, gw), a (N, N): the mask zeroes COLUMNS of the affinity, i.e. where evidence comes from."""
    return ((a * mask.reshape(1, -1).to(a.dtype)) @ cam.reshape(-1).to(a.dtype)).reshape(cam.shape)


def resize(m, height: int, width: int):
    """Bilinear, half-pixel centres, clamped edges, no antialias (OpenCV's INTER_LINEAR)."""
    return F.interpolate(m[None, None], (height, width), mode="bilinear", align_corners=False)[0, 0]


# ---------------------------------------------------------------- the whole way
def segment(w: Weights, image: Image.Image, texts, K: int, box_threshold: float = 0.4, round_to_half: bool = False,
            scale: float = 1, mirrored: bool = False):
    """Every stage's result in a dict, refined maps at the image's own size last: refined_full (K, H, W) in [0, 1].
    scale, mirrored: see preprocess(). Maps of a mirrored photo are mirrored."""
    W, H = image.size
    pixels = preprocess(image, w.patch, scale, mirrored)
    with torch.no_grad():
        x, attentions, (gh, gw) = encode_image(w, pixels, round_to_half)
    cams, prob, logits, last = softmax_gradcam(w, x, texts, K)
    # A CAM carries the positive factor p_k (1 - p_k). Normalisation removes it, but for its 1e-7: with a probability
    # within 1e-6 of 0 or 1 the released maps shrink to nothing. Taken out here first; everywhere else the result is
    # the released one.
    rest = torch.stack([torch.cat([prob[:k], prob[k + 1:]]).sum() for k in range(K)])
    cams = torch.stack([normalise_cam(c.reshape(gh, gw)) for c in cams / (prob[:K] * rest)[:, None]])
    m8 = mean_attention(attentions + [last])
    a = affinity(m8)
    masks = torch.stack([box_mask(c, box_threshold) for c in cams])
    low = torch.stack([refine(c, a, m) for c, m in zip(cams, masks, strict=True)])
    full = torch.stack([resize(min_max(r), H, W) for r in low])
    return dict(pixels=pixels, features=x, logits=logits, probabilities=prob, cams=cams, mean_attention=m8,
                box_masks=masks, refined=low, refined_full=full)


def pseudo_mask(refined_full, background_power: float = 1.0):
    """(K, H, W) -> (label (H, W) uint8: 0 background, i + 1 class i; confidence). Before any CRF."""
    bg = (1 - refined_full.max(0, keepdim=True).values) ** background_power
    score = torch.cat([bg, refined_full])
    return score.argmax(0).to(torch.uint8), score
