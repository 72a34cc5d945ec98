"""A small client of the Kubernetes API: one connection a thread, JSON in and out."""

import base64
import http.client
import json
import socket
import ssl
import subprocess
import threading
import time
from urllib.parse import urlencode, urlsplit

# Seconds after which a connection is not used again.
IDLE = 10
JOBS = "/apis/batch/v1/namespaces/{}/jobs"
PODS = "/api/v1/namespaces/{}/pods"
EXPERIMENTS = "/apis/automl.dev/v1alpha1/namespaces/{}/experiments"
TRIALS = "/apis/automl.dev/v1alpha1/namespaces/{}/trials"


class Refused(Exception):
    """The server's answer is an error."""

    def __init__(self, status, message):
        super().__init__(f"{status}: {message}")
        self.status = status


class Cluster:
    """That of a kubeconfig's current context, whose user has a token."""

    def __init__(self, kubeconfig):
        view = ["kubectl", "config", "view", "--raw", "--minify", "--output=json", "--kubeconfig", kubeconfig]
        config = json.loads(subprocess.run(view, capture_output=True, check=True).stdout)
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self.address = urlsplit(cluster["server"])
        certificate = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self.context = ssl.create_default_context(cadata=certificate)
        # From 3.13 on Python is stricter than the programs of Kubernetes are.
        self.context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        self.headers = {"Authorization": f"Bearer {user['token']}", "User-Agent": "figures", "Accept": "application/json"}
        self.local = threading.local()

    def connect(self, timeout=60):
        connection = http.client.HTTPSConnection(
            self.address.hostname, self.address.port, context=self.context, timeout=timeout
        )
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def call(self, method, path, body=None, kind="application/json"):
        """The answer's body. What fails on the way is not tried again: a figure of it would be none."""
        now = time.monotonic()
        # The server closes what is idle, at a moment that may be this one.
        if getattr(self.local, "connection", None) is None or now - self.local.used > IDLE:
            self.local.connection = self.connect()
        self.local.used = now
        data = None if body is None else json.dumps(body).encode()
        try:
            self.local.connection.request(method, path, data, {**self.headers, "Content-Type": kind})
            answer = self.local.connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            self.local.connection = None
            raise
        if answer.status >= 300:
            raise Refused(answer.status, text.decode(errors="replace")[:500])
        return text

    def get(self, path, **query):
        return json.loads(self.call("GET", f"{path}?{urlencode(query)}" if query else path))

    def text(self, path, **query):
        return self.call("GET", f"{path}?{urlencode(query)}").decode(errors="replace")

    def create(self, path, body):
        return json.loads(self.call("POST", path, body))

    def merge(self, path, body):
        return json.loads(self.call("PATCH", path, body, "application/merge-patch+json"))

    def delete(self, path):
        """In the background, without a look at what is left; done already is done."""
        try:
            self.call("DELETE", path, {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"})
        except Refused as refused:
            if refused.status != 404:
                raise

    def find(self, path):
        """The object, or None."""
        try:
            return self.get(path)
        except Refused as refused:
            if refused.status == 404:
                return None
            raise

    def watch(self, path, version, **query):
        """Events from this resourceVersion on, as (type, object), for as long as somebody asks."""
        connection = self.connect(timeout=None)
        query = urlencode({"watch": "1", "resourceVersion": version, **query})
        connection.request("GET", f"{path}?{query}", headers=self.headers)
        answer = connection.getresponse()
        if answer.status >= 300:
            raise Refused(answer.status, answer.read().decode(errors="replace"))
        for line in answer:
            event = json.loads(line)
            yield event["type"], event["object"]
