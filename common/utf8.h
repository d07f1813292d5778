// What a program or a file name says may be any bytes; protobuf's strings are UTF-8, and a message
// with others does not arrive.
#ifndef SWARM_COMMON_UTF8_H_
#define SWARM_COMMON_UTF8_H_

#include <string>
#include <string_view>

namespace swarm {

// Each byte that is part of no character (an overlong one, a surrogate and a cut one are none) is
// U+FFFD.
std::string ToUtf8(std::string_view bytes);

}  // namespace swarm

#endif  // SWARM_COMMON_UTF8_H_
