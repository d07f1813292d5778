#include "agent/task_machine.h"

#include <deque>
#include <map>
#include <tuple>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace swarm::agent {
namespace {

using Event = TaskEvent::Kind;
using Action = TaskAction::Kind;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr TaskState kReady = v1::TaskStatus::STATE_READY;
constexpr TaskState kRunning = v1::TaskStatus::STATE_RUNNING;
constexpr TaskState kShutdown = v1::TaskStatus::STATE_SHUTDOWN;
constexpr TaskState kRemove = v1::TaskStatus::STATE_REMOVE;
constexpr TaskState kFailed = v1::TaskStatus::STATE_FAILED;
constexpr TaskState kRejected = v1::TaskStatus::STATE_REJECTED;
constexpr TaskState kComplete = v1::TaskStatus::STATE_COMPLETE;
constexpr TaskState kPreparing = v1::TaskStatus::STATE_PREPARING;

// One task driven by hand.
class TaskMachineTest : public ::testing::Test {
 protected:
  std::vector<Action> Do(const TaskEvent& event) {
    TaskStep step = Advance(machine_, event);
    machine_ = step.next;
    std::vector<Action> kinds;
    for (const TaskAction& action : step.actions) {
      if (action.kind == Action::kReport) {
        report_ = action;
      } else {
        kinds.push_back(action.kind);
      }
    }
    return kinds;
  }
  std::vector<Action> Ok(Event kind) { return Do(TaskEvent::Answer(kind, absl::OkStatus(), 77)); }
  std::vector<Action> Bad(Event kind, absl::Status status) {
    return Do(TaskEvent::Answer(kind, std::move(status)));
  }
  std::vector<Action> Exit(ContainerExit exit) {
    return Do(TaskEvent::Exit(Event::kExited, std::move(exit)));
  }
  void Run() {
    Do(TaskEvent::Desired(kRunning));
    Ok(Event::kPulled);
    Ok(Event::kPrepared);
    Ok(Event::kStarted);
    ASSERT_EQ(machine_.observed, kRunning);
  }

