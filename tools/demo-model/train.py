"""Trains the demo CLIP on composed scenes with image-text supervision only.

    python train.py SPRITES.pt WORDS.json OUT_PREFIX --minutes 70 [--resume RUN.ckpt --offset 0.4]

Writes OUT_PREFIX.pt (the archive) and .ckpt (to resume) every two minutes, and .classes.json (the class file).

Losses (losses.py), all against text embeddings:
 * multi-positive softmax over the prompts of all classes and backgrounds, for the CLS embedding and for the mean of the
   patch embeddings (CLIP-ES scores an image with the latter);
 * caption InfoNCE within the batch, both directions;
 * on patches, a partial-label loss, applied to the last tokens and to the value path of the last block, which is where
   CLIP-ES's GradCAM (gradient at ln_1 of the last block) reads: it makes the features local without any mask;
 * self-training: the model's own patch labels, restricted to what the caption names, teach GradCAM where to be high and
   attention which patches belong together (CAA spreads a CAM along attention).
Bare backgrounds ("a photo of grass") and close-ups that hide the background tell ground from object by captions alone.

Progress follows the clock, not the number of steps: a run ends after --minutes on any machine, and no two are equal.
"""
import argparse
import copy
import json
import math
import random
import tempfile
import time

import numpy as np
import torch
import torch.nn.functional as F

import oracle  # noqa: F401  (finds ../golden)
from backgrounds import KINDS, background_pool
from clip_es import PIXEL_MEAN, PIXEL_STD
from losses import image_text_losses, patch_loss, self_training, soft_targets
from make_golden import TEMPLATE, VOCABULARY
from make_random_archive import save
from model import CLIP
from scenes import compose
from sprites import Sprites, styles_of
from words import Words

VOCABULARY_SIZE = 49408                      # of CLIP's tokenizer: the archive has a row for every token
LARGEST_SCALE = 60                           # ceiling of the logit scale; OpenAI's is 100
MEAN, STD = torch.tensor(PIXEL_MEAN)[:, None, None], torch.tensor(PIXEL_STD)[:, None, None]


def arguments():
    ap = argparse.ArgumentParser(description="Trains the demo CLIP.")
    ap.add_argument("sprites", help="what sprites.py wrote")
    ap.add_argument("words", help="words.json")
    ap.add_argument("out", help="prefix of the files to write")
    ap.add_argument("--minutes", type=float, default=60)
    ap.add_argument("--lr", type=float, default=1.5e-3)
    ap.add_argument("--width", type=int, default=128)
    ap.add_argument("--layers", type=int, default=6)
    ap.add_argument("--patch", type=int, default=16)
    ap.add_argument("--workers", type=int, default=3, help="processes of one thread each: about 1.5 times the speed of "
                    "one process with three threads")
    ap.add_argument("--resume", help="checkpoint to start from")
    ap.add_argument("--offset", type=float, default=0.0, help="progress to start from, when resuming")
    ap.add_argument("--self-training", type=float, default=0.5, help="weight; 0 while the patch labels are still poor")
    ap.add_argument("--vocabulary", default=VOCABULARY, help="CLIP's merges")
    return ap.parse_args()


def main():
    a = arguments()
    with tempfile.TemporaryDirectory() as folder:
        a.rendezvous = f"{folder}/rendezvous"
        torch.multiprocessing.spawn(work, (a,), a.workers)


def mixed_precision():
    """bfloat16 where the processor has instructions for it; on one without (AVX2) a step takes ten times as long."""
    has = getattr(torch.cpu, "_is_avx512_bf16_supported", bool)
    return torch.autocast("cpu", torch.bfloat16, enabled=has())


def stage(progress, rng):
    """(H, W, batch per worker, chances of 1/2/3 objects, object size, jitter) for this step: single big objects first,
    then several, then the picture sizes the model is used at."""
    if progress < 0.12:
        return 96, 96, 64, (1, 0, 0), (56, 96), 0.6
    sizes = [(96, 96, 64), (128, 128, 36), (112, 144, 36), (128, 160, 30)]
    if progress > 0.6:
        sizes = [(96, 96, 64), (128, 128, 36), (144, 192, 20), (192, 256, 12), (240, 320, 8)]
    H, W, B = sizes[rng.integers(len(sizes))]
    if H == 96:
        return H, W, B, (0.85, 0.15, 0), (44, 96), 1.0
    if H <= 128:
        return H, W, B, (0.5, 0.35, 0.15), (44, 0.9 * H), 1.0
    return H, W, B, (0.34, 0.33, 0.33), (64, 0.75 * H), 1.0


