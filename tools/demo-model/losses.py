"""The losses, all against text embeddings: names supervise, masks never do.

B pictures, N patches, E embedding, C classes, G kinds of ground, T = C + G texts (classes first).
"""
import torch
import torch.nn.functional as F


def soft_targets(objects, grounds, C, G):
    """(B, T) rows that sum to one: three quarters on the objects named, the rest on the ground."""
    t = torch.zeros(len(objects), C + G)
    for i, (o, g) in enumerate(zip(objects, grounds, strict=True)):
        if o:
            t[i, o] = (0.75 if g else 1) / len(o)
        if g:
            t[i, [C + k for k in g]] = (0.25 if o else 1) / len(g)
    return t


def image_text_losses(embedding, texts, captions, target, scale):
    """embedding (B, E) of a picture as a whole -> (softmax over all texts with several right ones, InfoNCE with the
    captions of the batch in both directions; pictures of equal content are each other's positives)."""
    e = F.normalize(embedding.float(), dim=-1)
    cross_entropy = -(target * (scale * e @ texts.T).log_softmax(-1)).sum(1).mean()
    named = target.gt(0).float()
    common, count = named @ named.T, named.sum(1)
    same = ((common == count[:, None]) & (common == count[None])).float()
    positive = same / same.sum(1, keepdim=True)
    s = scale * e @ captions.T
    nce = -0.5 * ((positive * s.log_softmax(1)).sum(1).mean() + (positive.T * s.log_softmax(0)).sum(0).mean())
    return cross_entropy, nce


def patch_loss(embeddings, texts, scale, target, G):
    """Partial labels: a patch (B, N, E) may be any of the things the caption names, and every thing named must be found
    in a few patches."""
    lp = (scale * F.normalize(embeddings.float(), dim=-1) @ texts.T).log_softmax(-1)                   # (B, N, T)
    named = target > 0
    partial = -lp.masked_fill(~named[:, None], -1e4).logsumexp(-1).mean()
    p = lp.exp()
    N, C = p.shape[1], p.shape[2] - G
    objects = p[..., :C].topk(max(2, N // 14), 1).values.mean(1)
    grounds = p[..., C:].topk(max(3, N // 6), 1).values.mean(1)
    cover = -((torch.cat([objects, grounds], 1) + 1e-6).log() * target).sum(1).mean()
    return partial + cover


def self_training(mean, patches, y, attention, texts, target, scale, C):
    """Lets GradCAM and attention learn from the model's own patch labels (restricted to what the caption names; no
    mask). -> (GradCAM loss for one named object per picture, attention loss)."""
    named = target > 0
    with torch.no_grad():
        logits = scale * F.normalize(patches.float(), dim=-1) @ texts.T
        q = logits.masked_fill(~named[:, None], -1e4).softmax(-1)                                      # (B, N, T)
    attention_loss = stay_on_one_thing(attention.float(), q)
    rows = named[:, :C].any(1).nonzero()[:, 0]
    if not len(rows):
        return 0 * attention_loss, attention_loss
    pick = torch.multinomial(named[rows, :C].float(), 1)[:, 0]
    cam = gradcam(mean, y, texts, named, scale, C, rows, pick)
    t = q[rows, :, pick]
    t = t / t.amax(1, keepdim=True).clamp_min(0.3)
    error = torch.where(t < 0.5, cam.clamp_min(0), cam) - t
    inside = t / t.sum(1, keepdim=True).clamp_min(1e-3)
    outside = (1 - t) / (1 - t).sum(1, keepdim=True).clamp_min(1e-3)
    return (error.clamp(-1.5, 1.5) ** 2 * (inside + outside)).sum(1).mean(), attention_loss


def stay_on_one_thing(attention, q):
    """As much as possible of every patch's attention (B, N, N) should stay on patches of the same thing, as q (B, N, T)
    tells things apart."""
    stay = ((attention / attention.sum(-1, keepdim=True)) * (q @ q.transpose(1, 2))).sum(-1)
    fair = (q / (q.sum(1, keepdim=True) + 1)).sum(-1)                # small objects count as much as large grounds
    return -((stay + 1e-4).log() * fair).sum() / fair.sum()


def gradcam(mean, y, texts, named, scale, C, rows, pick):
    """GradCAM of object pick[i] in picture rows[i], exactly as CLIP-ES takes it: softmax over named objects and all
    grounds, gradient at ln_1 of the last block (y). Differentiable through the activation; largest value 1."""
    allowed = named.clone()
    allowed[:, C:] = True
    lp = (scale * F.normalize(mean.float(), dim=-1) @ texts.T).masked_fill(~allowed, -1e4).log_softmax(-1)
    (g,) = torch.autograd.grad(lp[rows, pick].sum(), y, retain_graph=True)
    w = F.normalize(g[:, 1:].float().mean(1), dim=-1)[rows]          # log p: p's gradient but for a factor
    cam = torch.einsum("bnd,bd->bn", y[rows, 1:].float(), w)
    return cam / cam.detach().amax(1, keepdim=True).clamp_min(1e-2)
