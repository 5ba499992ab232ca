"""Reads COCO instances as pycocotools does, for 62.export_command.ts. read_coco.py FILE OUT: writes OUT/IMAGE_ID.raw, the category of each
pixel as a byte, and prints as JSON what it found: images, annotations, and the largest error of an area and of a box."""

import json
import sys

import numpy as np
from pycocotools import mask as masks
from pycocotools.coco import COCO

file, out = sys.argv[1:]
stdout, sys.stdout = sys.stdout, sys.stderr  # COCO prints what it does
coco = COCO(file)
error = 0.0
overlaps = 0
for image in coco.loadImgs(coco.getImgIds()):
    pixels = np.zeros((image["height"], image["width"]), np.uint8)
    for annotation in coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]])):
        inside = coco.annToMask(annotation).astype(bool)
        overlaps += int((pixels[inside] != 0).sum())
        pixels[inside] = annotation["category_id"]
        code = coco.annToRLE(annotation)
        boxes = np.abs(masks.toBbox(code) - np.array(annotation["bbox"], float))
        error = max(error, abs(float(masks.area(code)) - annotation["area"]), float(boxes.max()))
    pixels.tofile(f"{out}/{image['id']}.raw")
results = coco.loadRes(coco.dataset["annotations"])  # as detections
scores = [annotation["score"] for annotation in results.dataset["annotations"]]
images = {image["file_name"]: image["id"] for image in coco.dataset["images"]}
print(json.dumps({"images": images, "scores": scores, "error": error, "overlaps": overlaps}), file=stdout)
