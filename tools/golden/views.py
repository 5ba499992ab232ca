"""Averaging over scales and the mirrored photo, and the thresholds: the definition of the options scales, flip, minScore and backgroundBelow.

A view is one way in which the photo enters the network: its size times a scale, maybe mirrored. Each view is segmented by itself, with
refinement, because CAA needs the attention of that view. Its maps are enlarged to the photo's size and mirrored back. The mean over the
views takes the place of a single view's maps. The background, the thresholds, the mask, its confidence and the CRF come after the mean.
"""
from __future__ import annotations

import torch

import clip_es as O
import similarity as S


def views(scales, flip: bool):
    return [(scale, mirrored) for scale in scales for mirrored in ([False, True] if flip else [False])]


def mean(values):
    return torch.stack(values).mean(0)


def mirrored_back(maps, mirrored: bool):
    return maps.flip(-1) if mirrored else maps


def gradcam(w: O.Weights, image, texts, K: int, refine: bool, scales, flip: bool):
    """-> maps (K, H, W), scores (K): the mean probabilities of the labels."""
    maps, scores = [], []
    for scale, mirrored in views(scales, flip):
        r = O.segment(w, image, texts, K, scale=scale, mirrored=mirrored)
        full = r["refined_full"] if refine else S.enlarge(torch.stack([O.min_max(c) for c in r["cams"]]), image.height, image.width)
        maps.append(mirrored_back(full, mirrored))
        scores.append(r["probabilities"][:K])
    return mean(maps), mean(scores)


def similarity(w: O.Weights, settings: S.Settings, image, texts, label_of_text, K: int, refine: bool, scales, flip: bool):
    """-> maps (1 + K, H, W): the background's and the labels' probabilities; scores (K): the largest value of each label's map."""
    maps = []
    for scale, mirrored in views(scales, flip):
        r = S.segment(w, settings, image, texts, label_of_text, K, scale=scale, mirrored=mirrored)
        maps.append(mirrored_back(r["refined_full" if refine else "full"], mirrored))
    return mean(maps), mean(maps)[1:].flatten(1).max(1).values


def without_low_scores(maps, scores, min_score: float):
    """maps (K, H, W). A label whose score is below min_score has the map 0, which takes no pixels."""
    return torch.where((scores < min_score)[:, None, None], 0, maps)


def with_background_below(maps, below: float):
    """maps (1 + K, H, W), the background first, which gets at least this score: pixels where no other map is larger become background."""
    return torch.cat([maps[:1].clamp(min=below), maps[1:]])
