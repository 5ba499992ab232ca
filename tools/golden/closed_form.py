"""The two costly stages of clip_es.py in closed form: softmax-GradCAM for all K classes without autograd, and CAA
without an N x N x N product. Same results to rounding: the engine's kernels compute these forms, this file proves them.

    python closed_form.py ARCHIVE.pt GOLDEN_DIR/PHOTO …     compares with the golden results (float64)

Letters as in clip_es.py: n = N + 1 tokens (class token first), D width, H = D / 64 heads, K classes, C texts.
"""
from __future__ import annotations

import sys

import numpy as np
import torch
from PIL import Image

import clip_es as O


def normalised(x, eps=1e-5):
    """LayerNorm without its affine part: x-hat (n, D) and 1 / sigma (n, 1)."""
    r = (x.var(-1, unbiased=False, keepdim=True) + eps).rsqrt()
    return (x - x.mean(-1, keepdim=True)) * r, r


def last_block(w, x):
    """Forward through the last block and ln_post, keeping what the backward pass needs."""
    name = f"visual.transformer.resblocks.{w.layers('visual.transformer.') - 1}"
    n, D = x.shape
    H = D // 64
    y = O.layer_norm(w, name + ".ln_1", x)
    qkv = y @ w[name + ".attn.in_proj_weight"].T + w[name + ".attn.in_proj_bias"]
    q, k, v = qkv.view(n, 3, H, 64).permute(1, 2, 0, 3)
    P = (q @ k.transpose(1, 2) / 8).softmax(-1)                             # (H, n, n)
    o = P @ v                                                               # (H, n, 64)
    merged = o.transpose(0, 1).reshape(n, D)
    x1 = x + merged @ w[name + ".attn.out_proj.weight"].T + w[name + ".attn.out_proj.bias"]
    h_hat, r2 = normalised(x1)
    h = h_hat * w[name + ".ln_2.weight"] + w[name + ".ln_2.bias"]
    u = h @ w[name + ".mlp.c_fc.weight"].T + w[name + ".mlp.c_fc.bias"]
    x2 = x1 + O.quick_gelu(u) @ w[name + ".mlp.c_proj.weight"].T + w[name + ".mlp.c_proj.bias"]
    z_hat, r3 = normalised(x2)
    z = z_hat * w["visual.ln_post.weight"] + w["visual.ln_post.bias"]
    return dict(name=name, y=y, q=q, k=k, v=v, P=P, o=o, u=u, h_hat=h_hat, r2=r2, z_hat=z_hat, r3=r3, z=z)


