// What a service joins, what it publishes, and how its tasks look names up.
#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "cli/compose/network_words.h"
#include "cli/service_flag_themes.h"
#include "common/status_macros.h"
#include "google/protobuf/util/message_differencer.h"

namespace swarm::cli {
namespace {

constexpr FlagKind kText = FlagKind::kText;
constexpr FlagKind kList = FlagKind::kList;
constexpr FlagState kNo = FlagState::kNotBuilt;

constexpr FlagRule kBoth[] = {
    {"endpoint-mode", 0, kText, "MODE",
     "vip (default): its name is one address for all tasks; dnsrr: the tasks' own"},
};
constexpr FlagRule kCreate[] = {
    {"network", 0, kList, "NETWORK", "one to join: front, or name=front,alias=db; host; none"},
    {"publish", 'p', kList, "PORT",
     "8080:80, 8000-8010:80-90/udp, or published=8080,target=80,mode=host"},
    {"host", 0, kList, "NAME:ADDRESS", "a name more that its tasks know"},
    {"dns", 0, kList, "ADDRESS", "who its tasks ask for names that are not the cluster's"},
    {"dns-option", 0, kList, "OPTION", "of the resolver, such as timeout:3"},
    {"dns-search", 0, kList, "DOMAIN", "where short names are looked up too"},
};
constexpr FlagRule kUpdate[] = {
    {"network-add", 0, kList, "NETWORK", "join a network, or change how: name=front,alias=db"},
    {"network-rm", 0, kList, "NETWORK", "leave a network"},
    {"publish-add", 0, kList, "PORT", "8080:80, or published=8080,target=80,mode=host"},
    {"publish-rm", 0, kList, "TARGET[/PROTOCOL]", "what leads to that port of the container"},
    {"host-add", 0, kList, "NAME:ADDRESS", "add a name that its tasks know"},
    {"host-rm", 0, kList, "NAME[:ADDRESS]", "remove a name that its tasks know"},
    {"dns-add", 0, kList, "ADDRESS", "add a name server"},
    {"dns-rm", 0, kList, "ADDRESS", "remove a name server"},
    {"dns-option-add", 0, kList, "OPTION", "add an option of the resolver"},
    {"dns-option-rm", 0, kList, "OPTION", "remove an option of the resolver"},
    {"dns-search-add", 0, kList, "DOMAIN", "add a search domain"},
    {"dns-search-rm", 0, kList, "DOMAIN", "remove a search domain"},
    {"network", 0, kList, "", "changes nothing here: use --network-add and --network-rm", kNo},
    {"publish", 'p', kList, "", "changes nothing here: use --publish-add and --publish-rm", kNo},
    {"host", 0, kList, "", "changes nothing here: use --host-add and --host-rm", kNo},
    {"dns", 0, kList, "", "changes nothing here: use --dns-add and --dns-rm", kNo},
    {"dns-option", 0, kList, "", "changes nothing here: use --dns-option-add and --dns-option-rm",
     kNo},
    {"dns-search", 0, kList, "", "changes nothing here: use --dns-search-add and --dns-search-rm",
     kNo},
};

template <typename List, typename Fits>
void RemoveWhere(List& list, Fits fits) {
  list.erase(std::remove_if(list.begin(), list.end(), fits), list.end());
}

using Texts = google::protobuf::RepeatedPtrField<std::string>;

void AddText(Texts& texts, const std::string& text) {
  if (std::find(texts.begin(), texts.end(), text) == texts.end()) *texts.Add() = text;
}

class NetworkWriter {
 public:
  NetworkWriter(const Flags& flags, ServiceVerb verb, const NetworkNames& names,
                v1::ServiceSpec& spec)
      : flags_(flags),
        add_(verb == ServiceVerb::kCreate ? "" : "-add"),
        names_(names),
        spec_(spec) {}

  absl::Status Write() {
    RETURN_IF_ERROR(Networks());
    RETURN_IF_ERROR(EndpointMode());
    RETURN_IF_ERROR(Publish());
    RETURN_IF_ERROR(Hosts());
    RETURN_IF_ERROR(Dns());
    v1::ContainerSpec& container = *spec_.mutable_task()->mutable_container();
    if (container.dns().ByteSizeLong() == 0) container.clear_dns();
    if (spec_.endpoint().ByteSizeLong() == 0) spec_.clear_endpoint();
    return absl::OkStatus();
  }

 private:
  std::string Adding(std::string_view flag) const { return StrCat(flag, add_); }

  // A service may have joined it by its id, or by its name.
  void Leave(const std::string& ref) {
    std::vector<std::string> names = names_ ? names_(ref) : std::vector<std::string>();
    names.push_back(ref);
    RemoveWhere(*spec_.mutable_task()->mutable_networks(), [&](const auto& network) {
      return std::find(names.begin(), names.end(), network.target()) != names.end();
    });
  }

  absl::Status Networks() {
    for (const std::string& text : flags_.List("network-rm")) {
      ASSIGN_OR_RETURN(const auto network,
                       OfFlag("network-rm", text, compose::ParseAttachment(text)));
      Leave(network.target());
    }
    const std::string flag = Adding("network");
    for (const std::string& text : flags_.List(flag)) {
      ASSIGN_OR_RETURN(auto network, OfFlag(flag, text, compose::ParseAttachment(text)));
      Leave(network.target());
      *spec_.mutable_task()->add_networks() = std::move(network);
    }
    return absl::OkStatus();
  }

