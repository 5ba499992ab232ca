"""The closed form in plain PyTorch (tools/golden/closed_form.py): what the mathematics alone gains, without the engine.

    python closed_form.py ARCHIVE THREADS        requests: {"width", "height", "labels"}
"""
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "tools/golden"))
import clip_es
import closed_form
import peer

weights = clip_es.load(sys.argv[1])
torch.set_num_threads(int(sys.argv[2]))


@torch.no_grad()
def segment(image, texts, labels):
    x, attentions, grid = clip_es.encode_image(weights, clip_es.preprocess(image, weights.patch))
    cams, _, last = closed_form.softmax_gradcam(weights, x, texts, labels)
    cams = torch.stack([clip_es.normalise_cam(cam.reshape(grid)) for cam in cams])
    masks = torch.stack([clip_es.box_mask(cam, 0.4) for cam in cams])
    refined = closed_form.caa(cams, masks, clip_es.mean_attention(attentions + [last]))
    clip_es.pseudo_mask(torch.stack([clip_es.resize(clip_es.min_max(m), image.height, image.width) for m in refined]))


def prepare(request):
    image = peer.photo(request["width"], request["height"])
    texts = peer.texts(request["labels"], weights["visual.proj"].shape[1])
    return lambda: segment(image, texts, request["labels"])


peer.serve(prepare)
