"""The encoder's forward pass alone in onnxruntime: no maps, no attention kept, which the method cannot do without.

    python onnx_encoder.py ARCHIVE THREADS float32|int8      requests: {"width", "height"}

The image tower is exported for each size that is asked for; int8 is onnxruntime's dynamic quantisation. Needs torch, onnx, onnxruntime.
"""
import functools
import sys
import tempfile
import warnings
from pathlib import Path

import onnxruntime
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic

sys.path.insert(0, str(Path(__file__).parents[2] / "tools/golden"))
import clip_es
import peer

warnings.filterwarnings("ignore")
weights, threads, precision = clip_es.load(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
folder = tempfile.TemporaryDirectory()


class ImageTower(torch.nn.Module):
    """As clip_es.encode_image and its last block, sizes as plain numbers so that the exporter takes them for constants."""

    def __init__(self, grid):
        super().__init__()
        self.grid, self.tokens = grid, grid[0] * grid[1] + 1

    def block(self, name, x):
        linear = lambda layer, y: y @ weights[f"{name}.{layer}weight"].T + weights[f"{name}.{layer}bias"]
        qkv = linear("attn.in_proj_", clip_es.layer_norm(weights, name + ".ln_1", x))
        q, k, v = qkv.view(self.tokens, 3, weights.width // 64, 64).permute(1, 2, 0, 3)
        attended = (q / 8.0 @ k.transpose(1, 2)).softmax(-1) @ v
        x = x + linear("attn.out_proj.", attended.transpose(0, 1).reshape(self.tokens, weights.width))
        hidden = clip_es.quick_gelu(linear("mlp.c_fc.", clip_es.layer_norm(weights, name + ".ln_2", x)))
        return x + linear("mlp.c_proj.", hidden)

    def forward(self, pixels):
        x = torch.nn.functional.conv2d(pixels[None], weights["visual.conv1.weight"], stride=weights.patch)
        x = x.reshape(weights.width, self.tokens - 1).T
        x = torch.cat([weights["visual.class_embedding"][None], x]) + clip_es.positional_embedding(weights, *self.grid)
        x = clip_es.layer_norm(weights, "visual.ln_pre", x)
        for i in range(weights.layers("visual.transformer.")):
            x = self.block(f"visual.transformer.resblocks.{i}", x)
        return clip_es.layer_norm(weights, "visual.ln_post", x)[1:].mean(0) @ weights["visual.proj"]


@functools.cache
@torch.no_grad()
def session(width, height):
    file = f"{folder.name}/{width}x{height}.onnx"
    pixels = clip_es.preprocess(peer.photo(width, height), weights.patch)
    grid = pixels.shape[1] // weights.patch, pixels.shape[2] // weights.patch
    torch.onnx.export(ImageTower(grid), (pixels,), file, input_names=["pixels"], dynamo=False)
    if precision == "int8":
        quantize_dynamic(file, file + ".int8", weight_type=QuantType.QInt8)
        file += ".int8"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(file, options, ["CPUExecutionProvider"])


def prepare(request):
    encoder = session(request["width"], request["height"])
    pixels = clip_es.preprocess(peer.photo(request["width"], request["height"]), weights.patch).numpy()
    return lambda: encoder.run(None, {"pixels": pixels})


peer.serve(prepare)
