"""Steady requests from several threads while a test does things to the server."""

import threading

from .http_client import ConnectionBroken, ProtocolError


class Load:
    """`with Load(server) as load: ...` sends requests all the time; afterwards check() says that every
    one was answered with 200. Some threads keep their connections, some open one per request; some
    post bodies that must come back."""

    def __init__(self, server, threads=4, get="/", post="/echo"):
        self.server, self.get, self.post = server, get, post
        self.stopping = threading.Event()
        self.failures, self.answered = [], 0
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self._run, args=(index,)) for index in range(threads)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join()

    def check(self, least=1):
        assert not self.failures, f"{len(self.failures)} of {self.answered}: {self.failures[:5]}"
        assert self.answered >= least

    def _run(self, index):
        keeps, posts = index % 2 == 0, index % 4 >= 2
        body = b"%d" % index * 1000
        client = None
        while not self.stopping.is_set():
            try:
                client = client or self.server.connect()
                if posts:
                    answer = client.exchange("POST", self.post, body=body)
                    good = answer.status == 200 and answer.body == body
                else:
                    answer = client.exchange("GET", self.get)
                    good = answer.status == 200
                problem = None if good else f"status {answer.status}: {answer.body[:100]}"
                goes_on = keeps and (answer.get("Connection") or "").lower() != "close"
            except (OSError, ConnectionBroken, ProtocolError) as error:
                problem, goes_on = repr(error), False
            with self.lock:
                self.answered += 1
                if problem:
                    self.failures.append(problem)
            if client and not goes_on:
                client.close()
                client = None
        if client:
            client.close()