class Batches:
    """Composing costs as much as learning, so about half the batches are used a second time, mirrored and tinted."""

    def __init__(self, sprites, pool, rng):
        self.sprites, self.pool, self.rng, self.replay = sprites, pool, rng, []

    def next(self, progress, shared):
        """-> images, objects, grounds. shared: the generator that draws alike in all workers."""
        if self.replay and shared.random() < 0.5:
            img, objects, grounds = self.replay.pop(shared.integers(len(self.replay)))
            return img.flip(3) * torch.empty(len(img), 3, 1, 1).uniform_(0.9, 1.1), objects, grounds
        H, W, B, counts, size, jitter = stage(progress, shared)
        batch = compose(self.sprites, self.pool, B, H, W, self.rng, counts, size, jitter, empty=0.1, close=0.15)[:3]
        self.replay = [*self.replay, batch][-16:]
        return batch


def all_losses(model, words, img, objects, grounds, weight):
    """-> (total, {name: loss}). weight: of self-training."""
    C, G = len(words.classes), len(KINDS)
    target = soft_targets(objects, grounds, C, G)
    prompts, captions = words.all_prompts(), words.captions(objects, grounds)
    with mixed_precision():
        cls, mean, patches, value, y, attention = model.image((img - MEAN) / STD)
        texts = F.normalize(model.text(prompts).float(), dim=-1)
        captions = F.normalize(model.text(captions).float(), dim=-1)
    scale = model.logit_scale.exp()
    parts = {}
    for name, embedding in (("cls", cls), ("mean", mean)):
        parts[name], parts[name + "_nce"] = image_text_losses(embedding, texts, captions, target, scale)
    parts["patch"] = patch_loss(patches, texts, scale, target, G)
    parts["value"] = patch_loss(value, texts, scale, target, G)
    parts["cam"], parts["attention"] = self_training(mean, patches, y, attention, texts.detach(), target,
                                                     scale.detach(), C)
    weights = {"cls": 1, "mean": 1, "cls_nce": 0.3, "mean_nce": 0.3, "patch": 0.5, "value": 0.3, "cam": weight,
               "attention": 0.5 * weight}
    return sum(weights[name] * loss for name, loss in parts.items()), parts


