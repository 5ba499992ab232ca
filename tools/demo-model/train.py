"""Trains the demo CLIP on composed scenes with image-text supervision only.

    python train.py SPRITES.pt WORDS.json OUT_PREFIX --minutes 120

Writes OUT_PREFIX.pt (the archive) and .ckpt every two minutes, and .classes.json (the class file). Where OUT_PREFIX.ckpt
exists the run goes on from it, with what is left of the schedule of --minutes, which may be longer than before.

Losses (losses.py), all against text embeddings:
 * multi-positive softmax over the prompts of all classes and backgrounds, for the CLS embedding and for the mean of the
   patch embeddings (CLIP-ES scores an image with the latter);
 * caption InfoNCE within the batch, both directions;
 * on patches, a partial-label loss, applied to the last tokens and to the value path of the last block, which is where
   CLIP-ES's GradCAM (gradient at ln_1 of the last block) reads: it makes the features local without any mask;
 * self-training: the model's own patch labels, restricted to what the caption names, teach GradCAM where to be high,
   attention which patches belong together, and the map that CAA makes of both.
Bare backgrounds ("a photo of grass") and close-ups that hide the background tell ground from object by captions alone, and
so do mosaics: pictures side by side, of which each keeps its caption.

Progress follows the processor time that the workers have had, not the number of steps: a run takes --minutes on free
cores and longer on busy ones, and no two are equal.
"""
import argparse
import copy
import dataclasses
import json
import math
import os
import random
import tempfile
import time

import numpy as np
import torch
import torch.nn.functional as F

import oracle  # noqa: F401  (finds ../golden)
from backgrounds import KINDS, background_pool
from clip_es import PIXEL_MEAN, PIXEL_STD
from losses import image_text_losses, patch_labels, patch_logits, patch_loss, self_training, soft_targets
from make_golden import TEMPLATE, VOCABULARY
from make_random_archive import save
from model import CLIP
from scenes import compose, merged, mosaic, tile, untile
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
    ap.add_argument("--minutes", type=float, default=70, help="processor time of each worker for the whole schedule")
    ap.add_argument("--lr", type=float, default=2e-3)
    ap.add_argument("--width", type=int, default=128)
    ap.add_argument("--layers", type=int, default=6)
    ap.add_argument("--patch", type=int, default=16)
    ap.add_argument("--workers", type=int, default=3, help="processes of one thread each: about 1.5 times the speed of "
                    "one process with three threads")
    ap.add_argument("--vocabulary", default=VOCABULARY, help="CLIP's merges")
    return ap.parse_args()


def main():
    a = arguments()
    with tempfile.TemporaryDirectory() as folder:
        a.rendezvous, a.parent = f"{folder}/rendezvous", os.getpid()
        torch.multiprocessing.spawn(work, (a,), a.workers)


def mixed_precision():
    """bfloat16 where the processor has instructions for it; on one without (AVX2) a step takes ten times as long."""
    has = getattr(torch.cpu, "_is_avx512_bf16_supported", bool)
    return torch.autocast("cpu", torch.bfloat16, enabled=has())


def stage(progress, rng):
    """(H, W, pictures per worker, chances of 1/2/3 objects, object size, jitter, mosaic rows, columns) for this step:
    single big objects first, then several and mosaics, then the picture sizes the model is used at."""
    if progress < 0.06:
        return 96, 96, 64, (1, 0, 0), (56, 96), 0.6, 1, 1
    if rng.random() < 0.4:
        H, W, B, rows, cols = ((96, 96, 64, 2, 2), (80, 112, 64, 2, 2), (128, 128, 36, 1, 2))[rng.integers(3)]
    else:
        sizes = [(96, 96, 64), (128, 128, 36), (112, 144, 36), (128, 160, 30)]
        if progress > 0.5:
            sizes = [(96, 96, 64), (128, 128, 36), (144, 192, 20), (192, 256, 12), (240, 320, 8)]
        (H, W, B), rows, cols = sizes[rng.integers(len(sizes))], 1, 1
    if H <= 96:
        return H, W, B, (0.85, 0.15, 0), (44, 96), 1.0, rows, cols
    if H <= 128:
        return H, W, B, (0.5, 0.35, 0.15), (44, 0.9 * H), 1.0, rows, cols
    return H, W, B, (0.34, 0.33, 0.33), (64, 0.75 * H), 1.0, rows, cols