  TaskMachine machine_;
  TaskAction report_;
};

TEST_F(TaskMachineTest, GoesFromAssignedToRunning) {
  EXPECT_THAT(Do(TaskEvent::Desired(kRunning)), ElementsAre(Action::kPull));
  EXPECT_EQ(report_.state, kPreparing);
  EXPECT_THAT(Ok(Event::kPulled), ElementsAre(Action::kPrepare));
  EXPECT_THAT(Ok(Event::kPrepared), ElementsAre(Action::kStart));
  EXPECT_EQ(report_.state, v1::TaskStatus::STATE_STARTING);
  EXPECT_THAT(Ok(Event::kStarted), ElementsAre(Action::kWait));
  EXPECT_EQ(report_.state, kRunning);
  EXPECT_EQ(report_.pid, 77);
}

TEST_F(TaskMachineTest, HoldsAtReadyUntilRunningIsWanted) {
  Do(TaskEvent::Desired(kReady));
  Ok(Event::kPulled);
  EXPECT_THAT(Ok(Event::kPrepared), IsEmpty());
  EXPECT_EQ(report_.state, kReady);
  EXPECT_THAT(Do(TaskEvent::Desired(kRunning)), ElementsAre(Action::kStart));
}

TEST_F(TaskMachineTest, SaysHowTheProcessEnded) {
  Run();
  const TaskMachine running = machine_;
  Exit({0, false, ""});
  EXPECT_EQ(report_.state, kComplete);
  EXPECT_TRUE(report_.has_exit);

  machine_ = running;
  Exit({3, false, ""});
  EXPECT_EQ(report_.state, kFailed);
  EXPECT_EQ(report_.error, "task: non-zero exit (3)");
  EXPECT_EQ(report_.exit_code, 3);

  machine_ = running;
  machine_.memory_limit_bytes = 64 << 20;
  Exit({137, true, ""});
  EXPECT_EQ(report_.error, "out of memory: killed by the kernel at the limit of 64MiB");
  EXPECT_TRUE(report_.oom_killed);

  machine_ = running;
  Exit({0, false, "supervisor lost"});
  EXPECT_EQ(report_.state, kFailed);
  EXPECT_EQ(report_.error, "supervisor lost");
  EXPECT_FALSE(report_.has_exit);
}

TEST_F(TaskMachineTest, RetriesAnUnavailableRegistryAndShowsTheReason) {
  Do(TaskEvent::Desired(kRunning));
  EXPECT_THAT(Bad(Event::kPulled, absl::UnavailableError("registry r:1: connection refused")),
              ElementsAre(Action::kStartRetryTimer));
  EXPECT_EQ(report_.state, kPreparing);
  EXPECT_EQ(report_.error, "registry r:1: connection refused");
  EXPECT_THAT(Do(TaskEvent::Timer(Event::kRetryTimer)), ElementsAre(Action::kPull));
}

TEST_F(TaskMachineTest, RejectsBeforeStartingAndFailsFromStartingOn) {
  Do(TaskEvent::Desired(kRunning));
  const TaskMachine pulling = machine_;
  EXPECT_THAT(Bad(Event::kPulled, absl::NotFoundError("no such image")), IsEmpty());
  EXPECT_EQ(report_.state, kRejected);
  EXPECT_EQ(report_.error, "no such image");

  machine_ = pulling;
  Ok(Event::kPulled);
  Ok(Event::kPrepared);
  // What never ran has no logs to keep.
  EXPECT_THAT(Bad(Event::kStarted, absl::NotFoundError("exec /app: no such file or directory")),
              ElementsAre(Action::kRemove));
  EXPECT_EQ(report_.state, kFailed);
  EXPECT_EQ(report_.error, "exec /app: no such file or directory");
}

TEST_F(TaskMachineTest, StopsPolitelyThenKillsAfterTheGrace) {
  Run();
  EXPECT_THAT(Do(TaskEvent::Desired(kShutdown)),
              ElementsAre(Action::kStop, Action::kStartGraceTimer));
  EXPECT_THAT(Do(TaskEvent::Timer(Event::kGraceTimer)),
              ElementsAre(Action::kKill, Action::kStartRetryTimer));
  EXPECT_THAT(Do(TaskEvent::Timer(Event::kRetryTimer)),
              ElementsAre(Action::kKill, Action::kStartRetryTimer));
  EXPECT_THAT(Exit({137, false, ""}), ElementsAre(Action::kCancelTimer));
  EXPECT_EQ(report_.state, kShutdown);
  EXPECT_EQ(report_.error, "");
}

TEST_F(TaskMachineTest, KeepsAnEndedContainerUntilRemoveIsWanted) {
  Run();
  EXPECT_THAT(Exit({0, false, ""}), IsEmpty());
  EXPECT_THAT(Do(TaskEvent::Desired(kShutdown)), IsEmpty());
  EXPECT_EQ(machine_.observed, kComplete);
  EXPECT_THAT(Do(TaskEvent::Desired(kRemove)), ElementsAre(Action::kRemove));
  Ok(Event::kRemoved);
  EXPECT_EQ(report_.state, kRemove);
}

TEST_F(TaskMachineTest, EndsAPullThatIsNotWantedAnyMore) {
  Do(TaskEvent::Desired(kRunning));
  EXPECT_THAT(Do(TaskEvent::Desired(kShutdown)), ElementsAre(Action::kKill));
  EXPECT_THAT(Bad(Event::kPulled, absl::CancelledError("")), IsEmpty());
  EXPECT_EQ(report_.state, kShutdown);
}

TEST_F(TaskMachineTest, StopsAProcessThatStartedWhileTheStopCame) {
  Do(TaskEvent::Desired(kRunning));
  Ok(Event::kPulled);
  Ok(Event::kPrepared);
  EXPECT_THAT(Do(TaskEvent::Desired(kShutdown)), ElementsAre(Action::kKill));
  EXPECT_THAT(Ok(Event::kStarted),
              ElementsAre(Action::kWait, Action::kStop, Action::kStartGraceTimer));
}

TEST_F(TaskMachineTest, TriesARemovalAgainAndSaysWhy) {
  Run();
  Do(TaskEvent::Desired(kRemove));
  EXPECT_THAT(Exit({143, false, ""}), ElementsAre(Action::kCancelTimer, Action::kRemove));
  EXPECT_THAT(Bad(Event::kRemoved, absl::InternalError("busy")),
              ElementsAre(Action::kStartRetryTimer));
  EXPECT_EQ(report_.state, kShutdown);
  EXPECT_EQ(report_.error, "cannot remove the container: busy");
  EXPECT_THAT(Do(TaskEvent::Timer(Event::kRetryTimer)), ElementsAre(Action::kRemove));
}

TEST_F(TaskMachineTest, AdoptsWhatIsThere) {
  machine_.observed = kRunning;
  machine_.desired = kRunning;
  const TaskMachine recorded = machine_;
  EXPECT_THAT(Ok(Event::kFoundRunning), ElementsAre(Action::kWait));
  EXPECT_EQ(report_.pid, 77);

  machine_ = recorded;
  Do(TaskEvent::Exit(Event::kFoundExited, {7, false, ""}));
  EXPECT_EQ(report_.error, "task: non-zero exit (7)");

  machine_ = recorded;
  Bad(Event::kFoundNothing, absl::NotFoundError("node rebooted"));
  EXPECT_EQ(report_.state, kFailed);
  EXPECT_EQ(report_.error, "node rebooted");

  machine_ = recorded;
  machine_.observed = kReady;
  EXPECT_THAT(Bad(Event::kFoundNothing, absl::NotFoundError("node rebooted")),
              ElementsAre(Action::kPull));
}

TEST_F(TaskMachineTest, PreparesAnewWhatAnAgentThatEndedHadPrepared) {
  Do(TaskEvent::Desired(kRunning));
  machine_.observed = v1::TaskStatus::STATE_STARTING;
  EXPECT_THAT(Do(TaskEvent::Timer(Event::kFoundCreated)), ElementsAre(Action::kPull));
  EXPECT_THAT(Ok(Event::kPulled), ElementsAre(Action::kPrepare));
  EXPECT_THAT(Ok(Event::kPrepared), ElementsAre(Action::kStart));
  EXPECT_THAT(Ok(Event::kStarted), ElementsAre(Action::kWait));
  EXPECT_EQ(machine_.observed, kRunning);
}

TEST_F(TaskMachineTest, RemovesWhatAnAgentThatEndedHadPreparedWhenAStopIsWanted) {
  Do(TaskEvent::Desired(kShutdown));
  EXPECT_THAT(Do(TaskEvent::Timer(Event::kFoundCreated)), ElementsAre(Action::kRemove));
  EXPECT_THAT(Ok(Event::kRemoved), IsEmpty());
  EXPECT_FALSE(machine_.prepared);
}

TEST_F(TaskMachineTest, StaysStartingUntilItIsHealthy) {
  Do(TaskEvent::Desired(kRunning));
  Ok(Event::kPulled);
  Ok(Event::kPrepared);
  EXPECT_THAT(Do(TaskEvent::Checked(Event::kStarted, 77)),
              ElementsAre(Action::kWait, Action::kWatchHealth));
  EXPECT_EQ(report_.state, v1::TaskStatus::STATE_STARTING);
  EXPECT_EQ(report_.pid, 77);
  EXPECT_THAT(Do(TaskEvent::Timer(Event::kHealthy)), IsEmpty());
  EXPECT_EQ(report_.state, kRunning);
  EXPECT_FALSE(report_.has_pid);
}

TEST_F(TaskMachineTest, StopsWhatIsUnhealthyAndSaysThatItFailed) {
  Run();
  machine_.watched = true;
  EXPECT_THAT(Bad(Event::kUnhealthy, absl::InternalError("unhealthy: refused")),
              ElementsAre(Action::kStop, Action::kStartGraceTimer, Action::kUnwatchHealth));
  EXPECT_EQ(report_.state, kRunning) << "until it has ended";
  EXPECT_EQ(report_.error, "unhealthy: refused");
  EXPECT_THAT(Do(TaskEvent::Timer(Event::kGraceTimer)),
              ElementsAre(Action::kKill, Action::kStartRetryTimer));
  Exit({137, false, ""});
  EXPECT_EQ(report_.state, kFailed);
  EXPECT_EQ(report_.error, "unhealthy: refused");
  EXPECT_EQ(report_.exit_code, 137);
}

TEST_F(TaskMachineTest, AnUnhealthyTaskThatEndsCleanlyHasFailedAllTheSame) {
  Run();
  machine_.watched = true;
  Bad(Event::kUnhealthy, absl::InternalError("unhealthy: refused"));
  Exit({0, false, ""});
  EXPECT_EQ(report_.state, kFailed);
}

TEST_F(TaskMachineTest, AStopThatIsWantedIsNoFailureThoughItWasUnhealthy) {
  Run();
  machine_.watched = true;
  Bad(Event::kUnhealthy, absl::InternalError("unhealthy: refused"));
  EXPECT_THAT(Do(TaskEvent::Desired(kShutdown)), IsEmpty()) << "it is being stopped already";
  Exit({143, false, ""});
  EXPECT_EQ(report_.state, kShutdown);
}

TEST_F(TaskMachineTest, ExitsAsUsualWhileItsHealthIsNotKnown) {
  Do(TaskEvent::Desired(kRunning));
  Ok(Event::kPulled);
  Ok(Event::kPrepared);
  Do(TaskEvent::Checked(Event::kStarted, 77));
  EXPECT_THAT(Exit({3, false, ""}), ElementsAre(Action::kUnwatchHealth));
  EXPECT_EQ(report_.error, "task: non-zero exit (3)");
  EXPECT_THAT(Do(TaskEvent::Timer(Event::kHealthy)), IsEmpty());
  EXPECT_EQ(machine_.observed, kFailed);
}

TEST_F(TaskMachineTest, WatchesNoLongerWhenItStops) {
  Do(TaskEvent::Desired(kRunning));
  Ok(Event::kPulled);
  Ok(Event::kPrepared);
  Do(TaskEvent::Checked(Event::kStarted, 77));
  EXPECT_THAT(Do(TaskEvent::Desired(kShutdown)),
              ElementsAre(Action::kStop, Action::kStartGraceTimer, Action::kUnwatchHealth));
  EXPECT_THAT(Bad(Event::kUnhealthy, absl::InternalError("late")), IsEmpty());
  Exit({0, false, ""});
  EXPECT_EQ(report_.state, kShutdown);
}

TEST_F(TaskMachineTest, AdoptsARunningTaskAsHealthyAndAStartingOneAsNotYet) {
  machine_.observed = machine_.desired = kRunning;
  EXPECT_THAT(Do(TaskEvent::Checked(Event::kFoundRunning, 77)),
              ElementsAre(Action::kWait, Action::kWatchHealth));
  EXPECT_EQ(report_.state, kRunning);

  machine_ = TaskMachine();
  machine_.observed = v1::TaskStatus::STATE_STARTING;
  machine_.desired = kRunning;
  EXPECT_THAT(Do(TaskEvent::Checked(Event::kFoundRunning, 77)),
              ElementsAre(Action::kWait, Action::kWatchHealth));
  EXPECT_EQ(report_.state, v1::TaskStatus::STATE_STARTING);
  Do(TaskEvent::Timer(Event::kHealthy));
  EXPECT_EQ(report_.state, kRunning);
}

TEST_F(TaskMachineTest, GoesOnStoppingWhatAnAgentBeforeFoundUnhealthy) {
  machine_.observed = machine_.desired = kRunning;
  machine_.unhealthy = true;
  machine_.unhealthy_reason = "unhealthy: refused";
  EXPECT_THAT(Do(TaskEvent::Checked(Event::kFoundRunning, 77)),
              ElementsAre(Action::kWait, Action::kStop, Action::kStartGraceTimer));
  Exit({143, false, ""});
  EXPECT_EQ(report_.state, kFailed);
  EXPECT_EQ(report_.error, "unhealthy: refused");
}

// Every state that any sequence of events can reach, and every event in each of them.

auto Key(const TaskMachine& m) {
  return std::tuple(m.observed, m.desired, m.open, m.timer, m.pulled, m.prepared, m.stale,
                    m.started, m.running, m.stopping, m.cancelled, m.watched, m.unhealthy,
                    m.attempts);
}

std::vector<TaskEvent> AllEvents() {
  std::vector<TaskEvent> events;
  for (TaskState desired : {kReady, kRunning, kShutdown, kRemove}) {
    events.push_back(TaskEvent::Desired(desired));
  }
  for (Event kind : {Event::kPulled, Event::kPrepared, Event::kStarted, Event::kRemoved}) {
    for (const absl::Status& status : {absl::OkStatus(), absl::UnavailableError("later"),
                                       absl::NotFoundError("no"), absl::CancelledError("killed")}) {
      events.push_back(TaskEvent::Answer(kind, status, 5));
    }
  }
  for (Event kind : {Event::kExited, Event::kFoundExited}) {
    for (const ContainerExit& exit : {ContainerExit{0, false, ""}, ContainerExit{1, true, ""},
                                      ContainerExit{0, false, "supervisor lost"}}) {
      events.push_back(TaskEvent::Exit(kind, exit));
    }
  }
  events.push_back(TaskEvent::Timer(Event::kGraceTimer));
  events.push_back(TaskEvent::Timer(Event::kRetryTimer));
  events.push_back(TaskEvent::Checked(Event::kStarted, 5));
  events.push_back(TaskEvent::Checked(Event::kFoundRunning, 5));
  events.push_back(TaskEvent::Timer(Event::kHealthy));
  events.push_back(TaskEvent::Answer(Event::kUnhealthy, absl::InternalError("unhealthy: no")));
  events.push_back(TaskEvent::Answer(Event::kFoundRunning, absl::OkStatus(), 5));
  events.push_back(TaskEvent::Timer(Event::kFoundCreated));
  events.push_back(TaskEvent::Answer(Event::kFoundNothing, absl::NotFoundError("gone")));
  return events;
}

std::map<decltype(Key(TaskMachine{})), TaskMachine> Explore(
    const std::function<void(const TaskMachine&, const TaskEvent&, const TaskStep&)>& check) {
  std::map<decltype(Key(TaskMachine{})), TaskMachine> seen;
  std::deque<TaskMachine> todo;
  const std::vector<TaskEvent> events = AllEvents();
  const auto visit = [&](const TaskMachine& machine) {
    if (seen.emplace(Key(machine), machine).second) todo.push_back(machine);
  };
  visit(TaskMachine{});
  while (!todo.empty()) {
    const TaskMachine machine = todo.front();
    todo.pop_front();
    for (const TaskEvent& event : events) {
      const TaskStep step = Advance(machine, event);
      check(machine, event, step);
      visit(step.next);
    }
  }
  return seen;
}

TEST(TaskMachineExhaustiveTest, NoSequenceOfEventsBreaksTheRules) {
  const auto seen = Explore([](const TaskMachine& from, const TaskEvent& event,
                               const TaskStep& step) {
    ASSERT_GE(step.next.observed, from.observed);
    ASSERT_GE(step.next.desired, from.desired);
    TaskState told = from.observed;
    int questions = 0;
    for (const TaskAction& action : step.actions) {
      if (action.kind == Action::kReport) {
        ASSERT_GE(action.state, told) << "a report went back";
        if (IsTerminal(told) && action.state != told) {
          ASSERT_EQ(action.state, kRemove) << "a task ended twice";
        }
        told = action.state;
      }
      if (action.kind == Action::kPull || action.kind == Action::kPrepare ||
          action.kind == Action::kStart) {
        ASSERT_LT(step.next.desired, kShutdown) << "began something after a stop was wanted";
        ASSERT_FALSE(IsTerminal(from.observed)) << "began something after the end";
      }
      ASSERT_FALSE(action.kind == Action::kStart && from.running &&
                   event.kind < Event::kFoundRunning);
      questions += action.kind == Action::kPull || action.kind == Action::kPrepare ||
                   action.kind == Action::kStart || action.kind == Action::kRemove;
    }
    ASSERT_EQ(told, step.next.observed) << "a state was reached without a report";
    ASSERT_FALSE(step.next.watched && (!step.next.running || step.next.stopping))
        << "probes what is ending";
    bool watched = from.watched && event.kind < Event::kFoundRunning;
    for (const TaskAction& action : step.actions) {
      if (action.kind == Action::kWatchHealth) watched = true;
      if (action.kind == Action::kUnwatchHealth) watched = false;
    }
    ASSERT_EQ(watched, step.next.watched) << "watching began or ended without a word";
    const bool may_stop =
        step.next.desired >= kShutdown || step.next.unhealthy || IsTerminal(from.observed);
    ASSERT_TRUE(!step.next.stopping || may_stop) << "stopped for no reason";
    ASSERT_LE(questions, 1);
    const bool was_answered = event.kind >= Event::kFoundRunning || event.kind == Event::kPulled ||
                              event.kind == Event::kPrepared || event.kind == Event::kStarted ||
                              event.kind == Event::kRemoved;
    const bool still_open = from.open != TaskMachine::Verb::kNone && !was_answered;
    ASSERT_FALSE(still_open && questions > 0) << "asked while a question was open";
    ASSERT_FALSE(step.next.observed == kRemove && from.observed != kRemove && step.next.running);
  });
  EXPECT_GT(seen.size(), 300u);
}

// A world that answers whatever is asked; processes ignore Stop and obey Kill.
TEST(TaskMachineExhaustiveTest, FromEveryStateRemoveIsReachedAndARunningProcessIsKilled) {
  const auto seen = Explore([](const auto&, const auto&, const auto&) {});
  for (const auto& [key, start] : seen) {
    TaskMachine machine = start;
    const auto apply = [&](const TaskEvent& event) {
      TaskStep step = Advance(machine, event);
      machine = step.next;
      for (const TaskAction& action : step.actions) {
        if (action.kind == Action::kKill && machine.running) {
          machine = Advance(machine, TaskEvent::Exit(Event::kExited, {137, false, ""})).next;
        }
      }
    };
    apply(TaskEvent::Desired(kRemove));
    for (int i = 0; i < 12 && machine.observed != kRemove; ++i) {
      switch (machine.open) {
        case TaskMachine::Verb::kPull:
          apply(TaskEvent::Answer(Event::kPulled, absl::OkStatus()));
          continue;
        case TaskMachine::Verb::kPrepare:
          apply(TaskEvent::Answer(Event::kPrepared, absl::OkStatus()));
          continue;
        case TaskMachine::Verb::kStart:
          apply(TaskEvent::Answer(Event::kStarted, absl::OkStatus()));
          continue;
        case TaskMachine::Verb::kRemove:
          apply(TaskEvent::Answer(Event::kRemoved, absl::OkStatus()));
          continue;
        case TaskMachine::Verb::kNone:
          break;
      }
      ASSERT_NE(machine.timer, TaskMachine::Timer::kNone) << "nothing will ever happen again";
      apply(TaskEvent::Timer(machine.timer == TaskMachine::Timer::kGrace ? Event::kGraceTimer
                                                                         : Event::kRetryTimer));
    }
    ASSERT_EQ(machine.observed, kRemove);
  }
}

}  // namespace
}  // namespace swarm::agent
