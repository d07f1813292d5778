// Which secrets and configs a service mounts.
#include <algorithm>
#include <iterator>
#include <utility>

#include "cli/compose/file_words.h"
#include "cli/service_flag_themes.h"
#include "common/status_macros.h"

namespace swarm::cli {
namespace {

constexpr FlagKind kList = FlagKind::kList;
constexpr FlagState kNo = FlagState::kNotBuilt;

constexpr FlagRule kCreate[] = {
    {"secret", 0, kList, "SECRET",
     "a secret to mount: db_pw, or source=db_pw,target=pw,uid=0,gid=0,mode=0400"},
    {"config", 0, kList, "CONFIG",
     "a config to mount: nginx, or source=nginx,target=/etc/nginx.conf"},
};
constexpr FlagRule kUpdate[] = {
    {"secret-add", 0, kList, "SECRET", "mount a secret, or another way: source=db_pw,target=pw"},
    {"secret-rm", 0, kList, "SECRET", "mount a secret no more"},
    {"config-add", 0, kList, "CONFIG",
     "mount a config, or another way: source=nginx,target=/n.conf"},
    {"config-rm", 0, kList, "CONFIG", "mount a config no more"},
    {"secret", 0, kList, "", "changes nothing here: use --secret-add and --secret-rm", kNo},
    {"config", 0, kList, "", "changes nothing here: use --config-add and --config-rm", kNo},
};

// Both kinds of reference alike.
void SetName(v1::SecretReference& r, const std::string& name) { r.set_secret_name(name); }
void SetName(v1::ConfigReference& r, const std::string& name) { r.set_config_name(name); }
bool Names(const v1::SecretReference& r, const std::string& ref) {
  return r.secret_name() == ref || r.secret_id() == ref;
}
bool Names(const v1::ConfigReference& r, const std::string& ref) {
  return r.config_name() == ref || r.config_id() == ref;
}

template <typename References>
absl::Status Apply(const Flags& flags, ServiceVerb verb, std::string_view kind, References& all) {
  for (const std::string& ref : flags.List(StrCat(kind, "-rm"))) {
    all.erase(std::remove_if(all.begin(), all.end(), [&](const auto& r) { return Names(r, ref); }),
              all.end());
  }
  const std::string flag = verb == ServiceVerb::kCreate ? std::string(kind) : StrCat(kind, "-add");
  for (const std::string& text : flags.List(flag)) {
    ASSIGN_OR_RETURN(const compose::FileWords words,
                     OfFlag(flag, text, compose::ParseFileWords(text)));
    ASSIGN_OR_RETURN(const v1::FileTarget file, OfFlag(flag, text, compose::MakeFileTarget(words)));
    const auto same = [&](const auto& r) {
      return Names(r, words.source) && r.file().name() == file.name();
    };
    all.erase(std::remove_if(all.begin(), all.end(), same), all.end());
    auto& added = *all.Add();
    SetName(added, words.source);
    if (file.ByteSizeLong() > 0) *added.mutable_file() = file;
  }
  return absl::OkStatus();
}

}  // namespace

std::vector<FlagRule> FileFlags(ServiceVerb verb) { return FlagsOf(verb, {}, kCreate, kUpdate); }

absl::Status ApplyFiles(const Flags& flags, ServiceVerb verb, v1::ServiceSpec& spec) {
  v1::ContainerSpec& container = *spec.mutable_task()->mutable_container();
  RETURN_IF_ERROR(Apply(flags, verb, "secret", *container.mutable_secrets()));
  return Apply(flags, verb, "config", *container.mutable_configs());
}

}  // namespace swarm::cli
