"""Compares similarity.py with the methods' published code on random pixels and words.

    python compare_published.py ARCHIVE.pt NACLIP RESCLIP SC-CLIP

The last three are clones of github.com/sinahmr/NACLIP, yvhangyang/ResCLIP and SuleBai/SC-CLIP. Only their model files and NACLIP's
sliding windows run, with stand-ins for the packages that they import and these parts do not need (mmseg, OpenCV, torchvision). Two things
differ on purpose and are made equal here: they resize the positional embedding bicubically, and ResCLIP's feedback from a first
segmentation (SFR) is not part of 'resclip'. SC-CLIP's code finds the place of an outlier only in square photos.
"""
import importlib.util
import sys
import types
from dataclasses import replace

import torch
import torch.nn.functional as F

import clip_es as O
import similarity as S

STAND_INS = ["pamr", "cv2", "clip", "prompts", "prompts.imagenet_template", "torchvision", "torchvision.transforms",
             "torchvision.transforms.functional", "mmengine", "mmengine.structures", "mmseg", "mmseg.models",
             "mmseg.models.data_preprocessor", "mmseg.models.segmentors", "mmseg.registry"]


class StandIn(types.ModuleType):
    BaseSegmentor = object
    MODELS = types.SimpleNamespace(register_module=lambda: lambda cls: cls)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return StandIn(name)


def load_module(path):
    spec = importlib.util.spec_from_file_location("published_" + path.replace("/", "_").replace(".", "_"), path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_tower(w: O.Weights, repository):
    side = int((w["visual.positional_embedding"].shape[0] - 1) ** 0.5)
    tower = load_module(f"{repository}/clip/model.py").VisionTransformer(
        side * w.patch, w.patch, w.width, w.layers("visual.transformer."), w.width // 64, w["visual.proj"].shape[1])
    tower.load_state_dict({k.removeprefix("visual."): v for k, v in w.p.items() if k.startswith("visual.")})
    tower.interpolate_pos_encoding = lambda x, h, wd: O.positional_embedding(w, h // w.patch, wd // w.patch)[None]
    return tower.eval()


def published_features(w, naclip, resclip, sc_clip, pixels):
    """The outputs of the published code for each preset: (N, E), not normalised."""
    _, height, width = pixels.shape
    naclip.addition_cache = {}
    naclip.set_params("vanilla", "vanilla", 5.0)
    out = {"clip": naclip(pixels[None], return_all=True)[0, 1:]}
    naclip.set_params("reduced", "naclip", 5.0)
    out["naclip"] = naclip(pixels[None], return_all=True)[0, 1:]
    resclip.set_params("wo_resi", "resclip", 5.0)
    out["resclip"] = resclip(pixels[None], return_all=True, use_rcs=True, use_sfr=False, attn_rcs_weights=[2.0, 0.3])[0, 1:]
    if height == width:
        out["sc-clip"] = sc_clip(pixels[None], return_all=True)[0]
    return out


def make_pixels(height, width):
    soft = F.interpolate(torch.randn(1, 3, height // 16 + 1, width // 16 + 1), (height, width), mode="bicubic")[0]
    return soft + 0.3 * torch.randn(3, height, width)


def compare_windows(w, repository, tower, texts):
    slide = load_module(f"{repository}/naclip.py").NACLIP
    tower.set_params("reduced", "naclip", 5.0)
    model = types.SimpleNamespace(
        net=types.SimpleNamespace(visual=tower, encode_image=lambda image, return_all: tower(image, return_all=return_all)),
        query_features=texts, num_queries=len(texts), align_corners=False)
    model.forward_feature = lambda image: slide.forward_feature(model, image)
    pixels = make_pixels(336, 448)
    theirs = slide.forward_slide(model, pixels[None], 112, 224)[0]
    ours = S.text_cosines(w, replace(S.PRESETS["naclip"], window=224, stride=112), pixels, texts)
    print(f"336 x 448 naclip in windows: probabilities {float(((40 * theirs).softmax(0) - (40 * ours).softmax(0)).abs().max()):.1e}")


@torch.no_grad()
def main(archive, *repositories):
    torch.manual_seed(0)
    sys.modules.update({name: StandIn(name) for name in STAND_INS})
    w = O.load(archive, torch.float32)
    towers = [make_tower(w, repository) for repository in repositories]
    texts = F.normalize(torch.randn(21, w["visual.proj"].shape[1]), dim=1)
    for height, width in [(224, 224), (336, 448), (336, 336)]:
        pixels = make_pixels(height, width)
        for name, theirs in published_features(w, *towers, pixels).items():
            ours = S.patch_features(w, S.PRESETS[name], pixels)
            full = [S.enlarge((texts @ f.T).reshape(len(texts), height // w.patch, width // w.patch), height, width)
                    for f in (F.normalize(theirs, dim=1), ours)]
            theirs, ours = ((40 * f).softmax(0) for f in full)
            print(f"{height} x {width} {name}: probabilities {float((theirs - ours).abs().max()):.1e}")
    compare_windows(w, repositories[0], towers[0], texts)


if __name__ == "__main__":
    main(*sys.argv[1:])
