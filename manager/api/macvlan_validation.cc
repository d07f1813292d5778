#include "manager/api/macvlan_validation.h"

#include <algorithm>
#include <map>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "common/ip_address.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "manager/api/container_validation.h"

namespace swarm::manager {
namespace {

constexpr size_t kLongestLink = 15;  // of the kernel
constexpr int kLastVlan = 4094;

// A name as the kernel takes it; behind a last dot a VLAN when it is a number.
absl::Status ValidateLink(const std::string& path, const std::string& link) {
  const bool fits = !link.empty() && link.size() <= kLongestLink && link != "." && link != ".." &&
                    std::all_of(link.begin(), link.end(), [](unsigned char c) {
                      return absl::ascii_isgraph(c) && c != '/' && c != ':' && c != '%';
                    });
  if (!fits) {
    return FieldError(path,
                      StrCat("\"", absl::CEscape(link.substr(0, 64)),
                             "\" is no name of a link, such as eth0, or eth0.50 for VLAN 50"));
  }
  if (link == "lo") return FieldError(path, "lo leads nowhere: name the link that is in the LAN");
  int vlan = 0;
  const size_t dot = link.rfind('.');
  if (dot != link.npos && absl::SimpleAtoi(link.substr(dot + 1), &vlan) &&
      (vlan < 1 || vlan > kLastVlan)) {
    return FieldError(path, StrCat("VLAN ", vlan, " is not between 1 and ", kLastVlan));
  }
  return absl::OkStatus();
}

absl::Status ValidateOption(const std::string& key, const std::string& value) {
  const std::string path = StrCat("options[", absl::CEscape(key), "]");
  if (key == "parent") return ValidateLink(path, value);
  if (key == "parent_label") {
    return value.empty() ? FieldError(path, "is empty: the name of a label of nodes, such as lan")
                         : absl::OkStatus();
  }
  if (key == "macvlan_mode") {
    const bool known =
        value == "bridge" || value == "private" || value == "vepa" || value == "passthru";
    return known
               ? absl::OkStatus()
               : FieldError(path, StrCat("\"", absl::CEscape(value.substr(0, 64)),
                                         "\" is unknown; bridge, private, vepa and passthru are"));
  }
  if (key == "encrypted") {
    return FieldError(path,
                      "what containers say on the LAN of driver macvlan is as they say it: leave "
                      "the option out and let them speak TLS, or use driver overlay");
  }
  return FieldError(
      path, "is unknown; driver macvlan has \"parent\", \"parent_label\" and \"macvlan_mode\"");
}

}  // namespace

absl::Status ValidateMacvlan(const v1::NetworkSpec& spec) {
  for (const auto& [key, value] :
       std::map<std::string, std::string>(spec.options().begin(), spec.options().end())) {
    RETURN_IF_ERROR(ValidateOption(key, value));
  }
  if (!spec.options().contains("parent") && !spec.options().contains("parent_label")) {
    return FieldError("options[parent]",
                      "is missing: the link of each node that containers stand on, such as eth0; "
                      "where it differs from node to node give parent_label, the name of a label "
                      "of nodes whose value is the link");
  }
  bool has4 = false, has6 = false;
  for (const v1::IpamConfig& ipam : spec.ipam()) {
    const auto subnet = IpPrefix::Parse(ipam.subnet());
    if (subnet.ok()) (subnet->base.is_v4() ? has4 : has6) = true;
    if (!subnet.ok() && !ipam.subnet().empty()) has4 = has6 = true;  // complained about elsewhere
  }
  if (!has4) {
    return FieldError("ipam", "is missing: driver macvlan needs the IPv4 subnet of the LAN");
  }
  if (spec.enable_ipv6() && !has6) {
    return FieldError("ipam", "is missing: driver macvlan needs the IPv6 subnet of the LAN");
  }
  return absl::OkStatus();
}

}  // namespace swarm::manager