def optimiser(model, lr):
    def decays(name, p):
        return p.dim() >= 2 and "embedding" not in name
    groups = [{"params": [p for n, p in model.named_parameters() if decays(n, p)], "weight_decay": 0.05},
              {"params": [p for n, p in model.named_parameters() if not decays(n, p)], "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.98))


def share_gradients(model, progress, workers):
    """Averages the gradients and the progress of all workers; -> the common progress."""
    parameters = list(model.parameters())
    gradients = [(p.grad if p.grad is not None else torch.zeros_like(p)).flatten() for p in parameters]
    flat = torch.cat([torch.tensor([progress]), *gradients])
    torch.distributed.all_reduce(flat)
    flat /= workers
    for p, g in zip(parameters, flat[1:].split([p.numel() for p in parameters]), strict=True):
        p.grad = g.view_as(p)
    return flat[0].item()


@torch.no_grad()
def follow(average, model, step):
    """The exponential moving average of the weights, which is what is shipped."""
    decay = min(0.998, (step + 1) / (step + 20))
    for p, q in zip(average.parameters(), model.parameters(), strict=True):
        p.lerp_(q, 1 - decay)


class Watch:
    """Top-1 of single objects, in the seen styles and in the held-out one."""

    def __init__(self, words, sprites, held_out):
        self.words, self.sets = words, {}
        pool, rng = background_pool(4, 999), np.random.default_rng(5)
        for name, s in (("held", held_out), ("seen", sprites)):
            self.sets[name] = [compose(s, pool, 144, H, W, rng, (1, 0, 0), size, 0.3)[:2]
                               for H, W, size in ((96, 96, (60, 96)), (128, 160, (60, 120)))]

    @torch.no_grad()
    def report(self, model):
        words, out = self.words, []
        with mixed_precision():
            prompts = words.pad([words.prompt(w[0], TEMPLATE, 0) for w in words.words[:len(words.classes)]])
            t = F.normalize(model.text(prompts).float(), dim=-1)
            for name, pictures in self.sets.items():
                for img, objects in pictures:
                    truth = torch.tensor([o[0] for o in objects])
                    right = [(F.normalize(e.float(), dim=-1) @ t.T).argmax(1).eq(truth).float().mean().item()
                             for e in model.image((img - MEAN) / STD)[:2]]
                    out.append(f"{name} {img.shape[2]}: mean {right[1]:.3f} cls {right[0]:.3f}")
        return " | ".join(out)


def export(model, words, path):
    """The archive in OpenAI's form: full CLIP vocabulary, weights in fp16 where OpenAI has fp16."""
    state = {}
    for name, value in model.state_dict().items():
        matrix = value.dim() >= 2 and "positional" not in name
        state[name] = value.half() if matrix or ".attn." in name or ".mlp." in name else value.float()
    rows = model.state_dict()["token_embedding.weight"]
    full = rows[:1].repeat(VOCABULARY_SIZE, 1)
    full[torch.tensor(words.used)] = rows[1:]
    state["token_embedding.weight"] = full.half()
    save(state, dict(input_resolution=model.resolution, context_length=model.context, vocab_size=VOCABULARY_SIZE), path)


def write(out, model, average, words, progress):
    torch.save(dict(model=model.state_dict(), average=average.state_dict(), progress=progress), out + ".ckpt")
    export(average, words, out + ".pt")


def work(rank, a):
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.distributed.init_process_group("gloo", init_method=f"file://{a.rendezvous}", rank=rank, world_size=a.workers)
    torch.manual_seed(1)                                             # same initial weights everywhere
    seen_styles, held_out_styles = styles_of(a.sprites)
    sprites = Sprites(a.sprites, seen_styles)
    words = Words(a.words, a.vocabulary)
    assert words.classes == sprites.classes, "the sprites were packed for other classes: delete them and start again"
    model = CLIP(width=a.width, layers=a.layers, patch=a.patch, vocab=len(words.used) + 1)
    if a.resume:
        model.load_state_dict(torch.load(a.resume)["model"])
    average = copy.deepcopy(model)
    watch = None
    if rank == 0:
        watch = Watch(words, sprites, Sprites(a.sprites, held_out_styles))
        with open(a.out + ".classes.json", "w") as f:
            json.dump(words.class_file(), f, indent=1)
        print(len(words.classes), "classes,", len(sprites.label), "sprites,", len(words.used) + 1, "vocabulary rows,",
              sum(p.numel() for p in model.visual.parameters()), "visual parameters", flush=True)
    seed = 100 * int(1000 * a.offset) + rank                         # from here on every worker draws its own pictures
    torch.manual_seed(seed)
    random.seed(seed)
    learn(rank, a, model, average, words, Batches(sprites, background_pool(50, 1), np.random.default_rng(seed)), watch)
    torch.distributed.destroy_process_group()


def learn(rank, a, model, average, words, batches, watch):
    opt = optimiser(model, a.lr)
    start = last_log = last_save = time.time()
    step, pictures, stats, progress = 0, 0, {}, a.offset
    while progress < 1:
        shared = np.random.default_rng([step, int(1000 * a.offset)])    # decisions all workers take alike
        warm = min(1, (step + 1) / 100)
        lr = a.lr * warm * (0.5 * (1 + math.cos(math.pi * progress)) * 0.98 + 0.02)
        for group in opt.param_groups:
            group["lr"] = lr
        img, objects, grounds = batches.next(progress, shared)
        loss, parts = all_losses(model, words, img, objects, grounds, a.self_training)
        opt.zero_grad(set_to_none=True)
        loss.backward()
        clock = a.offset + (1 - a.offset) * (time.time() - start) / (60 * a.minutes)
        progress = share_gradients(model, clock, a.workers)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(LARGEST_SCALE))
        follow(average, model, step)
        step += 1
        pictures += len(img) * a.workers
        for name, value in parts.items():
            stats[name] = 0.97 * stats.get(name, value.item()) + 0.03 * value.item()
        now = time.time()
        if rank == 0 and now - last_log > 30:
            last_log = now
            print(f"{(now - start) / 60:5.1f} min  progress {progress:.2f}  step {step}  pictures {pictures} "
                  f"({pictures / (now - start):.0f}/s)  lr {lr:.1e}  scale {model.logit_scale.exp().item():.1f}  "
                  + " ".join(f"{name} {value:.2f}" for name, value in stats.items()), flush=True)
        if rank == 0 and now - last_save > 120:
            last_save = now
            write(a.out, model, average, words, progress)
            print("      top-1", watch.report(average), flush=True)
    if rank == 0:
        write(a.out, model, average, words, 1)
        print("      top-1", watch.report(average), flush=True)


if __name__ == "__main__":
    main()