@dataclasses.dataclass
class Batch:
    """Pictures (B, 3, rows * H, cols * W), each a mosaic of rows x cols single ones; objects and grounds are lists of
    ids of the single pictures, in reading order within each mosaic."""
    img: torch.Tensor
    objects: list
    grounds: list
    rows: int
    cols: int

    def grid(self, patch):
        """rows, columns and the patches of a single picture."""
        return self.rows, self.cols, self.img.shape[2] // patch // self.rows, self.img.shape[3] // patch // self.cols


class Batches:
    """Composing costs as much as learning, so about half the batches are used a second time, mirrored and tinted."""

    def __init__(self, sprites, pool, rng):
        self.sprites, self.pool, self.rng, self.replay = sprites, pool, rng, []

    def next(self, progress, shared):
        """-> Batch. shared: the generator that draws alike in all workers."""
        if self.replay and shared.random() < 0.5:
            (img, objects, grounds), rows, cols = self.replay.pop(shared.integers(len(self.replay)))
            img = img.flip(3) * torch.empty(len(img), 3, 1, 1).uniform_(0.9, 1.1)
            order = self.rng.permutation(len(img))
            img, objects, grounds = img[order], [objects[i] for i in order], [grounds[i] for i in order]
        else:
            H, W, B, counts, size, jitter, rows, cols = stage(progress, shared)
            img, objects, grounds = compose(self.sprites, self.pool, B, H, W, self.rng, counts, size, jitter, empty=0.1,
                                            close=0.15)[:3]
            self.replay = [*self.replay, ((img, objects, grounds), rows, cols)][-16:]
        return Batch(mosaic(img, rows, cols), objects, grounds, rows, cols)


WEIGHTS = {"cls": 1, "mean": 1, "cls_nce": 0.3, "mean_nce": 0.3, "patch": 0.5, "value": 0.3}
SELF_TRAINING = {"cam": 1, "refined": 2, "attention": 1}


def all_losses(model, words, batch, progress):
    """-> (total, {name: loss})."""
    C, G = len(words.classes), len(KINDS)
    count, grid = batch.rows * batch.cols, batch.grid(model.patch)
    single = soft_targets(batch.objects, batch.grounds, C, G)
    objects, grounds = merged(batch.objects, count), merged(batch.grounds, count)
    target = soft_targets(objects, grounds, C, G)
    tokens = words.pad(words.all_prompts() + words.captions(objects, grounds))
    with mixed_precision():
        cls, mean, patches, value, y, attention = model.image((batch.img - MEAN) / STD)
        texts, captions = F.normalize(model.text(tokens).float(), dim=-1).split([C + G, len(objects)])
    scale = model.logit_scale.exp()
    patches, value = (patch_logits(untile(e, *grid), texts, scale) for e in (patches, value))
    parts = {}
    for name, embedding in (("cls", cls), ("mean", mean)):
        parts[name], parts[name + "_nce"] = image_text_losses(embedding, texts, captions, target, scale)
    parts["patch"] = patch_loss(patches, single, C)
    parts["value"] = patch_loss(value, single, C)
    q = tile(patch_labels((patches + value) / 2, single), *grid)
    parts |= self_training(q, mean, y, attention, texts.detach(), target, scale.detach(), C)
    trust = min(1, max(0, (progress - 0.1) / 0.15))                  # the patch labels are poor at first
    weights = WEIGHTS | {name: trust * weight for name, weight in SELF_TRAINING.items()}
    return sum(weights[name] * loss for name, loss in parts.items()), parts


class Optimisers:
    """Muon for the matrices of the blocks, whose steps it makes orthogonal (Jordan et al. 2024), AdamW for all else. Its
    steps have AdamW's size, so that one learning rate serves both."""

    def __init__(self, model, lr):
        matrices, tables, vectors = [], [], []
        for name, p in model.named_parameters():
            if "resblocks" in name and p.dim() == 2:
                matrices.append(p)
            else:
                (tables if p.dim() >= 2 and "embedding" not in name else vectors).append(p)
        self.parts = [
            torch.optim.Muon(matrices, lr=lr, weight_decay=0.05, momentum=0.95, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW([{"params": tables, "weight_decay": 0.05}, {"params": vectors, "weight_decay": 0.0}],
                              lr=lr, betas=(0.9, 0.98), fused=True)]

    def step(self, lr):
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = lr
            part.step()

    def state_dict(self):
        return [part.state_dict() for part in self.parts]

    def load_state_dict(self, states):
        for part, state in zip(self.parts, states, strict=True):
            part.load_state_dict(state)


def share_gradients(model, spent, workers):
    """Averages the gradients, of norm one at most, and the seconds spent of all workers; -> the common seconds."""
    parameters = list(model.parameters())
    gradients = [(p.grad if p.grad is not None else torch.zeros_like(p)).flatten() for p in parameters]
    flat = torch.cat([torch.tensor([spent]), *gradients])
    torch.distributed.all_reduce(flat)
    flat /= workers
    seconds, flat = flat[0].item(), flat[1:]
    flat /= flat.norm().clamp_min(1)
    for p, g in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
        p.grad = g.view_as(p)
    return seconds


@torch.no_grad()
def follow(average, model, step):
    """The exponential moving average of the weights, which is what is shipped."""
    decay = min(0.998, (step + 1) / (step + 20))
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)


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


