"""What the peers share: requests come in as JSON lines, one image each, and answers go out with the processor's seconds.

A peer stays alive between requests, so that the bench can take turns image by image: whatever else the machine does then
meets all of them. Photo and texts are synthetic, as speed does not depend on their values.
"""
from __future__ import annotations

import json
import resource
import sys
import time

import numpy as np
import torch
from PIL import Image

BACKGROUND_TEXTS = 25  # as many as the paper's list for VOC


def photo(width: int, height: int) -> Image.Image:
    y, x, channel = np.mgrid[0:height, 0:width, 0:3]
    noise = np.random.default_rng(2).integers(0, 27, (height, width, 3))
    return Image.fromarray((128 + 100 * np.sin(0.02 * x + channel) * np.cos(0.03 * y) + noise).astype(np.uint8))


def texts(labels: int, embedding: int) -> torch.Tensor:
    drawn = torch.randn(labels + BACKGROUND_TEXTS, embedding, generator=torch.Generator().manual_seed(1))
    return torch.nn.functional.normalize(drawn, dim=1)


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def serve(prepare) -> None:
    """prepare(request) -> a function of no arguments, whose seconds are counted. Ends with standard input."""
    torch.set_flush_denormal(True)
    answer = lambda message: print(json.dumps(message), flush=True)
    answer({"ready": True})
    for line in sys.stdin:
        work = prepare(json.loads(line))
        start, before = time.perf_counter(), cpu_seconds()
        work()
        spent, wall = cpu_seconds() - before, time.perf_counter() - start
        answer({"cpu": spent, "wall": wall, "peakMegabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024})
