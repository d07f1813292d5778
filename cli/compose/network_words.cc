#include "cli/compose/network_words.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::cli::compose {
namespace {

constexpr uint32_t kLastPort = 65535;
constexpr std::string_view kShortExample = "8080:80, 8000-8010:80-90/udp or 80";
constexpr std::string_view kLongExample = "published=8080,target=80,protocol=tcp,mode=host";

absl::StatusOr<uint32_t> ParsePort(std::string_view text) {
  uint32_t port = 0;
  if (absl::SimpleAtoi(ToAbsl(text), &port) && port >= 1 && port <= kLastPort) return port;
  return absl::InvalidArgumentError(StrCat("\"", text, "\" is no port: a number from 1 to 65535"));
}

// "key=value,key=value"; a value holds no comma.
absl::StatusOr<std::vector<std::pair<std::string, std::string>>> SplitFields(
    std::string_view text, std::string_view example) {
  std::vector<std::pair<std::string, std::string>> fields;
  for (absl::string_view field : absl::StrSplit(ToAbsl(text), ',')) {
    const size_t equals = field.find('=');
    if (equals == absl::string_view::npos || equals == 0) {
      return absl::InvalidArgumentError(
          StrCat("\"", ToStd(field), "\" is not KEY=VALUE; write it as ", example));
    }
    fields.emplace_back(std::string(field.substr(0, equals)),
                        std::string(field.substr(equals + 1)));
  }
  return fields;
}

// Where the ports begin, behind "127.0.0.1:" or "[::1]:"; 0 when there is no address.
size_t PortsBegin(std::string_view text) {
  if (text.starts_with("[")) {
    const size_t close = text.find("]:");
    return close == std::string_view::npos ? 0 : close + 2;
  }
  const size_t ports = text.rfind(':');
  if (ports == std::string_view::npos || ports == 0) return 0;
  const size_t address = text.rfind(':', ports - 1);
  return address == std::string_view::npos ? 0 : address + 1;
}

}  // namespace

// ---------------------------------------------------------------------------- published ports

absl::StatusOr<PortRange> ParsePortRange(std::string_view text) {
  const size_t dash = text.find('-');
  PortRange range;
  ASSIGN_OR_RETURN(range.first, ParsePort(text.substr(0, dash)));
  range.last = range.first;
  if (dash == std::string_view::npos) return range;
  ASSIGN_OR_RETURN(range.last, ParsePort(text.substr(dash + 1)));
  if (range.last >= range.first) return range;
  return absl::InvalidArgumentError(
      StrCat("the range ", text, " ends before it begins; write the smaller port first"));
}

absl::StatusOr<v1::PortConfig::Protocol> ParseProtocol(std::string_view word) {
  if (word.empty() || word == "tcp") return v1::PortConfig::PROTOCOL_TCP;
  if (word == "udp") return v1::PortConfig::PROTOCOL_UDP;
  if (word == "sctp") return v1::PortConfig::PROTOCOL_SCTP;
  return absl::InvalidArgumentError(
      StrCat("the protocol must be tcp, udp or sctp, not \"", word, "\""));
}

absl::StatusOr<v1::PortConfig::PublishMode> ParsePublishMode(std::string_view word) {
  if (word.empty() || word == "ingress") return v1::PortConfig::PUBLISH_MODE_INGRESS;
  if (word == "host") return v1::PortConfig::PUBLISH_MODE_HOST;
  return absl::InvalidArgumentError(
      StrCat("the mode must be ingress (every node answers) or host (nodes with a task do), not \"",
             word, "\""));
}

absl::StatusOr<v1::EndpointSpec::Mode> ParseEndpointMode(std::string_view word) {
  if (word == "vip") return v1::EndpointSpec::MODE_VIP;
  if (word == "dnsrr") return v1::EndpointSpec::MODE_DNSRR;
  return absl::InvalidArgumentError(StrCat(
      "must be vip (one address for all tasks) or dnsrr (the tasks' own), not \"", word, "\""));
}

