// CronSchedule: when something that is repeated by the calendar is due. A value; pure; any thread.
//
//   ASSIGN_OR_RETURN(CronSchedule nightly, CronSchedule::Parse("30 2 * * MON-FRI",
//   "Europe/Berlin")); absl::Time next = nightly.NextAfter(now);
//
// An expression has five fields, as in crontab(5):
//
//   minute 0-59   hour 0-23   day-of-month 1-31   month 1-12 or JAN-DEC   day-of-week 0-7 or
//   SUN-SAT
//
// (0 and 7 are Sunday), each of them `*` (or `?`), a value, a range `a-b`, any of these with a step
// (`*/5`, `10-40/10`, `3/10`: from 3 on), or a list of such with commas. Or one of @hourly, @daily,
// @midnight, @weekly, @monthly, @yearly, @annually. Case does not matter.
//
// Days: when day-of-month and day-of-week are both restricted, a day is due when either matches;
// else both must. As in Vixie cron a field that begins with `*` is not restricted, so `*/2` in one
// of them and MON in the other means both.
//
// Changes of the zone's clock (daylight saving time):
//   a schedule that names hours runs once for each local time: one that does not exist is due when
//   the clock jumps over it (several in one jump: once), one that exists twice is due the first
//   time.
//   a schedule for every hour follows time as it passes: `*/10 * * * *` is due every 10 minutes, in
//   the hour that comes twice too; a local time that does not exist is none of its times.
//
// Seconds do not exist here: all times are full minutes of the zone's clock.
#ifndef SWARM_COMMON_CRON_SCHEDULE_H_
#define SWARM_COMMON_CRON_SCHEDULE_H_

#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/civil_time.h"
#include "absl/time/time.h"

namespace swarm {

class CronSchedule {
 public:
  // A name of the tz database; empty is UTC. InvalidArgument when it is unknown.
  static absl::StatusOr<absl::TimeZone> FindTimeZone(std::string_view name);

  // InvalidArgument names the field, the value and what may stand there. An expression that is
  // never due ("0 0 31 2 *") or is longer than 1,024 bytes is refused too.
  static absl::StatusOr<CronSchedule> Parse(std::string_view expression, absl::TimeZone zone);
  static absl::StatusOr<CronSchedule> Parse(std::string_view expression, std::string_view zone);

  absl::TimeZone zone() const { return zone_; }
  // The first due time later than `time`. At most 48 years of months are looked at: the rarest
  // (29 February on a Sunday) comes within 40. InfiniteFuture for times near the end of time.
  absl::Time NextAfter(absl::Time time) const;

  // The last due time in (after, until], both finite. Costs about 25 NextAfter for a year.
  std::optional<absl::Time> LastIn(absl::Time after, absl::Time until) const;
  // Due times in (after, until], counted up to `limit`.
  uint64_t CountIn(absl::Time after, absl::Time until, uint64_t limit) const;

 private:
  CronSchedule() = default;

  bool DayMatches(absl::CivilDay day) const;
  // The first local time that matches, not before `from`.
  std::optional<absl::CivilMinute> NextLocal(absl::CivilMinute from) const;
  std::optional<absl::CivilMinute> NextOnDay(absl::CivilDay day, int hour, int minute) const;
  absl::Time NextOfLocalTimes(absl::Time time) const;
  absl::Time NextOfElapsedTime(absl::Time time) const;

  // Bit n is value n.
  uint64_t minutes_ = 0;
  uint64_t hours_ = 0;
  uint64_t days_ = 0;
  uint64_t months_ = 0;
  uint64_t weekdays_ = 0;  // 0 is Sunday
  bool any_day_ = false;   // one of the two day fields is not restricted
  absl::TimeZone zone_;
};

}  // namespace swarm

#endif  // SWARM_COMMON_CRON_SCHEDULE_H_
