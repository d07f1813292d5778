#include "manager/api/network_validation.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "common/ids.h"
#include "common/ip_address.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "manager/api/container_validation.h"
#include "manager/api/macvlan_validation.h"
#include "manager/api/validation.h"
#include "manager/network_rules.h"

namespace swarm::manager {
namespace {

constexpr int kShortest4 = 8;
constexpr int kLongest4 = 29;  // the network's, the gateway, the last and room for a service
constexpr int kShortest6 = 32;
constexpr int kLongest6 = 120;
constexpr int kMostAuxAddresses = 1'000;

// Addresses that are not for networks, whoever asks.
constexpr std::string_view kSpecial[] = {
    "0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3", "::/8", "fe80::/10", "ff00::/8"};

absl::Status ValidateDriver(const v1::NetworkSpec& spec) {
  const std::string_view driver = DriverOf(spec);
  if (driver == kOverlay || driver == kBridge || driver == kMacvlan) return absl::OkStatus();
  if (IsPredefinedNetwork(driver)) {
    return FieldError("driver", StrCat("the network \"", driver,
                                       "\" is predefined on every node: use it by its name"));
  }
  return FieldError("driver", StrCat("\"", absl::CEscape(ToAbsl(driver)),
                                     "\" is unknown; overlay, bridge and macvlan are built"));
}

absl::Status ValidateOptions(const v1::NetworkSpec& spec) {
  if (IsMacvlan(spec)) return ValidateMacvlan(spec);
  for (const auto& [key, value] :
       std::map<std::string, std::string>(spec.options().begin(), spec.options().end())) {
    const std::string path = StrCat("options[", absl::CEscape(key), "]");
    if (key != "encrypted" && key != "local") {
      return FieldError(path,
                        "is unknown; there is \"encrypted\", of the ingress network \"local\", of "
                        "driver macvlan \"parent\", \"parent_label\" and \"macvlan_mode\"");
    }
    if (key == "local" && !spec.ingress()) {
      return FieldError(path, "is for the ingress network only");
    }
    if (key == "encrypted" && !IsOverlay(spec)) {
      return FieldError(path, StrCat("is for driver overlay only: nothing of a ", DriverOf(spec),
                                     " network goes from node to node"));
    }
    if (!value.empty() && value != "true" && value != "false") {
      return FieldError(path, "is \"true\", \"false\" or empty (true)");
    }
  }
  return absl::OkStatus();
}

absl::Status ValidateSubnet(const std::string& path, const std::string& text, bool enable_ipv6) {
  const absl::StatusOr<IpPrefix> subnet = IpPrefix::Parse(text);
  if (!subnet.ok()) return FieldError(path, ToStd(subnet.status().message()));
  if (text.find('/') == text.npos) {
    return FieldError(path, StrCat("\"", text, "\" has no length, as in 10.0.1.0/24"));
  }
  if (IpAddress::Parse(text.substr(0, text.find('/'))).value_or(IpAddress{}) != subnet->base) {
    return FieldError(
        path, StrCat("\"", text, "\" goes on behind its length; meant is ", subnet->ToString()));
  }
  if (!subnet->base.is_v4() && !enable_ipv6) {
    return FieldError(path, StrCat(subnet->ToString(), " needs enable_ipv6"));
  }
  const int shortest = subnet->base.is_v4() ? kShortest4 : kShortest6;
  const int longest = subnet->base.is_v4() ? kLongest4 : kLongest6;
  if (subnet->length < shortest || subnet->length > longest) {
    return FieldError(
        path, StrCat("/", subnet->length, " is not between /", shortest, " and /", longest));
  }
  for (const std::string_view special : kSpecial) {
    if (IpPrefix::Parse(special)->Overlaps(*subnet)) {
      return FieldError(
          path, StrCat(subnet->ToString(), " overlaps ", special, ", which is not for networks"));
    }
  }
  return absl::OkStatus();
}

// An address that containers may have: not the first of the subnet, nor the last of IPv4.
absl::Status ValidateAddress(const std::string& path, const std::string& text,
                             const IpPrefix& subnet) {
  const absl::StatusOr<IpAddress> address = IpAddress::Parse(text);
  if (!address.ok()) return FieldError(path, ToStd(address.status().message()));
  if (!subnet.Contains(*address)) {
    return FieldError(path, StrCat(text, " is not in ", subnet.ToString()));
  }
  if (*address == subnet.base || (address->is_v4() && *address == subnet.Last())) {
    return FieldError(path, StrCat(text, " stands for the whole of ", subnet.ToString()));
  }
  return absl::OkStatus();
}

absl::Status ValidateIpam(const std::string& path, const v1::IpamConfig& ipam, bool enable_ipv6) {
  if (ipam.subnet().empty()) {
    if (ipam.gateway().empty() && ipam.ip_range().empty() && ipam.aux_addresses().empty()) {
      return absl::OkStatus();
    }
    return FieldError(path + ".subnet",
                      "is empty: a gateway, range or address is of a subnet that is given");
  }
  RETURN_IF_ERROR(ValidateSubnet(path + ".subnet", ipam.subnet(), enable_ipv6));
  const IpPrefix subnet = *IpPrefix::Parse(ipam.subnet());
  if (!ipam.gateway().empty()) {
    RETURN_IF_ERROR(ValidateAddress(path + ".gateway", ipam.gateway(), subnet));
  }
  if (!ipam.ip_range().empty()) {
    const absl::StatusOr<IpPrefix> range = IpPrefix::Parse(ipam.ip_range());
    if (!range.ok()) return FieldError(path + ".ip_range", ToStd(range.status().message()));
    if (range->length < subnet.length || !subnet.Overlaps(*range)) {
      return FieldError(path + ".ip_range",
                        StrCat(range->ToString(), " is not in ", subnet.ToString()));
    }
  }
  if (ipam.aux_addresses_size() > kMostAuxAddresses) {
    return FieldError(path + ".aux_addresses", StrCat("are more than ", kMostAuxAddresses));
  }
  for (const auto& [name, text] : std::map<std::string, std::string>(ipam.aux_addresses().begin(),
                                                                     ipam.aux_addresses().end())) {
    const std::string aux = StrCat(path, ".aux_addresses[", absl::CEscape(name), "]");
    RETURN_IF_ERROR(ValidateAddress(aux, text, subnet));
    const bool is_gateway =
        !ipam.gateway().empty() && *IpAddress::Parse(text) == *IpAddress::Parse(ipam.gateway());
    if (is_gateway) return FieldError(aux, StrCat(text, " is the gateway"));
  }
  return absl::OkStatus();
}

absl::Status ValidateIpams(const v1::NetworkSpec& spec) {
  int of_v4 = 0;
  int of_v6 = 0;
  int open = 0;
  for (int i = 0; i < spec.ipam_size(); ++i) {
    const std::string path = StrCat("ipam[", i, "]");
    RETURN_IF_ERROR(ValidateIpam(path, spec.ipam(i), spec.enable_ipv6()));
    if (spec.ipam(i).subnet().empty()) {
      ++open;
    } else {
      ++(IpPrefix::Parse(spec.ipam(i).subnet())->base.is_v4() ? of_v4 : of_v6);
    }
    const int room = (of_v4 == 0 ? 1 : 0) + (spec.enable_ipv6() && of_v6 == 0 ? 1 : 0);
    if (of_v4 > 1 || of_v6 > 1 || open > room) {
      return FieldError(path, "a network has one subnet of each family at most");
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ValidateDnsLabel(std::string_view path, std::string_view label) {
  const auto good = [](unsigned char c) { return absl::ascii_isalnum(c) || c == '-' || c == '_'; };
  const bool fits = !label.empty() && label.size() <= kMaxNameLength &&
                    absl::ascii_isalnum(static_cast<unsigned char>(label.front())) &&
                    absl::ascii_isalnum(static_cast<unsigned char>(label.back())) &&
                    std::all_of(label.begin(), label.end(), good);
  if (fits) return absl::OkStatus();
  return FieldError(
      path, StrCat("\"", absl::CEscape(ToAbsl(label.substr(0, 100))),
                   "\" is no DNS label: letters, digits, '-' and '_', 1 to ", kMaxNameLength,
                   " of them, beginning and ending with a letter or "
                   "digit"));
}

absl::Status ValidateNetworkSpec(const v1::NetworkSpec& spec) {
  if (spec.ByteSizeLong() > kMaxSpecBytes) {
    return FieldError("spec", StrCat("is above the most of ", kMaxSpecBytes, " bytes"));
  }
  RETURN_IF_ERROR(ValidateDnsLabel("name", spec.name()));
  if (!spec.ingress() || spec.name() != kIngressName) {
    RETURN_IF_ERROR(ValidateName("name", spec.name()));
  }
  RETURN_IF_ERROR(ValidateLabels("labels", spec.labels()));
  RETURN_IF_ERROR(ValidateDriver(spec));
  if (spec.ingress() && !IsOverlay(spec)) {
    return FieldError("driver", "the ingress network reaches every node: it is an overlay");
  }
  if (spec.ingress() && spec.internal()) {
    return FieldError("internal", "the ingress network is the way in");
  }
  RETURN_IF_ERROR(ValidateOptions(spec));
  return ValidateIpams(spec);
}

}  // namespace swarm::manager