absl::StatusOr<std::vector<v1::PortConfig>> MakePorts(const PublishWords& words) {
  ASSIGN_OR_RETURN(const PortRange target, ParsePortRange(words.target));
  ASSIGN_OR_RETURN(const auto protocol, ParseProtocol(words.protocol));
  ASSIGN_OR_RETURN(const auto mode, ParsePublishMode(words.mode));
  const bool chosen = !words.published.empty() && words.published != "0";
  PortRange published;
  if (chosen) {
    ASSIGN_OR_RETURN(published, ParsePortRange(words.published));
    if (published.size() != target.size() && target.size() > 1) {
      return absl::InvalidArgumentError(
          StrCat(words.published, " are ", published.size(), " ports and ", words.target, " are ",
                 target.size(), ": give as many, such as 8000-8010:80-90, or one target"));
    }
  } else if (mode == v1::PortConfig::PUBLISH_MODE_HOST) {
    return absl::InvalidArgumentError(
        StrCat("mode host needs a published port, since nobody else chooses one; write it as ",
               kLongExample));
  }
  std::vector<v1::PortConfig> ports;
  const uint32_t count = std::max(chosen ? published.size() : 1, target.size());
  for (uint32_t i = 0; i < count; ++i) {
    v1::PortConfig& port = ports.emplace_back();
    port.set_name(words.name);
    port.set_protocol(protocol);
    port.set_target_port(target.size() > 1 ? target.first + i : target.first);
    if (chosen) port.set_published_port(published.first + i);
    port.set_publish_mode(mode);
  }
  return ports;
}

std::string HostAddressOf(std::string_view text) {
  const size_t begin = PortsBegin(text);
  return begin == 0 ? "" : std::string(text.substr(0, begin - 1));
}

absl::StatusOr<std::vector<v1::PortConfig>> ParseShortPorts(std::string_view text) {
  PublishWords words;
  std::string_view rest = text.substr(PortsBegin(text));
  if (const size_t slash = rest.find('/'); slash != std::string_view::npos) {
    words.protocol = rest.substr(slash + 1);
    rest = rest.substr(0, slash);
    if (words.protocol.empty()) {
      return absl::InvalidArgumentError(
          StrCat("nothing stands after /; write it as ", kShortExample));
    }
  }
  const size_t colon = rest.find(':');
  words.target = rest.substr(colon == std::string_view::npos ? 0 : colon + 1);
  if (colon != std::string_view::npos) words.published = rest.substr(0, colon);
  absl::StatusOr<std::vector<v1::PortConfig>> ports = MakePorts(words);
  if (ports.ok()) return ports;
  return absl::InvalidArgumentError(
      StrCat(ports.status().message(), "; write it as ", kShortExample));
}

absl::StatusOr<std::vector<v1::PortConfig>> ParsePublish(std::string_view text) {
  if (text.find('=') == std::string_view::npos) {
    if (const std::string address = HostAddressOf(text); !address.empty()) {
      return absl::InvalidArgumentError(
          StrCat("a port is published on all addresses of a node, never on ", address,
                 " alone; leave the address out"));
    }
    return ParseShortPorts(text);
  }
  ASSIGN_OR_RETURN(const auto fields, SplitFields(text, kLongExample));
  PublishWords words;
  for (const auto& [key, value] : fields) {
    if (key == "published") {
      words.published = value;
    } else if (key == "target") {
      words.target = value;
    } else if (key == "protocol") {
      words.protocol = value;
    } else if (key == "mode") {
      words.mode = value;
    } else if (key == "name") {
      words.name = value;
    } else {
      return absl::InvalidArgumentError(
          StrCat("\"", key, "\" is not published, target, protocol, mode or name; write it as ",
                 kLongExample));
    }
  }
  if (words.target.empty()) {
    return absl::InvalidArgumentError(
        StrCat("target=, the port in the container, is missing; write it as ", kLongExample));
  }
  return MakePorts(words);
}

