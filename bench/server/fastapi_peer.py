"""Python's usual server, FastAPI on uvicorn, with the closed form in PyTorch: the same mathematics as the engine, see bench/peers/closed_form.py.

    python fastapi_peer.py ARCHIVE THREADS PORT LABELS

POST /segment: the body is a photo, the answer a PNG mask. Needs torch, numpy, pillow, fastapi and uvicorn.
"""
import io
import sys
import threading
from pathlib import Path

import torch
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "peers"))
sys.path.insert(0, str(Path(__file__).parents[2] / "tools/golden"))  # in front: both folders have a closed_form.py
import clip_es
import closed_form
import peer

archive, threads, port, labels = sys.argv[1], *map(int, sys.argv[2:5])
weights = clip_es.load(archive)
texts = peer.texts(labels, weights["visual.proj"].shape[1])
torch.set_num_threads(threads)
one_at_a_time = threading.Lock()  # PyTorch uses all threads for one photo; several at a time are slower
app = FastAPI()


@torch.no_grad()
def mask_of(image):
    torch.set_flush_denormal(True)  # of the thread that computes
    x, attentions, grid = clip_es.encode_image(weights, clip_es.preprocess(image, weights.patch))
    cams, _, last = closed_form.softmax_gradcam(weights, x, texts, labels)
    cams = torch.stack([clip_es.normalise_cam(cam.reshape(grid)) for cam in cams])
    boxes = torch.stack([clip_es.box_mask(cam, 0.4) for cam in cams])
    refined = closed_form.caa(cams, boxes, clip_es.mean_attention(attentions + [last]))
    mask, _ = clip_es.pseudo_mask(torch.stack([clip_es.resize(clip_es.min_max(m), image.height, image.width) for m in refined]))
    return mask


def answer(body):
    image = Image.open(io.BytesIO(body)).convert("RGB")
    with one_at_a_time:
        mask = mask_of(image)
    file = io.BytesIO()
    Image.fromarray(mask.to(torch.uint8).numpy()).save(file, "PNG")
    return file.getvalue()


@app.post("/segment")
async def segment(request: Request):
    body = await request.body()
    return Response(await run_in_threadpool(answer, body), media_type="image/png")


uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")
