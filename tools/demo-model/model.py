"""OpenAI's CLIP (ViT) with OpenAI's parameter names, at any size; batched and differentiable, for training."""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F

HEAD = 64                                    # channels of an attention head, in every one of OpenAI's ViTs


class Attention(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.in_proj_weight = nn.Parameter(torch.randn(3 * d, d) * d ** -0.5)
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * d))
        self.out_proj = nn.Linear(d, d)


class Block(nn.Module):
    def __init__(self, d, layers):
        super().__init__()
        self.ln_1, self.ln_2, self.attn = nn.LayerNorm(d), nn.LayerNorm(d), Attention(d)
        self.mlp = nn.Module()
        self.mlp.c_fc, self.mlp.c_proj = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)
        out = d ** -0.5 * (2 * layers) ** -0.5                       # OpenAI's initialisation
        for linear, std in ((self.attn.out_proj, out), (self.mlp.c_fc, (2 * d) ** -0.5), (self.mlp.c_proj, out)):
            nn.init.normal_(linear.weight, std=std)
            nn.init.zeros_(linear.bias)

    def rest(self, x, y, mask=None):
        """The block after ln_1 (y = ln_1(x)) -> output, attention averaged over heads. mask (n, n): added to its logits."""
        B, n, D = x.shape
        qkv = F.linear(y, self.attn.in_proj_weight, self.attn.in_proj_bias)
        q, k, v = qkv.view(B, n, 3, D // HEAD, HEAD).permute(2, 0, 3, 1, 4)
        logits = q * HEAD ** -0.5 @ k.transpose(2, 3)
        a = (logits if mask is None else logits + mask).softmax(-1)
        o = a.to(v.dtype) @ v
        x = x + self.attn.out_proj(o.transpose(1, 2).reshape(B, n, D))
        return x + self.feed_forward(self.ln_2(x)), a.mean(1)

    def feed_forward(self, y):
        """c_proj(h * sigmoid(1.702 * h)) of h = c_fc(y): silu(1.702 * h) / 1.702 is the same in one operation instead of
        three, and the factor costs least at the weights."""
        fc, proj = self.mlp.c_fc, self.mlp.c_proj
        return F.linear(F.silu(F.linear(y, 1.702 * fc.weight, 1.702 * fc.bias)), proj.weight / 1.702, proj.bias)

    def value_path(self, y):
        """What each token alone would contribute through this block's attention: out_proj(v)."""
        D = y.shape[-1]
        return self.attn.out_proj(F.linear(y, self.attn.in_proj_weight[2 * D:], self.attn.in_proj_bias[2 * D:]))


def tower(d, layers):
    t = nn.Module()
    t.resblocks = nn.ModuleList([Block(d, layers) for _ in range(layers)])
    return t


class CLIP(nn.Module):
    def __init__(self, width=128, layers=6, patch=16, resolution=128, embed=128, text_width=64, text_layers=2,
                 vocab=512, context=77):
        super().__init__()
        self.patch, self.resolution, self.context = patch, resolution, context
        v = self.visual = nn.Module()
        v.conv1 = nn.Conv2d(3, width, patch, patch, bias=False)
        v.class_embedding = nn.Parameter(torch.randn(width) * width ** -0.5)
        v.positional_embedding = nn.Parameter(torch.randn((resolution // patch) ** 2 + 1, width) * width ** -0.5)
        v.ln_pre, v.ln_post = nn.LayerNorm(width), nn.LayerNorm(width)
        v.transformer = tower(width, layers)
        v.proj = nn.Parameter(torch.randn(width, embed) * width ** -0.5)
        self.token_embedding = nn.Embedding(vocab, text_width)
        nn.init.normal_(self.token_embedding.weight, std=0.1)
        self.positional_embedding = nn.Parameter(torch.randn(context, text_width) * 0.01)
        self.transformer = tower(text_width, text_layers)
        self.ln_final = nn.LayerNorm(text_width)
        self.text_projection = nn.Parameter(torch.randn(text_width, embed) * text_width ** -0.5)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(12.0)))

    def image(self, pixels):
        """(B, 3, H, W) normalised -> CLS embedding, mean-of-patches embedding, patch embeddings (last tokens),
        patch embeddings through the last block's value path (none of them normalised), ln_1 of the last block,
        patch-to-patch attention averaged over heads and blocks."""
        v, p = self.visual, self.patch
        gh, gw = pixels.shape[2] // p, pixels.shape[3] // p
        x = pixels.view(len(pixels), 3, gh, p, gw, p).permute(0, 2, 4, 1, 3, 5).reshape(len(pixels), gh * gw, -1)
        x = F.linear(x, v.conv1.weight.flatten(1))                   # conv1: one product is faster than a convolution
        e = v.positional_embedding
        g = math.isqrt(len(e) - 1)
        r = F.interpolate(e[1:].T.reshape(1, -1, g, g), (gh, gw), mode="bilinear", align_corners=False)
        first_token = (v.class_embedding + e[0]).expand(len(x), 1, -1)
        x = v.ln_pre(torch.cat([first_token, x.float() + r.flatten(2).transpose(1, 2)], 1))
        *first, last = v.transformer.resblocks
        attention = 0
        for b in first:
            x, a = b.rest(x, b.ln_1(x))
            attention = attention + a
        y = last.ln_1(x)
        value = v.ln_post(last.value_path(y[:, 1:])) @ v.proj
        x, a = last.rest(x, y)
        x = v.ln_post(x)
        return (x[:, 0] @ v.proj, x[:, 1:].mean(1) @ v.proj, x[:, 1:] @ v.proj, value, y,
                (attention + a)[:, 1:, 1:] / (len(first) + 1))

    def text(self, tokens):
        """tokens (T, L), the end of text being the largest id -> (T, E), not normalised. At these lengths plain products
        are twice as fast as scaled_dot_product_attention."""
        L = tokens.shape[1]
        x = self.token_embedding(tokens) + self.positional_embedding[:L]
        causal = torch.full((L, L), -torch.inf).triu(1)
        for b in self.transformer.resblocks:
            x, _ = b.rest(x, b.ln_1(x), causal)
        end = tokens.argmax(1)
        return self.ln_final(x[torch.arange(len(x)), end]) @ self.text_projection
