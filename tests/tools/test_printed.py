"""What a tool prints belongs to its call, and nothing else that is printed meanwhile does."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import copy
import io
import os
import subprocess
import sys
import threading

import pytest

from workbench.tools.printed import MOST, PICTURES, Picture, Printed, aside, caught, printing

PNG = Picture("image/png", b"\x89PNG\r\n\x1a\n", "<Figure>")


def test_prints_and_errors_of_a_call_are_kept_in_order(capsys):
    call = Printed(alone=True)
    with caught(call):
        print("one")
        print("two", file=sys.stderr)
        sys.stdout.writelines(["three", "\n"])
    print("after")
    assert call.text == "one\ntwo\nthree\n"
    assert capsys.readouterr() == ("after\n", "")


def test_a_call_that_nobody_is_shown_prints_as_well(capsys):
    call = Printed(alone=False)
    with caught(call):
        print("both")
    assert call.text == capsys.readouterr().out == "both\n"


def test_what_other_threads_print_meanwhile_passes_through(capsys):
    call = Printed(alone=True)
    with caught(call):
        thread = threading.Thread(target=print, args=("elsewhere",))
        thread.start()
        thread.join()
        print("here")
    assert call.text == "here\n"
    assert capsys.readouterr().out == "elsewhere\n"


async def test_calls_at_the_same_time_keep_their_prints_apart():
    both = asyncio.Barrier(2)

    async def called(name: str) -> str:
        call = Printed(alone=True)
        with caught(call):
            print(name, 1)
            await both.wait()
            await asyncio.to_thread(print, name, 2)
        return call.text

    assert await asyncio.gather(called("a"), called("b")) == ["a 1\na 2\n", "b 1\nb 2\n"]


def test_a_call_within_a_call_has_its_own():
    outer, inner = Printed(alone=True), Printed(alone=True)
    with caught(outer):
        print("before")
        with caught(inner):
            print("within")
        print("after")
        assert printing() is outer
    assert (outer.text, inner.text) == ("before\nafter\n", "within\n")


def test_a_thread_that_was_left_behind_prints_where_it_would(capsys):
    call = Printed(alone=True)
    go = threading.Event()
    with caught(call):
        context = contextvars.copy_context()
    late = threading.Thread(target=lambda: (go.wait(5), context.run(print, "late")))
    late.start()
    with caught(Printed(alone=True)):  # the streams are routed while it prints
        go.set()
        late.join()
    assert call.text == ""
    assert capsys.readouterr().out == "late\n"


def test_the_streams_are_the_old_ones_afterwards_even_when_somebody_else_redirects_meanwhile():
    old, other = sys.stdout, io.StringIO()
    with contextlib.ExitStack() as stack:
        with caught(Printed(alone=True)):
            stack.enter_context(contextlib.redirect_stdout(other))
        print("mine")
    print("passes")
    with caught(Printed(alone=True)):
        pass
    assert other.getvalue() == "mine\n"
    assert sys.stdout is old


def test_calls_may_end_while_the_main_thread_prints(tmp_path):
    """`print` holds no reference to its stream, so that taking the last one away crashes the interpreter: in this script, every time."""
    script = tmp_path / "printing.py"
    script.write_text(
        "import threading\n"
        "from workbench.tools.printed import Printed, caught\n"
        "def calls():\n"
        "    for _ in range(5000):\n"
        "        with caught(Printed(alone=True)):\n"
        "            print('call')\n"
        "thread = threading.Thread(target=calls)\n"
        "thread.start()\n"
        "while thread.is_alive():\n"
        "    print('main', flush=True)\n"
    )
    ran = subprocess.run([sys.executable, script], check=False, capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert set(ran.stdout.split()) == {"main"}


def test_a_stream_can_be_asked_what_the_one_below_can():
    with caught(Printed(alone=True)):
        assert sys.stdout.encoding == sys.stdout.below.encoding
        assert sys.stdout.isatty() is False
        assert not hasattr(copy.copy(sys.stdout), "nothing")
        sys.stdout.flush()
        with pytest.raises(TypeError):
            sys.stdout.write(b"bytes")


def test_a_write_that_somebody_puts_on_the_stream_is_used_and_taken_away_as_ipython_does(capsys):
    call, seen = Printed(alone=True), []
    with caught(call):
        stream = sys.stdout
        before = stream.write
        stream.write = lambda text: seen.append(text) or before(text)
        print("one")
        stream.write = before
        print("two")
    with caught(call):
        print("the call is over")
    assert (seen, call.text, capsys.readouterr().out) == (["one", "\n"], "one\ntwo\n", "the call is over\n")


def test_what_is_too_long_is_cut_and_said_to_be():
    call = Printed(alone=True)
    with caught(call):
        print("x" * (MOST + 10), end="")
    assert call.text == "x" * MOST + "\n… 10 more characters were printed"


def test_a_progress_bar_leaves_its_last_state():
    call = Printed(alone=True)
    with caught(call):
        for percent in (0, 50, 100):
            print(f"\r{percent} %", end="")
        print("\r\ndone\r\nnext")
    assert call.text == "100 %\r\ndone\r\nnext\n"


def test_secrets_of_the_call_are_in_neither_its_text_nor_its_pieces():
    pieces: list[str] = []
    call = Printed(alone=True, tell=pieces.append)
    call.hide(["hunter2"])
    with caught(call):
        print("password hunter2")
    assert "hunter2" not in call.text + "".join(pieces)
    assert "password ****" in call.text


def test_a_picture_is_replaced_by_one_with_its_place_and_only_so_many_are_kept():
    call = Printed(alone=True)
    call.show("", PNG, place="p")
    call.show("", PNG._replace(data=b"newer"), place="p")
    for _ in range(2 * PICTURES):
        call.show("", PNG)
    assert call.pictures[0].data == b"newer"
    assert len(call.pictures) == PICTURES


def test_what_is_displayed_without_a_picture_is_text():
    call = Printed(alone=True)
    assert call.show("   a  b\n0  1  2")
    assert call.text == "   a  b\n0  1  2\n"


def test_what_no_record_can_hold_is_written_out():
    pieces: list[str] = []
    call = Printed(alone=True, tell=pieces.append)
    with caught(call):
        print(os.fsdecode(b"caf\xe9.txt"))
    assert call.text == "".join(pieces) == "caf\\udce9.txt\n"


def test_a_tool_that_reads_its_own_prints_reads_them_also_while_other_calls_begin_and_end():
    read = io.StringIO()
    with caught(Printed(alone=True)), contextlib.redirect_stdout(read):
        print("before")
        with caught(Printed(alone=True)):
            pass
        print("after")
    assert read.getvalue() == "before\nafter\n"


def test_of_a_long_line_what_stands_after_the_last_return_is_kept():
    call = Printed(alone=True)
    call.write(f"{'x' * (MOST - 3)}\ryz")
    assert call.text == "yz"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_what_forked_processes_print_is_printed(capfd):
    with caught(Printed(alone=True)):
        child = os.fork()
        if child == 0:
            with caught(Printed(alone=False)):
                pass  # the lock is not its parent's
            print("child", flush=True)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert "child" in capfd.readouterr().out


def test_a_secret_that_the_end_cuts_is_not_shown_in_part():
    call = Printed(alone=True)
    call.hide(["SECRET-TOKEN"])
    call.write("x" * (MOST - 6) + "SECRET-TOKEN")
    assert "SECRET" not in call.text


def test_a_secret_in_two_pieces_is_told_in_none():
    pieces: list[str] = []
    call = Printed(alone=True, tell=pieces.append)
    call.hide(["hunter2-too", "hunter2"])
    for text in ("it is hun", "ter2", "-too", " and hu", "man\n"):
        call.write(text)
    assert pieces == ["it is ", "*" * 10, "-too", " and ", "human\n"]


def test_a_pictures_words_hold_no_secret():
    call = Printed(alone=True)
    call.hide(["hunter2"])
    call.show("", PNG._replace(text="<Client hunter2>"))
    assert call.pictures[0].text == "<Client **********>"


def test_a_stream_that_a_tool_puts_above_ours_for_good_doubles_nothing(capsys):
    class Tee:
        def __init__(self, below):
            self.below = below

        def write(self, text):
            return self.below.write(text)

    old, second = sys.stdout, Printed(alone=False)
    try:
        with caught(Printed(alone=True)):
            sys.stdout = Tee(sys.stdout)
        with caught(second):
            print("once")
    finally:
        sys.stdout = old
    assert (second.text, capsys.readouterr().out) == ("once\n", "once\n")


def test_a_call_that_is_shown_has_what_calls_within_it_print_that_are_not():
    outer, inner, shown = Printed(alone=True), Printed(alone=False), Printed(alone=True)
    with caught(outer), caught(inner):
        print("within")
        inner.show("", PNG)
        with caught(shown):
            print("shown elsewhere")
    assert (outer.text, inner.text, shown.text) == ("within\n", "within\n", "shown elsewhere\n")
    assert outer.pictures == inner.pictures == (PNG,)


def test_what_is_said_aside_is_no_calls(capsys):
    call = Printed(alone=True)
    with caught(call):
        with aside():
            print("the workbench")
        print("the tool")
    assert (call.text, capsys.readouterr().out) == ("the tool\n", "the workbench\n")


def test_standard_error_is_left_alone_where_that_is_asked(capsys):
    call = Printed(alone=True, errors=False)
    with caught(call):
        print("19.8 it/s", file=sys.stderr)
        print("done")
    assert (call.text, capsys.readouterr().err) == ("done\n", "19.8 it/s\n")


def test_pictures_beyond_those_kept_are_counted():
    call = Printed(alone=True)
    for _ in range(PICTURES + 3):
        call.show("", PNG)
    assert call.text == "\n… 3 more pictures were displayed"


def test_our_streams_are_text_streams():
    with contextlib.redirect_stdout(io.StringIO()) as below, caught(Printed(alone=True)):
        assert isinstance(sys.stdout, io.TextIOBase)
        with sys.stdout:
            pass
        assert below.closed
