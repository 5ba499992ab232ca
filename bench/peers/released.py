"""The authors' pipeline, one image at a time, as their generate_cams_voc12.py runs it.

    python released.py CHECKOUT ARCHIVE THREADS  requests: {"width", "height", "labels"} or {"prompts"}

CHECKOUT: a clone of github.com/linyq2117/CLIP-ES, which is read and never changed. Needs torch, opencv-python-headless, lxml and tqdm.
torchvision and ttach are imported there for things that are not used here: empty modules stand in for them.
"""
import sys
import types
import warnings

import numpy as np
import packaging.version
import torch
from PIL import Image

checkout, archive, threads = sys.argv[1:4]
warnings.filterwarnings("ignore")
sys.path.append(checkout)


def stand_in(name: str, **members) -> types.ModuleType:
    module = types.ModuleType(name)
    module.__dict__.update(members)
    return sys.modules.setdefault(name, module)


nothing = lambda *_, **__: None
names = ("Compose", "Resize", "CenterCrop", "ToTensor", "Normalize", "RandomHorizontalFlip")
stand_in("pkg_resources", packaging=packaging)
stand_in("ttach", Compose=nothing, HorizontalFlip=nothing, Multiply=nothing)
transforms = stand_in("torchvision.transforms", InterpolationMode=types.SimpleNamespace(BICUBIC=3), **dict.fromkeys(names, nothing))
stand_in("torchvision", transforms=transforms)

import cv2
from clip.model import build_model
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.image import scale_cam_image
from utils import scoremap2bbox

import peer

torch.set_num_threads(int(threads))
state = dict(torch.jit.load(archive, map_location="cpu").state_dict())
patch, embedding = state["visual.conv1.weight"].shape[-1], state["visual.proj"].shape[1]
context, vocabulary = state["positional_embedding"].shape[0], state["token_embedding.weight"].shape[0]
model = build_model(state).float().eval()
MEAN = np.array((0.48145466, 0.4578275, 0.40821073), np.float32)
STD = np.array((0.26862954, 0.26130258, 0.27577711), np.float32)


def to_grid(tokens, height, width):
    patches = tokens.permute(1, 0, 2)[:, 1:]
    return patches.reshape(patches.size(0), height, width, patches.size(2)).permute(0, 3, 1, 2)


class Target:
    def __init__(self, label):
        self.label = label

    def __call__(self, scores):
        return scores[..., self.label]


cam = GradCAM(model=model, target_layers=[model.visual.transformer.resblocks[-1].ln_1], reshape_transform=to_grid)


def affinity(attentions):
    mean = torch.stack([a[:, 1:, 1:] for a in attentions])[-8:].mean(0)[0].detach().float()
    for _ in range(3):
        mean = mean / mean.sum(0, keepdim=True)
        mean = mean / mean.sum(1, keepdim=True)
    mean = (mean + mean.T) / 2
    return mean @ mean


def segment(image, texts, labels):
    height, width = -(-image.height // patch) * patch, -(-image.width // patch) * patch
    resized = np.asarray(image.resize((width, height), Image.BICUBIC), np.float32)
    pixels = torch.from_numpy(((resized / 255 - MEAN) / STD).transpose(2, 0, 1).copy())[None]
    features, attentions = model.encode_image(pixels, height, width)
    for label in range(labels):
        maps, _, last = cam(input_tensor=[features, texts, height, width], targets=[Target(label)], target_size=None)
        map = maps[0]
        cv2.resize(map, (image.width, image.height))
        if label == 0:
            attentions.append(last)
        boxes, count = scoremap2bbox(scoremap=map, threshold=0.4, multi_contour_eval=True)
        mask = torch.zeros(map.shape)
        for left, top, right, bottom in boxes[:count]:
            mask[top:bottom, left:right] = 1
        refined = (affinity(attentions) * mask.view(1, -1)) @ torch.from_numpy(map.astype(np.float32)).view(-1, 1)
        scale_cam_image([refined.reshape(map.shape).numpy()], (image.width, image.height))


@torch.no_grad()
def encode_prompts(prompts):
    for tokens in prompts:  # class by class, each padded to the whole context
        model.encode_text(tokens[None])


def prepare(request):
    if "prompts" in request:
        tokens = torch.zeros(request["prompts"], context, dtype=torch.long)
        tokens[:, :8] = torch.randint(1, vocabulary - 2, (request["prompts"], 8))
        tokens[:, 8] = vocabulary - 1
        return lambda: encode_prompts(tokens)
    image = peer.photo(request["width"], request["height"])
    texts = peer.texts(request["labels"], embedding)
    return lambda: segment(image, texts, request["labels"])


peer.serve(prepare)
