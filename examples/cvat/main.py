"""A function of CVAT: adds its classes to a request and passes it on to a clip-es server."""

import json
import os
import urllib.error
import urllib.request

import yaml

FUNCTION = os.environ.get("FUNCTION_FILE", "/opt/nuclio/function.yaml")
SECONDS = 55  # less than eventTimeout in function.yaml


def init_context(context):
    """Nuclio calls this once. Reads the classes from the annotation that CVAT shows to its users."""
    with open(FUNCTION, encoding="utf-8") as file:
        spec = json.loads(yaml.safe_load(file)["metadata"]["annotations"]["spec"])
    context.user_data.classes = [{key: label[key] for key in ("name", "synonyms") if key in label} for label in spec]


def handler(context, event):
    """Nuclio calls this for every photo. CVAT sends {"image": base64, "threshold": number}."""
    body = {key: event.body[key] for key in ("image", "threshold") if key in event.body}
    body["classes"] = context.user_data.classes
    headers = {"Content-Type": "application/json"}
    if os.environ.get("CLIP_ES_API_KEY"):
        headers["Authorization"] = "Bearer " + os.environ["CLIP_ES_API_KEY"]
    url = os.environ["CLIP_ES_URL"].rstrip("/") + "/cvat?" + os.environ.get("CLIP_ES_OPTIONS", "")
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            status, text = answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read().decode()
    except OSError as error:
        status, text = 502, json.dumps({"detail": f"the clip-es server at {url} does not answer ({error})"})
    if status != 200:
        context.logger.error(text)  # CVAT shows only the status
    return context.Response(body=text, headers={}, content_type="application/json", status_code=status)
