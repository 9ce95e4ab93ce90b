"""Text in many pieces is sent in few messages, and sending it never harms whoever prints."""

from __future__ import annotations

import asyncio
import threading

import pytest

from workbench.runtime.pieces import Pieces


def test_very_many_pieces_are_few_messages():
    sent = []
    pieces = Pieces(sent.append)
    for line in range(100_000):
        pieces.add(f"{line}\n")
    pieces.close()
    assert "".join(sent) == "".join(f"{line}\n" for line in range(100_000))
    assert len(sent) < 200


def test_pieces_are_sent_before_the_end():
    arrived, sent = threading.Event(), []

    def send(text):
        sent.append((text, threading.current_thread().name))
        arrived.set()

    pieces = Pieces(send)
    pieces.add("one ")
    pieces.add("message")
    assert arrived.wait(10)
    assert sent == [("one message", "workbench-runtime")]


def test_pieces_of_several_threads_all_arrive():
    sent = []
    pieces = Pieces(sent.append)
    threads = [threading.Thread(target=lambda: [pieces.add("x") for _ in range(10_000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pieces.close()
    assert "".join(sent) == "x" * 40_000


def test_after_the_end_nothing_is_sent():
    sent = []
    pieces = Pieces(sent.append)
    pieces.add("in time")
    pieces.close()
    pieces.add("late")
    pieces.close()
    assert sent == ["in time"]


def test_printing_while_a_message_is_sent_is_no_deadlock():
    sent = []

    def send(text):
        sent.append(text)
        if text == "outer":
            pieces.add("inner")

    pieces = Pieces(send)
    pieces.add("outer")
    pieces.close()
    assert sent == ["outer"]


def test_a_loop_that_has_ended_does_not_harm_whoever_prints(monkeypatch: pytest.MonkeyPatch):
    ended = asyncio.new_event_loop()
    ended.close()
    monkeypatch.setattr("workbench.runtime.pieces.runtime_loop", lambda: ended)
    sent = []
    pieces = Pieces(sent.append)
    pieces.add("nobody ")
    pieces.add("listens")
    pieces.close()
    assert sent == ["nobody listens"]
