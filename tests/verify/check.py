"""Checks a file of requests with the official Python libraries.

Each line of the file is a JSON object, whose `check` says what is to be done with it: `signature`,
`vector`, `event` or `time`. Prints how many of each held, as JSON; ends with a traceback at the first that
does not.
"""

import base64
import json
import sys
from collections import Counter
from datetime import datetime, timedelta, timezone

from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from cloudevents.core.formats.json import JSONFormat
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

counts = Counter()


def refuses(verify, body, headers):
    try:
        verify(body, headers)
    except (WebhookVerificationError, InvalidSignature):
        counts["refused"] += 1
        return
    raise AssertionError(f"accepted although it was altered: {body!r}")


def ed25519(public):
    assert public.startswith("whpk_")
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public[5:]))

    def verify(body, headers):
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        kinds = [one.split(",") for one in headers["webhook-signature"].split(" ")]
        [signature] = [value for kind, value in kinds if kind == "v1a"]
        key.verify(base64.b64decode(signature), signed)

    return verify


def check_signature(line, body):
    verifiers = [Webhook(secret).verify for secret in line["secrets"]]
    for verify in [*verifiers, ed25519(line["public"])]:
        headers = line["headers"]
        verify(body, headers)
        counts["verified"] += 1
        refuses(verify, body + b" ", headers)
        refuses(verify, body[:-1] + b")", headers)
        refuses(verify, body, {**headers, "webhook-id": headers["webhook-id"] + "0"})


def check_vector(line, body):
    at = datetime.fromtimestamp(int(line["headers"]["webhook-timestamp"]), timezone.utc)
    signed = Webhook(line["secrets"][0]).sign(line["headers"]["webhook-id"], at, body.decode())
    assert signed in line["headers"]["webhook-signature"].split(" "), signed
    ed25519(line["public"])(body, line["headers"])


def check_event(line, body):
    expected = line["expected"]
    if line["headers"].get("content-type") == "application/cloudevents-batch+json":
        # The library has no batches: each is an event in its format.
        got = [JSONFormat().read(None, json.dumps(one)) for one in json.loads(body)]
    else:
        got = [from_http_event(HTTPMessage(headers=line["headers"], body=body))]
    assert len(got) == len(expected)
    for event, (attributes, data) in zip(got, expected):
        same(event.get_attributes(), attributes)
        assert plain(event.get_data()) == data, (event.get_data(), data)


def check_time(line, body):
    if line["time"].startswith("0000-"):
        # The year is good in RFC 3339, but Python's calendar begins one later.
        return
    time = from_http_event(HTTPMessage(headers=line["headers"], body=body)).get_time()
    epoch = datetime(1970, 1, 1, tzinfo=timezone.utc)
    assert (time - epoch) // timedelta(seconds=1) == line["seconds"], (time, line)


def same(got, expected):
    got = {name: text(value) for name, value in got.items() if name != "specversion"}
    if "time" not in expected:
        # The library puts the present in the place of a time that is not there.
        del got["time"]
    expected = {name: text(value, name) for name, value in expected.items()}
    assert got == expected, (got, expected)


def text(value, name=""):
    """Headers have texts only, and times are moments."""
    if name == "time":
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).isoformat()
    return value if isinstance(value, str) else json.dumps(value)


def plain(data):
    if isinstance(data, (bytes, bytearray)):
        return {"bytes": base64.b64encode(data).decode()} if data else None
    return data if data != "" else None


for text_line in open(sys.argv[1], encoding="utf-8"):
    line = json.loads(text_line)
    body = base64.b64decode(line["body"])
    {
        "signature": check_signature,
        "vector": check_vector,
        "event": check_event,
        "time": check_time,
    }[line["check"]](line, body)
    counts[line["check"]] += 1
print(json.dumps(counts))
