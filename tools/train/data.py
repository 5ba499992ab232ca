"""The training program's random numbers, order of samples and augmentation, in plain Python and PyTorch."""
import math

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

MASK64 = (1 << 64) - 1
ORDER_STREAM = 1 << 62


class Random:
    """SplitMix64. The state depends only on the seed and the stream."""

    def __init__(self, seed, stream):
        self.state = self.mix(self.mix(seed) ^ stream)

    @staticmethod
    def mix(z):
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK64
        return z ^ (z >> 31)

    def next(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK64
        return self.mix(self.state)

    def uniform(self):
        return (self.next() >> 11) * 2.0**-53


def shuffled(count, seed, epoch):
    order = list(range(count))
    random = Random(seed, ORDER_STREAM + epoch)
    for i in range(count, 1, -1):
        j = random.next() % i
        order[i - 1], order[j] = order[j], order[i - 1]
    return order


def draw(random):
    return {name: random.uniform() for name in ("scale", "top", "left", "flip")}


NORMALISATION = {
    "torchvision": ((0, 1, 2), (255 * 0.485, 255 * 0.456, 255 * 0.406), (255 * 0.229, 255 * 0.224, 255 * 0.225)),
    "caffe": ((2, 1, 0), (104.008, 116.669, 122.675), (1, 1, 1)),
}


def augment(photo, mask, confidence, settings, draws, style="torchvision"):
    """photo (h, w, 3) uint8, mask (h, w) uint8, confidence (h, w) float32 or None; settings: `training` of a job file.
    Returns image (3, crop, crop), labels and confidence (crop, crop)."""
    crop, (low, high) = settings["crop"], settings["scales"]
    scale = low + draws["scale"] * (high - low)
    size = [max(1, math.floor(n * scale + 0.5)) for n in mask.shape]
    if confidence is None:
        confidence = torch.ones(mask.shape)
    image = F.interpolate(photo.permute(2, 0, 1)[None].float(), size=size, mode="bilinear", align_corners=False)[0]
    nearest = lambda x: F.interpolate(x[None, None].float(), size=size, mode="nearest-exact")[0, 0]
    top, left = (int(draws[k] * (max(n - crop, 0) + 1)) for k, n in zip(("top", "left"), size))
    window = (..., slice(top, top + crop), slice(left, left + crop))
    channels, mean, deviation = NORMALISATION[style]
    image = (image[list(channels)] - torch.tensor(mean)[:, None, None]) / torch.tensor(deviation)[:, None, None]
    padding = (0, crop - min(crop, size[1]), 0, crop - min(crop, size[0]))
    results = [F.pad(image[window], padding), F.pad(nearest(mask)[window], padding, value=255), F.pad(nearest(confidence)[window], padding)]
    if settings["flip"] and draws["flip"] < 0.5:
        results = [x.flip(-1) for x in results]
    return results[0], results[1].to(torch.uint8), results[2]


def read_sample(sample):
    photo = torch.from_numpy(np.array(Image.open(sample["photo"]).convert("RGB")))
    mask = torch.from_numpy(np.array(Image.open(sample["mask"])))
    confidence = sample.get("confidence")
    if confidence is not None:
        confidence = torch.from_numpy(np.array(Image.open(confidence)).astype(np.float32)) / 65535
    return photo, mask, confidence


def batch(job, number, style="torchvision"):
    """Batch `number` of a run, which counts from 0."""
    count, samples = job["training"]["batch"], job["samples"]
    parts = []
    for position in range(number * count, (number + 1) * count):
        epoch, place = divmod(position, len(samples))
        sample = samples[shuffled(len(samples), job["seed"], epoch)[place]]
        draws = draw(Random(job["seed"], position))
        parts.append(augment(*read_sample(sample), job["training"], draws, style))
    return [torch.stack(x) for x in zip(*parts)]
