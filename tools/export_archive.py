"""Makes a model archive for clip-es of an open_clip or transformers CLIP checkpoint on this disk. Nothing is downloaded.

    python export_archive.py CLIP-ViT-B-16-laion2B/ laion-b16.pt            # a folder, as Hugging Face's hub has it
    python export_archive.py weights.pt my.pt --architecture ViT-B-16       # open_clip's weights alone, and what they are of
    python export_archive.py weights.pt my.pt --architecture my-model.json  # the same, as open_clip's model_configs/*.json

Needs torch, and safetensors for .safetensors files. OpenAI's own archives (ViT-B-16.pt, …) load without this.
"""
import argparse
import json
import sys
from pathlib import Path

import torch

import read_open_clip
import read_transformers
from archive import save
from checkpoint import Unfit


CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073]
CLIP_STD = [0.26862954, 0.26130258, 0.27577711]


def holds_weights(path, library):
    return any((path / name).is_file() for name in library.WEIGHTS) if path.is_dir() else path.name in library.WEIGHTS


def read(path, architecture):
    """The checkpoint, by what lies in its folder. A folder of the hub may hold both libraries' files, of the same model."""
    path = Path(path)
    if not path.exists():
        raise Unfit("it does not exist")
    if architecture is not None:
        return read_open_clip.read(path, architecture)
    folder = path if path.is_dir() else path.parent
    described = [library for library in (read_open_clip, read_transformers) if (folder / library.CONFIG).is_file()]
    if not described:
        raise Unfit(f"neither {read_open_clip.CONFIG} nor {read_transformers.CONFIG} beside the weights says what they are of: "
                    "for open_clip's, give --architecture, such as ViT-B-16")
    if len(described) > 1:
        described = [library for library in described if holds_weights(path, library)] or described
    return described[0].read(path)


def smallest(tensor):
    """float16 where that changes no value, as OpenAI's archives are stored; else float32."""
    half = tensor.half()
    return half if torch.equal(half.to(tensor.dtype), tensor) else tensor.float()


def describe(checkpoint, mean, std):
    """clip-es.json, and what to tell the user of it. What they give counts more than what the checkpoint says."""
    notes = list(checkpoint.notes)
    for name, given, own in (("mean", mean, checkpoint.mean), ("std", std, checkpoint.std)):
        if given is None and own is None:
            notes.append(f"the checkpoint does not say the {name} of its pixels: CLIP's own is taken; --{name} names another")
    return {
        "activation": checkpoint.activation,
        "heads": {"image": checkpoint.image_heads, "text": checkpoint.text_heads},
        "mean": list(mean or checkpoint.mean or CLIP_MEAN),
        "std": list(std or checkpoint.std or CLIP_STD),
    }, notes


def three_numbers(text):
    numbers = [float(part) for part in text.split(",")]
    if len(numbers) != 3:
        raise argparse.ArgumentTypeError(f"{text} has {len(numbers)} numbers; red, green, blue are needed")
    return numbers


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="a folder, or a file of weights")
    parser.add_argument("archive", help="what to write")
    parser.add_argument("--architecture", metavar="NAME|FILE.json",
                        help="of open_clip weights that have no open_clip_config.json beside them")
    parser.add_argument("--mean", type=three_numbers, metavar="R,G,B",
                        help="of the pixels, in [0, 1]; counts more than what the checkpoint says")
    parser.add_argument("--std", type=three_numbers, metavar="R,G,B", help="the same for the deviation")
    args = parser.parse_args()
    try:
        checkpoint = read(args.checkpoint, args.architecture)
        config, notes = describe(checkpoint, args.mean, args.std)
        save({name: smallest(tensor) for name, tensor in checkpoint.parameters.items()}, {}, args.archive, config)
    except (Unfit, OSError, RuntimeError) as error:
        sys.exit(f"{args.checkpoint}: {error}")
    for note in notes:
        print(f"note: {note}")
    print(f"{args.archive}: {json.dumps(config)}")


if __name__ == "__main__":
    main()
