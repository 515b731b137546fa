"""What the package promises, against a real broker and worker: TERN_BROKER, with the handlers of tests/runner/cases.py.

tests/flow/python.bats starts them and runs this.
"""

import os
import subprocess
import threading
import time
import unittest

import tern
from tern import handlers
from tern.client import Client, command, ranges_of, spec


class Declarations(unittest.TestCase):
    def make(self, **options):
        return handlers.make(lambda job: None, **{"name": "x", "tag": None, "retries": 0, "timeout": None, "thread_safe": None,
                                                  "description": None, **options})

    def test_a_function_is_auto_and_alone_a_coroutine_slow_io_and_among_others(self):
        async def waits(job):
            """Waits.

            For long."""

        h = handlers.make(waits, "waits", None, 0, None, None, None)
        self.assertEqual(h.declaration(), ["waits", "Waits.", 3, 3, 0, None, 1])
        self.assertEqual(self.make(timeout=1.5, retries=2).declaration(), ["x", "", 1, 0, 2, 1500, 0])
        self.assertEqual(self.make(tag="io").declaration()[-1], 1)

    def test_what_cannot_be_declared_is_refused_with_the_reason(self):
        for options, words in (({"name": "no spaces"}, "a name has"), ({"tag": "fast"}, "there is no tag 'fast'"),
                               ({"retries": -1}, "retries must be"), ({"timeout": 0}, "timeout more than 0")):
            with self.assertRaisesRegex(ValueError, words):
                self.make(**options)

    def test_two_handlers_of_one_name_are_refused(self):
        tern.handler(name="once")(print)
        with self.assertRaisesRegex(ValueError, "two handlers called once"):
            tern.handler(name="once")(print)


class Ranges(unittest.TestCase):
    def test_neighbours_are_one_range(self):
        self.assertEqual(ranges_of(7), [[7, 7]])
        self.assertEqual(ranges_of([5, 3, 4, 9, 4]), [[3, 5], [9, 9]])
        self.assertEqual(ranges_of(range(1, 1001)), [[1, 1000]])


