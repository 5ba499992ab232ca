"""Writes a TorchScript archive with OpenAI CLIP's parameter names and random weights, of any size.

    python make_random_archive.py OUT.pt --width 768 --layers 12 --patch 16 --resolution 224 --embed 512 \
        --text-width 512 --text-layers 12 --vocab 49408 --seed 1

The defaults above are ViT-B/16. Linear, convolution and projection weights are stored in fp16 and the rest in
fp32, as OpenAI's own archives store them. Queries and keys are partly tied and sharpened, so that attention is
not flat and a refined CAM has dynamic range: at plain random initialisation every CAM blurs to a constant and a
wrong implementation would pass.
"""
import argparse
import math
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from archive import save  # noqa: E402


def block(prefix, width, layers, g, sharpen):
    std = width ** -0.5
    out_std = std * (2 * layers) ** -0.5

    def n(*shape):
        return torch.randn(*shape, generator=g)

    def layer_norm():
        return 1 + 0.1 * n(width), 0.02 * n(width)

    qkv = n(3 * width, width) * std
    if sharpen:
        q, k = qkv[:width], qkv[width:2 * width]
        k.copy_(0.8 * q + 0.6 * k)
        qkv[:2 * width] *= sharpen
    l1, l2 = layer_norm(), layer_norm()
    return {                                     # the order is that of the draws: a seed keeps meaning the same archive
        f"{prefix}.attn.in_proj_weight": qkv.half(),
        f"{prefix}.attn.in_proj_bias": (0.02 * n(3 * width)).half(),
        f"{prefix}.attn.out_proj.weight": (n(width, width) * out_std).half(),
        f"{prefix}.attn.out_proj.bias": (0.02 * n(width)).half(),
        f"{prefix}.ln_1.weight": l1[0],
        f"{prefix}.ln_1.bias": l1[1],
        f"{prefix}.mlp.c_fc.weight": (n(4 * width, width) * (2 * width) ** -0.5).half(),
        f"{prefix}.mlp.c_fc.bias": (0.02 * n(4 * width)).half(),
        f"{prefix}.mlp.c_proj.weight": (n(width, 4 * width) * out_std).half(),
        f"{prefix}.mlp.c_proj.bias": (0.02 * n(width)).half(),
        f"{prefix}.ln_2.weight": l2[0],
        f"{prefix}.ln_2.bias": l2[1],
    }


def state(a):
    g = torch.Generator().manual_seed(a.seed)

    def n(*shape):
        return torch.randn(*shape, generator=g)

    W, E, T, P = a.width, a.embed, a.text_width, a.patch
    s = {
        "visual.conv1.weight": (n(W, 3, P, P) * 2 / math.sqrt(3 * P * P)).half(),
        "visual.class_embedding": n(W) * W ** -0.5,
        "visual.positional_embedding": n((a.resolution // P) ** 2 + 1, W) * W ** -0.5 * 12,
        "visual.ln_pre.weight": 1 + 0.1 * n(W),
        "visual.ln_pre.bias": 0.02 * n(W),
        "visual.ln_post.weight": 1 + 0.1 * n(W),
        "visual.ln_post.bias": 0.02 * n(W),
        "visual.proj": (n(W, E) * W ** -0.5).half(),
        "token_embedding.weight": (n(a.vocab, T) * 0.02).half(),
        "positional_embedding": n(a.context, T) * 0.01,
        "ln_final.weight": 1 + 0.1 * n(T),
        "ln_final.bias": 0.02 * n(T),
        "text_projection": (n(T, E) * T ** -0.5).half(),
        "logit_scale": torch.tensor(math.log(100.0)),
    }
    for i in range(a.layers):
        s.update(block(f"visual.transformer.resblocks.{i}", W, a.layers, g, a.sharpen))
    for i in range(a.text_layers):
        s.update(block(f"transformer.resblocks.{i}", T, a.text_layers, g, 0))
    return s


if __name__ == "__main__":
    p = argparse.ArgumentParser()
    p.add_argument("out")
    for name, default in dict(width=768, layers=12, patch=16, resolution=224, embed=512, text_width=512,
                              text_layers=12, vocab=49408, context=77, seed=1).items():
        p.add_argument("--" + name.replace("_", "-"), type=int, default=default)
    p.add_argument("--sharpen", type=float, default=1.7)
    a = p.parse_args()
    save(state(a), dict(input_resolution=a.resolution, context_length=a.context, vocab_size=a.vocab), a.out)