def write(out, model, average, opt, words, **state):
    """state: minutes, step, pictures. A run that is killed while it writes keeps its last files."""
    torch.save(dict(model=model.state_dict(), average=average.state_dict(), opt=opt.state_dict(), **state),
               out + ".ckpt.part")
    os.replace(out + ".ckpt.part", out + ".ckpt")
    export(average, words, out + ".pt.part")
    os.replace(out + ".pt.part", out + ".pt")


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
    average, opt = copy.deepcopy(model), Optimisers(model, a.lr)
    state = dict(minutes=0.0, step=0, pictures=0)
    if os.path.exists(a.out + ".ckpt"):
        saved = torch.load(a.out + ".ckpt")
        for name, part in (("model", model), ("average", average), ("opt", opt)):
            part.load_state_dict(saved[name])
        state = {name: saved[name] for name in state}
    watch = None
    if rank == 0:
        watch = Watch(words, sprites, Sprites(a.sprites, held_out_styles))
        with open(a.out + ".classes.json", "w") as f:
            json.dump(words.class_file(), f, indent=1)
        print(len(words.classes), "classes,", len(sprites.label), "sprites,", len(words.used) + 1, "vocabulary rows,",
              sum(p.numel() for p in model.visual.parameters()), "visual parameters; from step", state["step"], flush=True)
    seed = 100 * state["step"] + rank                                # from here on every worker draws its own pictures
    torch.manual_seed(seed)
    random.seed(seed)
    batches = Batches(sprites, background_pool(50, 1), np.random.default_rng(seed))
    learn(rank, a, model, average, opt, words, batches, watch, **state)
    torch.distributed.destroy_process_group()


def learn(rank, a, model, average, opt, words, batches, watch, minutes, step, pictures):
    """minutes: processor time that each worker has had so far."""
    clock, last_log, last_save = time.process_time(), time.time(), time.time()
    begin, stats = pictures, {}

    def save():
        write(a.out, model, average, opt, words, minutes=minutes, step=step, pictures=pictures)
        print("      top-1", watch.report(average), flush=True)

    start = time.time()
    while minutes < a.minutes:
        if os.getppid() != a.parent:                                 # killed: nobody would stop this process
            raise SystemExit("the training was ended")
        progress = minutes / a.minutes
        shared = np.random.default_rng(step)                         # decisions all workers take alike
        warm = min(1, (step + 1) / 200)
        lr = a.lr * warm * (0.5 * (1 + math.cos(math.pi * progress)) * 0.98 + 0.02)
        batch = batches.next(progress, shared)
        loss, parts = all_losses(model, words, batch, progress)
        model.zero_grad(set_to_none=True)
        loss.backward()
        spent, clock = time.process_time() - clock, time.process_time()
        minutes += share_gradients(model, spent, a.workers) / 60
        opt.step(lr)
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(LARGEST_SCALE))
        follow(average, model, step)
        step += 1
        pictures += len(batch.objects) * a.workers
        for name, value in parts.items():
            stats[name] = 0.97 * stats.get(name, value.item()) + 0.03 * value.item()
        now = time.time()
        if rank == 0 and now - last_log > 30:
            last_log = now
            print(f"{(now - start) / 60:5.1f} min  progress {progress:.3f}  step {step}  pictures {pictures} "
                  f"({(pictures - begin) / (now - start):.0f}/s)  lr {lr:.1e}  scale {model.logit_scale.exp().item():.1f}  "
                  + " ".join(f"{name} {value:.2f}" for name, value in stats.items()), flush=True)
        if rank == 0 and now - last_save > 120:
            last_save = now
            save()
    if rank == 0:
        save()


if __name__ == "__main__":
    main()