// ---------------------------------------------------------------------- what a service joins

absl::StatusOr<v1::NetworkAttachmentConfig> ParseAttachment(std::string_view text) {
  constexpr std::string_view kExample = "name=front,alias=db";
  v1::NetworkAttachmentConfig attachment;
  if (text.find('=') == std::string_view::npos) {
    if (text.empty() || text.find(',') != std::string_view::npos) {
      return absl::InvalidArgumentError(
          StrCat("must be a network's name, or with aliases ", kExample));
    }
    attachment.set_target(std::string(text));
    return attachment;
  }
  ASSIGN_OR_RETURN(const auto fields, SplitFields(text, kExample));
  for (const auto& [key, value] : fields) {
    if (key == "name") {
      attachment.set_target(value);
    } else if (key == "alias" && !value.empty()) {
      attachment.add_aliases(value);
    } else if (key == "driver-opt") {
      const size_t equals = value.find('=');
      (*attachment.mutable_driver_options())[value.substr(0, equals)] =
          equals == std::string::npos ? "" : value.substr(equals + 1);
    } else {
      return absl::InvalidArgumentError(
          StrCat("\"", key, key == "alias" ? "=\" is empty" : "\" is not name, alias or driver-opt",
                 "; write it as ", kExample));
    }
  }
  if (attachment.target().empty()) {
    return absl::InvalidArgumentError(
        StrCat("name=, the network, is missing; write it as ", kExample));
  }
  return attachment;
}

// -------------------------------------------------------------------------------------- names

absl::StatusOr<std::string> ParseAddress(std::string_view text) {
  if (text.size() > 2 && text.front() == '[' && text.back() == ']') {
    text = text.substr(1, text.size() - 2);
  }
  const absl::StatusOr<IpAddress> address = IpAddress::Parse(text);
  if (address.ok()) return address->ToString();
  return absl::InvalidArgumentError(
      StrCat("\"", text, "\" is no address, such as 10.0.0.9 or fd00::9"));
}

absl::StatusOr<std::string> ParseDnsWord(std::string_view text) {
  if (!text.empty() && text.find_first_of(" \t\n#;") == std::string_view::npos) {
    return std::string(text);
  }
  return absl::InvalidArgumentError(
      StrCat("\"", text, "\" must be one word, such as timeout:3 or example.org"));
}

absl::StatusOr<std::string> MakeHost(std::string_view name, std::string_view address) {
  const bool fine = !name.empty() && name.find_first_of(" \t#") == std::string_view::npos;
  if (!fine) {
    return absl::InvalidArgumentError(StrCat("\"", name, "\" is no host name"));
  }
  if (address == "host-gateway") {
    return absl::InvalidArgumentError(
        "host-gateway is not known here, since it differs from node to node; give an address");
  }
  ASSIGN_OR_RETURN(const std::string parsed, ParseAddress(address));
  return StrCat(parsed, " ", name);
}

absl::StatusOr<std::string> ParseHost(std::string_view text) {
  const size_t end = text.find_first_of(":=");
  if (end == std::string_view::npos || end == 0 || end + 1 == text.size()) {
    return absl::InvalidArgumentError("must be NAME:ADDRESS, such as db:10.0.0.9");
  }
  return MakeHost(text.substr(0, end), text.substr(end + 1));
}

// ---------------------------------------------------------------------- addresses of a network

