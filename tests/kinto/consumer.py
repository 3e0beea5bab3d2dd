"""A webhook consumer that trusts nothing but the official libraries.

Verifies each request with `standardwebhooks`, parses its body with `cloudevents`, and prints one
JSON line per request. The first line names the port; it ends when its standard input does.
"""

import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

SECRET = os.environ["HOOK_SECRET"]
printing = threading.Lock()


def say(line):
    with printing:
        print(json.dumps(line), flush=True)


class Hook(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = dict(self.headers.items())
        try:
            Webhook(SECRET).verify(body, headers)
            event = from_http_event(HTTPMessage(headers=headers, body=body))
        except WebhookVerificationError as wrong:
            self.answer(401)
            say({"refused": str(wrong)})
            return
        except Exception as wrong:
            self.answer(422)
            say({"refused": repr(wrong)})
            return
        self.answer(204)
        say(
            {
                "webhook_id": self.headers["webhook-id"],
                "version": int(self.headers["milkrun-version"]),
                "stated_version": int(event.get_extension("milkrunversion")),
                "topic": event.get_extension("milkruntopic"),
                "id": event.get_id(),
                "type": event.get_type(),
                "source": event.get_source(),
                "data": event.get_data(),
            }
        )

    def answer(self, status):
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
threading.Thread(target=server.serve_forever, daemon=True).start()
say({"listening": server.server_address[1]})
sys.stdin.read()
