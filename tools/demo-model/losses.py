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


def patch_logits(embeddings, texts, scale):
    """Of every patch (B, N, E) for every text: (B, N, T)."""
    return scale * F.normalize(embeddings.float(), dim=-1) @ texts.T


def patch_loss(logits, target, C):
    """Partial labels: a patch may be any of the things the caption names, and every thing named must be found in a few
    patches."""
    lp = logits.log_softmax(-1)
    partial = -lp.masked_fill(target.eq(0)[:, None], -1e4).logsumexp(-1).mean()
    picture, text = target.nonzero(as_tuple=True)                    # only what is named need be looked for
    p, weight, N = lp[picture, :, text].exp(), target[picture, text], lp.shape[1]
    cover = 0
    for kind, few in ((text < C, max(2, N // 14)), (text >= C, max(3, N // 6))):
        found = p[kind].topk(few, 1).values.mean(1)
        cover = cover - ((found + 1e-6).log() * weight[kind]).sum() / len(target)
    return partial + cover


@torch.no_grad()
def patch_labels(logits, target):
    """What the model itself takes each patch for, of the things that its caption names: (B, N, T), rows sum to one."""
    return logits.masked_fill(target.eq(0)[:, None], -1e4).softmax(-1)


def self_training(q, mean, y, attention, texts, target, scale, C):
    """Lets GradCAM, attention and the maps that CAA makes of both learn from the model's own patch labels q (B, N, T);
    no mask. -> {"cam", "refined"}: loss for one named object per picture, "attention": loss of all patches."""
    named, attention = target > 0, attention.float()
    losses = {"attention": stay_on_one_thing(attention, q)}
    rows = named[:, :C].any(1).nonzero()[:, 0]
    if not len(rows):
        return losses | {"cam": 0 * losses["attention"], "refined": 0 * losses["attention"]}
    pick = torch.multinomial(named[rows, :C].float(), 1)[:, 0]
    cam = gradcam(mean, y, texts, named, scale, C, rows, pick)
    t = q[rows, :, pick]
    t = t / t.amax(1, keepdim=True).clamp_min(0.3)
    return losses | {"cam": map_error(torch.where(t < 0.5, cam.clamp_min(0), cam), t),
                     "refined": map_error(refined(cam.clamp_min(0), attention[rows]), t)}


def map_error(found, wanted):
    """Squared error of maps (B, N); inside and outside of the wanted ones weigh the same."""
    inside = wanted / wanted.sum(1, keepdim=True).clamp_min(1e-3)
    outside = (1 - wanted) / (1 - wanted).sum(1, keepdim=True).clamp_min(1e-3)
    return ((found - wanted).clamp(-1.5, 1.5) ** 2 * (inside + outside)).sum(1).mean()


def refined(cam, attention):
    """CAA as CLIP-ES does it but for the boxes: cam (B, N), attention (B, N, N) -> (B, N) in [0, 1]."""
    t = attention
    for _ in range(3):
        t = t / t.sum(1, keepdim=True)
        t = t / t.sum(2, keepdim=True)
    t = (t + t.transpose(1, 2)) / 2
    x = (t @ (t @ cam[..., None]))[..., 0]
    low, high = x.amin(1, keepdim=True), x.amax(1, keepdim=True)
    return (x - low) / (high - low).clamp_min(1e-4)


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