@unittest.skipUnless("TERN_BROKER" in os.environ, "needs TERN_BROKER")
class WithBroker(unittest.TestCase):
    def setUp(self):
        self.client = Client()
        self.addCleanup(self.client.close)

    def test_run_gives_the_result(self):
        self.assertEqual(self.client.run("py.echo", "some bytes"), b"some bytes")
        self.assertEqual(self.client.run("py.echo.async", b"\0\xff", name="two bytes"), b"\0\xff")

    def test_a_job_that_failed_raises_what_the_record_says(self):
        with self.assertRaises(tern.JobFailed) as caught:
            self.client.run("py.unmeant")
        self.assertEqual((caught.exception.state, caught.exception.reason), ("dead", "handler-error"))
        self.assertIn("KeyError: 'missing'", str(caught.exception))
        with self.assertRaises(tern.JobFailed) as caught:
            self.client.result(self.client.submit_command(["sh", "-c", "echo so far; exit 3"]))
        self.assertEqual((caught.exception.exit_code, caught.exception.data), (3, b"so far\n"))

    def test_many_jobs_in_few_messages_keep_their_order(self):
        ids = self.client.submit_many(spec("echo", str(n)) for n in range(25000))
        self.assertEqual(len(set(ids)), 25000)
        self.assertTrue(self.client.wait(ids, 60))
        for n in (0, 9999, 10000, 24999):
            self.assertEqual(self.client.result(ids[n]), str(n).encode())

    def test_large_payloads_are_spread_over_messages_and_too_large_ones_refused_here(self):
        ids = self.client.submit_many(spec("echo", bytes([n]) * (1 << 20)) for n in range(30))
        self.assertEqual(self.client.result(ids[29])[:2], b"\x1d\x1d")
        with self.assertRaisesRegex(ValueError, "1048577 bytes; there may be 1048576"):
            self.client.submit("echo", b"x" * ((1 << 20) + 1))

    def test_a_wait_ends_in_time(self):
        job = self.client.submit("sleep", "1h")
        self.assertFalse(self.client.wait(job, 0.2))
        with self.assertRaisesRegex(TimeoutError, "has not ended"):
            self.client.result(job, timeout=0.1)
        with self.assertRaises(TimeoutError):
            self.client.result(job, wait=False)
        self.assertEqual(self.client.cancel(job), 1)
        with self.assertRaises(tern.JobFailed) as caught:
            self.client.result(job, timeout=20)
        self.assertEqual(caught.exception.state, "cancelled")

    def test_a_job_is_shown_and_listed_with_its_words(self):
        job = self.client.submit("py.echo", "x", queue="shown", tag="io", priority=3, name="a name", timeout=60)
        self.client.wait(job)
        shown = self.client.show(job)
        self.assertEqual([shown[key] for key in ("id", "state", "queue", "handler", "tag", "pool", "priority", "name",
                                                 "timeout_ms", "attempt", "reason")],
                         [job, "done", "shown", "py.echo", "io", "thread", 3, "a name", 60000, 1, None])
        self.assertLess(shown["submitted_at"], shown["finished_at"])
        self.assertEqual([j["id"] for j in self.client.list(queue="shown", state="done", newest_first=True, limit=1)], [job])
        with self.assertRaises(tern.Refused) as caught:
            self.client.show(10 ** 15)
        self.assertEqual(caught.exception.code, 3)

    def test_pages_are_read_as_they_are_asked_for(self):
        ids = self.client.submit_many(spec("echo", queue="pages") for _ in range(2500))
        self.assertEqual([j["id"] for j in self.client.list(queue="pages")], ids)
        self.assertEqual(len(list(self.client.list(queue="pages", limit=1500))), 1500)

    def test_a_finished_job_is_retried_or_removed(self):
        job = self.client.submit("py.fail", retries=0)
        self.client.wait(job)
        self.assertEqual(self.client.retry(job), 1)
        self.client.wait(job)
        self.assertEqual(self.client.show(job)["attempt"], 2)
        self.assertEqual(self.client.remove(job), 1)
        with self.assertRaises(tern.Refused):
            self.client.remove(job)

    def test_a_request_that_makes_no_sense_is_refused_with_the_reason(self):
        with self.assertRaises(tern.Refused) as caught:
            self.client.submit("no spaces please")
        self.assertIn("handler", str(caught.exception))
        with self.assertRaises(ValueError):
            self.client.submit("echo", tag="fast")

    def test_a_command_runs_where_this_process_stands(self):
        self.assertEqual(self.client.result(self.client.submit_many([command(["pwd"])])[0]), os.getcwd().encode() + b"\n")

    def test_nobody_answers(self):
        started = time.monotonic()
        with self.assertRaises(tern.NoBroker):
            Client("ipc:///nowhere/at/all", patience=0.5)
        self.assertLess(time.monotonic() - started, 5)

    @unittest.skipUnless("TERN_BROKER_PID" in os.environ, "needs TERN_BROKER_PID")
    def test_submits_survive_a_broker_that_is_killed_and_are_done_once(self):
        ids = []

        def submit():
            for n in range(300):
                ids.append(self.client.submit("echo", str(n), queue="killed"))

        thread = threading.Thread(target=submit)
        thread.start()
        time.sleep(0.1)
        subprocess.run(os.environ["TERN_BROKER_AGAIN"], shell=True, check=True)
        thread.join(60)
        self.assertEqual(len(ids), 300)
        self.assertTrue(self.client.wait(ids, 60))
        self.assertEqual([j["id"] for j in self.client.list(queue="killed")], ids)
        self.assertEqual([self.client.result(i) for i in (ids[0], ids[-1])], [b"0", b"299"])


if __name__ == "__main__":
    unittest.main()
