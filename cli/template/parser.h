// The parser of templates: tokens to a tree. Pure.
#ifndef SWARM_CLI_TEMPLATE_PARSER_H_
#define SWARM_CLI_TEMPLATE_PARSER_H_

#include <string_view>

#include "absl/status/statusor.h"
#include "cli/template/tree.h"

namespace swarm::cli {

absl::StatusOr<tree::List> ParseTemplate(std::string_view text, size_t offset);

}  // namespace swarm::cli

#endif  // SWARM_CLI_TEMPLATE_PARSER_H_
