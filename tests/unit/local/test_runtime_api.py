from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from queue import SimpleQueue

import pytest

from planton_build.local.runtime_api import (
    MAX_RESPONSE,
    Answered,
    Fetched,
    Happening,
    Request,
    RuntimeApi,
)

NEXT = "/2018-06-01/runtime/invocation/next"
ANSWER = "/2018-06-01/runtime/invocation/id-1"
REQUEST = Request("id-1", b'{"a":1}', "arn:aws:lambda:eu-west-1:1:function:f", "Root=1", 7.0)


@pytest.fixture
def happenings() -> SimpleQueue[Happening]:
    return SimpleQueue()


@pytest.fixture
def api(happenings: SimpleQueue[Happening]) -> Iterator[RuntimeApi]:
    with RuntimeApi(REQUEST, happenings) as running:
        yield running


def call(
    api: RuntimeApi, method: str, path: str, body: bytes | None = None
) -> tuple[int, bytes, dict[str, str]]:
    connection = http.client.HTTPConnection(api.address, timeout=10)
    try:
        connection.request(method, path, body)
        response = connection.getresponse()
        return response.status, response.read(), dict(response.getheaders())
    finally:
        connection.close()


def test_the_invocation_is_handed_out_with_its_headers(api: RuntimeApi, happenings) -> None:
    before = time.time()
    status, body, headers = call(api, "GET", NEXT)
    assert (status, body) == (200, REQUEST.payload)
    assert headers["Lambda-Runtime-Aws-Request-Id"] == "id-1"
    assert headers["Lambda-Runtime-Invoked-Function-Arn"] == REQUEST.function_arn
    assert headers["Lambda-Runtime-Trace-Id"] == "Root=1"
    assert int(headers["Lambda-Runtime-Deadline-Ms"]) >= int((before + 7) * 1000)
    assert isinstance(happenings.get(timeout=1), Fetched)


@pytest.mark.parametrize("kind", ["response", "error"])
def test_an_answer_is_taken_once(api: RuntimeApi, happenings, kind: str) -> None:
    call(api, "GET", NEXT)
    assert call(api, "POST", f"{ANSWER}/{kind}", b"42")[0] == 202
    assert call(api, "POST", f"{ANSWER}/response", b"43")[0] == 403
    assert isinstance(happenings.get(timeout=1), Fetched)
    answered = happenings.get(timeout=1)
    assert isinstance(answered, Answered)
    assert (answered.kind, answered.body) == (kind, b"42")
    assert happenings.empty()


def test_an_answer_before_the_question_is_refused(api: RuntimeApi, happenings) -> None:
    assert call(api, "POST", f"{ANSWER}/response", b"42")[0] == 403
    assert happenings.empty()


def test_a_failed_start_is_reported_without_a_question(api: RuntimeApi, happenings) -> None:
    assert call(api, "POST", "/2018-06-01/runtime/init/error", b"{}")[0] == 202
    answered = happenings.get(timeout=1)
    assert isinstance(answered, Answered)
    assert answered.kind == "init_error"


def test_the_answer_to_another_invocation_is_refused(api: RuntimeApi, happenings) -> None:
    call(api, "GET", NEXT)
    happenings.get(timeout=1)
    assert call(api, "POST", "/2018-06-01/runtime/invocation/id-2/response", b"42")[0] == 404
    assert happenings.empty()


def test_a_second_next_waits_until_the_end(happenings) -> None:
    with RuntimeApi(REQUEST, happenings) as api:
        call(api, "GET", NEXT)
        outcome: list[object] = []

        def ask() -> None:
            try:
                outcome.append(call(api, "GET", NEXT))
            except (OSError, http.client.HTTPException) as error:
                outcome.append(error)

        waiting = threading.Thread(target=ask)
        waiting.start()
        call(api, "POST", f"{ANSWER}/response", b"42")
        assert outcome == []
    waiting.join(5)
    assert len(outcome) == 1
    assert isinstance(outcome[0], OSError | http.client.HTTPException)


def test_a_too_large_answer_becomes_lambdas_error(api: RuntimeApi, happenings) -> None:
    call(api, "GET", NEXT)
    with socket.create_connection(("127.0.0.1", int(api.address.partition(":")[2])), timeout=10) as client:
        head = f"POST {ANSWER}/response HTTP/1.1\r\nHost: x\r\nContent-Length: {MAX_RESPONSE + 1}\r\n\r\n"
        client.sendall(head.encode())
        assert client.recv(100).startswith(b"HTTP/1.1 413 ")
    happenings.get(timeout=1)
    answered = happenings.get(timeout=1)
    assert isinstance(answered, Answered)
    assert answered.kind == "error"
    assert json.loads(answered.body)["errorType"] == "Function.ResponseSizeTooLarge"


def test_a_cut_off_answer_is_none(api: RuntimeApi, happenings) -> None:
    call(api, "GET", NEXT)
    happenings.get(timeout=1)
    with socket.create_connection(("127.0.0.1", int(api.address.partition(":")[2])), timeout=10) as client:
        client.sendall(f"POST {ANSWER}/response HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n12".encode())
        client.shutdown(socket.SHUT_WR)
        assert client.recv(100).startswith(b"HTTP/1.1 403 ")
    assert happenings.empty()


def test_an_answer_without_a_length_is_refused(api: RuntimeApi) -> None:
    call(api, "GET", NEXT)
    with socket.create_connection(("127.0.0.1", int(api.address.partition(":")[2])), timeout=10) as client:
        client.sendall(f"POST {ANSWER}/response HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert client.recv(100).startswith(b"HTTP/1.1 411 ")


def test_other_paths_are_unknown(api: RuntimeApi) -> None:
    assert call(api, "GET", "/")[0] == 404