def softmax_gradcam(w, x, texts, K):
    """As clip_es.softmax_gradcam, up to one positive factor per class (p_k (1 - p_k) * logit scale / N, which min-max
    removes): (K, N). Nothing of size K x n x n is ever held, and one 4D -> D product per class is the only large one.
    """
    s = last_block(w, x)
    name, N, D = s["name"], x.shape[0] - 1, x.shape[1]
    H = D // 64
    texts = texts / texts.norm(dim=1, keepdim=True)

    # Score: f = mean over patches of z, projected. d(prob_k) = p_k sum_c p_c (t_k - t_c), made orthogonal to f.
    # Written over c != k and with softmax of those logits alone: t_k - sum_c p_c t_c would cancel to nothing once
    # p_k nears 1.
    f = s["z"][1:].mean(0) @ w["visual.proj"]
    f_hat = f / f.norm()
    logits = w["logit_scale"].exp() * texts @ f_hat
    p = logits.softmax(-1)
    others = logits.expand(K, -1).clone()
    others[range(K), range(K)] = -torch.inf
    others = others.softmax(-1)                                             # (K, C): p_c / (1 - p_k)
    d = texts[:K] - others @ texts                                          # (K, E), up to the factor 1 - p_k
    d = d - (d @ f_hat)[:, None] * f_hat
    c = d @ w["visual.proj"].T                                              # (K, D): dz, the same for every patch

    # ln_post backward: dx2 = r3 * (a - z_hat * b), a one vector per class, b one number per class and patch.
    c = c * w["visual.ln_post.weight"]
    a = c - c.mean(-1, keepdim=True)                                        # (K, D)
    z_hat, r3 = s["z_hat"][1:], s["r3"][1:]
    b = c @ z_hat.T / D                                                     # (K, N)

    # MLP backward: e = phi'(u) * (W2^T dx2); W2^T z_hat is shared by all classes.
    u = s["u"][1:]
    sig = torch.sigmoid(1.702 * u)
    slope = sig * (1 + 1.702 * u * (1 - sig)) * r3                          # (N, 4D), r3 folded in
    W1, W2, Wo = (w[f"{name}.{m}.weight"] for m in ("mlp.c_fc", "mlp.c_proj", "attn.out_proj"))
    alpha, omega = a @ W2, z_hat @ W2                                       # (K, 4D), (N, 4D)
    gamma2, beta2 = w[name + ".ln_2.weight"], w[name + ".ln_2.bias"]
    h_hat, r2 = s["h_hat"][1:], s["r2"][1:]
    M = Wo.T @ (gamma2[:, None] * W1.T)                                     # (D, 4D), once: out_proj^T LN_2^T W1^T
    w1_gamma = W1 @ gamma2 / D                                              # (4D), once per model
    u_free = u - (w[name + ".mlp.c_fc.bias"] + W1 @ beta2)                  # W1 (gamma2 * h_hat)
    Wo_one, Wo_h, Wo_z = Wo.sum(0), h_hat @ Wo, z_hat @ Wo                  # (D), (N, D), (N, D): shared

    q, k, v, o, P = (s[m] for m in "qkvoP")
    weights = []
    for i in range(K):
        e = slope * (alpha[i] - b[i][:, None] * omega)                      # (N, 4D)
        dO = r3 * (a[i] @ Wo - b[i][:, None] * Wo_z)                        # through the residual
        dO = dO + r2 * (e @ M.T - (e @ w1_gamma)[:, None] * Wo_one - ((e * u_free).sum(-1) / D)[:, None] * Wo_h)
        dO = dO.view(N, H, 64).transpose(0, 1)                              # (H, N, 64); the class token's row is zero
        delta = (dO * o[:, 1:]).sum(-1)                                     # (H, N)
        p0 = P[:, 1:, 0]                                                    # (H, N): attention paid to the class token
        dv = ((1 - p0)[..., None] * dO).sum(1)                              # sums over patches of dv, dk, dq: (H, 64)
        dk = -((p0 * ((dO * v[:, :1]).sum(-1) - delta))[..., None] * q[:, 1:]).sum(1) / 8
        PtdO = P[:, 1:].transpose(1, 2) @ torch.cat([dO, delta[..., None]], -1)     # (H, n, 65)
        dS = (PtdO[..., :64] * v).sum(-1) - PtdO[..., 64]                   # column sums of dS (H, n)
        dq = (dS[..., None] * k).sum(1) / 8
        weights.append(torch.stack([dq, dk, dv]).reshape(3 * D) @ w[name + ".attn.in_proj_weight"])
    return (s["y"][1:] @ torch.stack(weights).T).T.clamp_min(0), p, s["P"].mean(0)


def caa(cams, masks, attention, sinkhorn_rounds=3):
    """cams, masks (K, gh, gw), attention (N, N) -> refined (K, gh, gw). Sinkhorn as scaling vectors: the matrix is
    read, never rewritten; (T T) (mask * cam) as two products with vectors, T = (diag(r) W diag(c) + transpose) / 2."""
    W = attention
    r = torch.ones(W.shape[0], dtype=W.dtype)
    for _ in range(sinkhorn_rounds):
        c = 1 / (r @ W)
        r = 1 / (W @ c)
    x = (cams * masks).flatten(1).T                                         # (N, K)
    for _ in range(2):
        x = (r[:, None] * (W @ (c[:, None] * x)) + c[:, None] * (W.T @ (r[:, None] * x))) / 2
    return x.T.reshape(cams.shape)


if __name__ == "__main__":
    archive, *cases = sys.argv[1:]
    w = O.load(archive, torch.float64)
    for case in cases:
        stages = ("texts", "class_ids", "box_masks", "probabilities", "cams", "refined")
        want = {name: torch.from_numpy(np.load(f"{case}/{name}.npy")) for name in stages}
        K = len(want["class_ids"])
        x, att, (gh, gw) = O.encode_image(w, O.preprocess(Image.open(f"{case}/photo.ppm"), w.patch).double())
        cams, p, last = softmax_gradcam(w, x, want["texts"].double(), K)
        cams = torch.stack([O.normalise_cam(m.reshape(gh, gw)) for m in cams])
        refined = caa(cams, want["box_masks"].double(), O.mean_attention(att + [last]))
        for name, got in dict(probabilities=p, cams=cams, refined=refined).items():
            print(f"{case} {name:14s} max |difference| {float((got - want[name]).abs().max()):.2e}")
