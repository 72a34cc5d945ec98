"""Takes what agents report, and says that all of it is stored: pods that are no trial's end as a trial's do.

python3 acknowledge.py ADDRESS     prints its URL
"""

import http.server
import json
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        batch = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        stored = max((record["sequence"] for record in batch["records"]), default=0)
        answer = json.dumps({"stored": stored}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer((sys.argv[1], 0), Handler)
print(f"http://{sys.argv[1]}:{server.server_address[1]}", flush=True)
server.serve_forever()