namespace {

// A subnet given with bits after the prefix is a mistake more often than meant.
absl::StatusOr<IpPrefix> ParseExact(std::string_view text) {
  const size_t slash = text.find('/');
  const absl::StatusOr<IpPrefix> prefix = IpPrefix::Parse(text);
  if (slash == std::string_view::npos || !prefix.ok()) {
    return absl::InvalidArgumentError(
        StrCat("\"", text, "\" is no prefix, such as 10.0.1.0/24 or fd00:1::/64"));
  }
  const absl::StatusOr<IpAddress> base = IpAddress::Parse(text.substr(0, slash));
  if (base.ok() && *base == prefix->base) return prefix;
  return absl::InvalidArgumentError(StrCat("has bits after its first ", prefix->length,
                                           "; did you mean ", prefix->ToString(), "?"));
}

bool IsFamilyOf(const IpPrefix& prefix, const v1::IpamConfig& config) {
  const absl::StatusOr<IpPrefix> subnet = IpPrefix::Parse(config.subnet());
  return subnet.ok() && subnet->base.family == prefix.base.family;
}

}  // namespace

absl::Status IpamWriter::AddSubnet(std::string_view text) {
  ASSIGN_OR_RETURN(const IpPrefix subnet, ParseExact(text));
  for (const v1::IpamConfig& config : spec_.ipam()) {
    if (!IsFamilyOf(subnet, config)) continue;
    return absl::InvalidArgumentError(
        StrCat("a network has one subnet of IPv4 and one of IPv6, and ", config.subnet(),
               " is there already"));
  }
  spec_.add_ipam()->set_subnet(subnet.ToString());
  return absl::OkStatus();
}

absl::StatusOr<v1::IpamConfig*> IpamWriter::Holding(const IpPrefix& part) {
  std::string subnets;
  for (v1::IpamConfig& config : *spec_.mutable_ipam()) {
    const absl::StatusOr<IpPrefix> subnet = IpPrefix::Parse(config.subnet());
    const bool holds = subnet.ok() && subnet->base.family == part.base.family &&
                       subnet->length <= part.length && subnet->Contains(part.base);
    if (holds) return &config;
    StrAppend(&subnets, subnets.empty() ? "" : " and ", config.subnet());
  }
  if (subnets.empty()) {
    return absl::InvalidArgumentError("needs the subnet that it lies in, such as 10.0.1.0/24");
  }
  return absl::InvalidArgumentError(StrCat("does not lie in the subnet ", subnets));
}

absl::Status IpamWriter::AddRange(std::string_view text) {
  ASSIGN_OR_RETURN(const IpPrefix range, ParseExact(text));
  ASSIGN_OR_RETURN(v1::IpamConfig * config, Holding(range));
  if (!config->ip_range().empty()) {
    return absl::InvalidArgumentError(
        StrCat("the subnet ", config->subnet(), " has the range ", config->ip_range(), " already"));
  }
  config->set_ip_range(range.ToString());
  return absl::OkStatus();
}

absl::Status IpamWriter::AddGateway(std::string_view text) {
  ASSIGN_OR_RETURN(const std::string address, ParseAddress(text));
  ASSIGN_OR_RETURN(const IpPrefix one, IpPrefix::Parse(address));
  ASSIGN_OR_RETURN(v1::IpamConfig * config, Holding(one));
  if (!config->gateway().empty()) {
    return absl::InvalidArgumentError(StrCat("the subnet ", config->subnet(), " has the gateway ",
                                             config->gateway(), " already"));
  }
  config->set_gateway(address);
  return absl::OkStatus();
}

absl::Status IpamWriter::AddAuxiliary(const std::string& name, std::string_view text) {
  ASSIGN_OR_RETURN(const std::string address, ParseAddress(text));
  ASSIGN_OR_RETURN(const IpPrefix one, IpPrefix::Parse(address));
  ASSIGN_OR_RETURN(v1::IpamConfig * config, Holding(one));
  (*config->mutable_aux_addresses())[name] = address;
  return absl::OkStatus();
}

bool HasSubnetV6(const v1::NetworkSpec& spec) {
  return std::any_of(spec.ipam().begin(), spec.ipam().end(), [](const v1::IpamConfig& config) {
    const absl::StatusOr<IpPrefix> subnet = IpPrefix::Parse(config.subnet());
    return subnet.ok() && subnet->base.is_v6();
  });
}

}  // namespace swarm::cli::compose