  absl::Status EndpointMode() {
    if (!flags_.Has("endpoint-mode")) return absl::OkStatus();
    const std::string word = flags_.Text("endpoint-mode");
    ASSIGN_OR_RETURN(const auto mode,
                     OfFlag("endpoint-mode", word, compose::ParseEndpointMode(word)));
    spec_.mutable_endpoint()->set_mode(mode);
    return absl::OkStatus();
  }

  // By the port in the container, as docker; of "8080:80" the published one counts too.
  absl::Status Unpublish(const std::string& text) {
    ASSIGN_OR_RETURN(const auto gone, OfFlag("publish-rm", text, compose::ParsePublish(text)));
    for (const v1::PortConfig& one : gone) {
      RemoveWhere(*spec_.mutable_endpoint()->mutable_ports(), [&](const v1::PortConfig& port) {
        const auto protocol = port.protocol() == v1::PortConfig::PROTOCOL_UNSPECIFIED
                                  ? v1::PortConfig::PROTOCOL_TCP
                                  : port.protocol();
        return port.target_port() == one.target_port() && protocol == one.protocol() &&
               (one.published_port() == 0 || port.published_port() == one.published_port());
      });
    }
    return absl::OkStatus();
  }

  absl::Status Publish() {
    for (const std::string& text : flags_.List("publish-rm")) RETURN_IF_ERROR(Unpublish(text));
    const std::string flag = Adding("publish");
    for (const std::string& text : flags_.List(flag)) {
      ASSIGN_OR_RETURN(const auto ports, OfFlag(flag, text, compose::ParsePublish(text)));
      for (const v1::PortConfig& port : ports) {
        const auto& all = spec_.endpoint().ports();
        const bool there = std::any_of(all.begin(), all.end(), [&](const v1::PortConfig& old) {
          return google::protobuf::util::MessageDifferencer::Equals(old, port);
        });
        if (!there) *spec_.mutable_endpoint()->add_ports() = port;
      }
    }
    return absl::OkStatus();
  }

  // "db", "db:10.0.0.9": out of every line, and lines without a name go.
  absl::Status ForgetHost(const std::string& text) {
    const size_t colon = text.find_first_of(":=");
    const std::string name = text.substr(0, colon);
    std::string address;
    if (colon != std::string::npos) {
      ASSIGN_OR_RETURN(const std::string line, OfFlag("host-rm", text, compose::ParseHost(text)));
      address = line.substr(0, line.find(' '));
    }
    Texts& hosts = *spec_.mutable_task()->mutable_container()->mutable_hosts();
    for (std::string& line : hosts) {
      std::vector<std::string> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
      if (words.empty() || (!address.empty() && words[0] != address)) continue;
      words.erase(std::remove(words.begin() + 1, words.end(), name), words.end());
      line = words.size() == 1 ? "" : absl::StrJoin(words, " ");
    }
    RemoveWhere(hosts, [](const std::string& line) { return line.empty(); });
    return absl::OkStatus();
  }

  absl::Status Hosts() {
    for (const std::string& text : flags_.List("host-rm")) RETURN_IF_ERROR(ForgetHost(text));
    const std::string flag = Adding("host");
    for (const std::string& text : flags_.List(flag)) {
      ASSIGN_OR_RETURN(const std::string line, OfFlag(flag, text, compose::ParseHost(text)));
      AddText(*spec_.mutable_task()->mutable_container()->mutable_hosts(), line);
    }
    return absl::OkStatus();
  }

  absl::Status Dns() {
    v1::DnsConfig& dns = *spec_.mutable_task()->mutable_container()->mutable_dns();
    const auto change = [&](std::string_view flag, Texts& texts, auto parse) -> absl::Status {
      for (const std::string& text : flags_.List(StrCat(flag, "-rm"))) {
        const absl::StatusOr<std::string> parsed = parse(text);
        const std::string gone = parsed.ok() ? *parsed : text;
        RemoveWhere(texts, [&](const std::string& old) { return old == gone; });
      }
      for (const std::string& text : flags_.List(Adding(flag))) {
        ASSIGN_OR_RETURN(const std::string parsed, OfFlag(Adding(flag), text, parse(text)));
        AddText(texts, parsed);
      }
      return absl::OkStatus();
    };
    RETURN_IF_ERROR(change("dns", *dns.mutable_nameservers(), compose::ParseAddress));
    RETURN_IF_ERROR(change("dns-option", *dns.mutable_options(), compose::ParseDnsWord));
    return change("dns-search", *dns.mutable_search(), compose::ParseDnsWord);
  }

  const Flags& flags_;
  const std::string_view add_;
  const NetworkNames& names_;
  v1::ServiceSpec& spec_;
};

}  // namespace

std::vector<FlagRule> NetworkFlags(ServiceVerb verb) {
  return FlagsOf(verb, kBoth, kCreate, kUpdate);
}

absl::Status ApplyNetworks(const Flags& flags, ServiceVerb verb, const NetworkNames& names,
                           v1::ServiceSpec& spec) {
  return NetworkWriter(flags, verb, names, spec).Write();
}

}  // namespace swarm::cli
