#!/usr/bin/env python3
"""Every kind of service on real containers: updates, rollback, health, jobs, cron, autoscaling, dependencies."""
import datetime
import json

from harness import ClusterTest, TEST_IMAGE, main

# A shell that obeys SIGTERM at once and otherwise stays.
STAY = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done"]


class ServicesTest(ClusterTest):
    def create(self, cluster, name, *flags, command=STAY):
        cluster.ctl("service", "create", "--detach", "--name", name, *flags, TEST_IMAGE, *command)

    def inspect(self, cluster, name):
        return json.loads(cluster.ctl("service", "inspect", name).stdout)[0]

    def update_state(self, cluster, name):
        return self.inspect(cluster, name).get("UpdateStatus", {}).get("State", "")

    def update_message(self, cluster, name):
        return self.inspect(cluster, name)["UpdateStatus"]["Message"]

    def tasks_that(self, cluster, name, state):
        return [t for t in cluster.tasks(name) if t["CurrentState"].startswith(state)]

    def test_a_start_first_update_never_has_fewer_running_than_wanted(self):
        cluster = self.cluster()
        self.create(cluster, "web", "--replicas", "6", "--update-order", "start-first", "--update-parallelism", "2",
                    "--update-monitor", "1s")
        before = {t["ID"] for t in cluster.wait_running("web", 6)}
        cluster.ctl("service", "update", "--detach", "--env-add", "X=1", "web")
        seen = []

        def done():
            seen.append(len(cluster.running("web")))
            return self.update_state(cluster, "web") == "completed"
        cluster.until(done, "the update to be completed")
        self.assertGreaterEqual(min(seen), 6)
        after = {t["ID"] for t in cluster.wait_running("web", 6)}
        self.assertFalse(before & after)

    def test_a_bad_update_pauses_and_one_that_says_so_rolls_back_by_itself(self):
        """F16: an image that crashes at once pauses the update or rolls it back."""
        cluster = self.cluster(workers=1)
        self.create(cluster, "web", "--replicas", "3", "--restart-delay", "1s")
        cluster.wait_running("web", 3)
        result = cluster.ctl("service", "update", "--args", "/no/such/program", "web", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertEqual(self.update_state(cluster, "web"), "paused")
        self.assertIn("/no/such/program", self.update_message(cluster, "web"))
        self.assertEqual(len(cluster.running("web")), 2)  # the others are as they were
        cluster.ctl("service", "rollback", "web")
        cluster.wait_running("web", 3)

        result = cluster.ctl("service", "update", "--update-failure-action", "rollback", "--args", "/no/such/program", "web",
                             check=False)
        self.assertEqual(result.returncode, 1)
        cluster.until(lambda: self.update_state(cluster, "web") == "rollback_completed", "the rollback")
        self.assertIn("/no/such/program", self.update_message(cluster, "web"))
        cluster.wait_running("web", 3)
        history = cluster.ctl("service", "history", "web").stdout
        self.assertIn("localhost/test:1", history)
        cluster.ctl("service", "rollback", "--to", "2", "--detach", "web")
        cluster.until(lambda: self.update_state(cluster, "web") == "rollback_paused", "a rollback to what cannot run")

    def test_a_task_runs_once_it_is_healthy_and_is_replaced_when_it_is_not(self):
        cluster = self.cluster(workers=1)
        slow = ["sh", "-c", "trap 'exit 0' TERM; sleep 2; touch /tmp/ok; while :; do sleep 3600 & wait $!; done"]
        self.create(cluster, "slow", "--health-cmd", "test -e /tmp/ok", "--health-interval", "200ms", "--health-retries", "100",
                    command=slow)
        cluster.until(lambda: self.tasks_that(cluster, "slow", "Starting"), "the task to be starting")
        cluster.wait_running("slow", 1)

        ill = ["sh", "-c", "trap 'exit 0' TERM; touch /tmp/ok; sleep 2; rm /tmp/ok; while :; do sleep 3600 & wait $!; done"]
        self.create(cluster, "ill", "--health-cmd", "test -e /tmp/ok || { echo gone; false; }", "--health-interval", "200ms",
                    "--health-retries", "2", "--restart-delay", "1s", command=ill)
        failed = cluster.until(lambda: self.tasks_that(cluster, "ill", "Failed"), "the task to fail")
        self.assertIn("unhealthy", failed[0]["Error"])
        self.assertIn("gone", failed[0]["Error"])

    def test_probes_need_no_program_in_the_image(self):
        cluster = self.cluster(workers=1)
        serve = ["sh", "-c", "mkdir /w; echo up > /w/health; exec httpd -f -p 8080 -h /w"]
        self.create(cluster, "web", "--health-http", "http://:8080/health", "--health-interval", "200ms", command=serve)
        cluster.wait_running("web", 1)
        self.create(cluster, "port", "--health-tcp", ":8080", "--health-interval", "200ms", command=serve)
        cluster.wait_running("port", 1)
        self.create(cluster, "lost", "--health-http", "http://:8080/missing", "--health-interval", "200ms",
                    "--health-retries", "2", command=serve)
        failed = cluster.until(lambda: self.tasks_that(cluster, "lost", "Failed"), "the probe to fail")
        self.assertIn("404", failed[0]["Error"])

    def test_a_drain_during_an_update_loses_nothing(self):
        cluster = self.cluster()
        self.create(cluster, "web", "--replicas", "6", "--update-delay", "500ms", "--update-monitor", "1s")
        cluster.wait_running("web", 6)
        cluster.ctl("service", "update", "--detach", "--env-add", "X=1", "web")
        cluster.ctl("node", "update", "--availability", "drain", "h1")
        cluster.until(lambda: self.update_state(cluster, "web") == "completed", "the update to be completed")
        cluster.wait_running("web", 6, on={"h2", "h3"})

    def test_a_global_service_is_on_every_node_and_follows_them(self):
        cluster = self.cluster(workers=2)
        self.create(cluster, "agent", "--mode", "global", "--constraint", "node.role==worker")
        self.assertEqual({t["Node"] for t in cluster.wait_running("agent", 2)}, {"h1", "h2"})
        cluster.join(cluster.add_host())
        self.assertEqual({t["Node"] for t in cluster.wait_running("agent", 3)}, {"h1", "h2", "h3"})
        cluster.ctl("node", "update", "--availability", "drain", "h2")
        self.assertEqual({t["Node"] for t in cluster.wait_running("agent", 2)}, {"h1", "h3"})

    def test_a_job_of_a_thousand_completions_runs_fifty_at_once(self):
        cluster = self.cluster()
        cluster.ctl("service", "create", "--detach", "--name", "import", "--mode", "replicated-job", "--replicas", "1000",
                    "--max-concurrent", "50", TEST_IMAGE, "true")
        most = 0

        def done():
            nonlocal most
            most = max(most, sum(len(h.container_pids()) for h in cluster.workers))
            runs = self.inspect(cluster, "import").get("Runs", [])
            return runs and runs[-1]["State"] == "complete" and runs[-1]
        run = cluster.until(done, "the job to be complete", 200)
        self.assertEqual((run["Completed"], run["Completions"]), (1000, 1000))
        self.assertLessEqual(most, 50)

    def test_a_job_that_keeps_failing_ends_as_failed_after_its_attempts(self):
        cluster = self.cluster(workers=2)
        self.create(cluster, "broken", "--mode", "global-job", "--restart-max-attempts", "2", "--restart-delay", "100ms",
                    "--constraint", "node.role==worker", command=["false"])
        cluster.until(lambda: [r for r in self.inspect(cluster, "broken").get("Runs", []) if r["State"] == "failed"],
                      "the run to fail")
        self.assertEqual(len(self.tasks_that(cluster, "broken", "Failed")), 6)  # two nodes, one try and two more each

    def test_a_cron_job_runs_once_when_the_managers_clock_says_so(self):
        cluster = self.cluster(workers=1)
        now = datetime.datetime.now(datetime.timezone.utc)
        due = (now + datetime.timedelta(minutes=30)).replace(second=0, microsecond=0)
        self.create(cluster, "report", "--mode", "replicated-job", "--schedule", f"{due.minute} {due.hour} * * *",
                    "--schedule-time-zone", "UTC", command=["true"])
        self.assertEqual(self.time_of(self.inspect(cluster, "report")["NextRunAt"]), due)
        self.assertEqual(cluster.tasks("report"), [])
        # The manager's clock is set to a moment before that; if it takes longer to start, the run is late and still that one.
        early = due - datetime.timedelta(seconds=2) - datetime.datetime.now(datetime.timezone.utc)
        self.start_with_clock(cluster, early)
        run = cluster.until(lambda: next((r for r in self.inspect(cluster, "report").get("Runs", []) if r["State"] == "complete"), None),
                            "the run to be complete")
        self.assertEqual(self.time_of(run["ScheduledAt"]), due)
        started = self.time_of(run["StartedAt"])
        self.assertGreaterEqual(started, due, "by the same clock")
        self.assertLess(started, due + datetime.timedelta(minutes=5), "by the same clock")
        report = self.inspect(cluster, "report")
        self.assertEqual(len(report["Runs"]), 1)
        self.assertEqual(self.time_of(report["NextRunAt"]), due + datetime.timedelta(days=1))
        self.assertEqual(cluster.node("h1")["Status"], "Ready", "a node whose own clock differs")
        self.assertIn("next run", cluster.ctl("service", "inspect", "--pretty", "report").stdout.lower())

    def start_with_clock(self, cluster, ahead):
        """The manager again, with its wall clock that much ahead."""
        cluster.restart_manager([*cluster.manager.extra_flags, "--manager-clock-offset", f"{ahead.total_seconds():.3f}s"])

    @staticmethod
    def time_of(text):
        """A time as inspect prints it; nobody here needs parts of a microsecond."""
        whole, _, fraction = text.removesuffix("Z").partition(".")
        return datetime.datetime.fromisoformat(f"{whole}.{(fraction + '000000')[:6]}+00:00")

    def test_replicas_follow_a_number_that_the_containers_serve(self):
        cluster = self.cluster(workers=1, heartbeat="1s")
        # Busy for a while after it was told so by its own clock, then idle.
        serve = ["sh", "-c", "mkdir /w; echo 'queue_length 50' > /w/metrics; (sleep 15; echo 'queue_length 1' > /w/metrics) & "
                 "trap 'exit 0' TERM; httpd -f -p 9000 -h /w & wait $!"]
        self.create(cluster, "worker", "--autoscale", "min=1,max=3,metric=queue_length:9000:10,window=10s,cooldown=5s",
                    command=serve)
        cluster.wait_running("worker", 3)
        cluster.wait_running("worker", 1)
        decisions = self.inspect(cluster, "worker")["AutoscaleStatus"]["Decisions"]
        self.assertIn("queue_length", decisions[0]["Reason"])

    def test_a_service_waits_for_what_it_depends_on(self):
        cluster = self.cluster(workers=1)
        self.create(cluster, "app", "--depends-on", "db:healthy")
        cluster.until(lambda: [t for t in cluster.tasks("app") if "waiting for service db" in t["Error"]], "the task to wait")
        self.create(cluster, "db")
        cluster.wait_running("app", 1)

    def test_tasks_move_to_a_node_that_came_when_somebody_asks(self):
        cluster = self.cluster(workers=1)
        self.create(cluster, "web", "--replicas", "4")
        cluster.wait_running("web", 4)
        cluster.join(cluster.add_host())
        cluster.ctl("service", "rebalance", "web")
        cluster.until(lambda: sum(t["Node"] == "h2" for t in cluster.running("web")) == 2 and len(cluster.running("web")) == 4,
                      "two tasks to move")

    def test_generic_resources_arrive_in_the_container_and_are_never_given_twice(self):
        cluster = self.cluster(workers=0, flags=["--node-generic-resource", "gpu=GPU-1,GPU-2"])
        show = ["sh", "-c", "echo has $DOCKER_RESOURCE_GPU; trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done"]
        self.create(cluster, "train", "--replicas", "3", "--generic-resource", "gpu=1", command=show)
        cluster.wait_running("train", 2)
        waiting = cluster.until(lambda: [t for t in cluster.tasks("train") if "gpu" in t["Error"]], "the third to wait")
        self.assertIn("insufficient resources", waiting[0]["Error"])
        logs = cluster.until(lambda: (out := cluster.ctl("service", "logs", "--raw", "train").stdout).count("has") == 2 and out,
                             "both to say what they have")
        self.assertEqual(sorted(logs.split()), ["GPU-1", "GPU-2", "has", "has"])


if __name__ == "__main__":
    main()
