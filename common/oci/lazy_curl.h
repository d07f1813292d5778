// Libcurl, loaded when it is first needed (lazy_curl.cc).
#ifndef SWARM_COMMON_OCI_LAZY_CURL_H_
#define SWARM_COMMON_OCI_LAZY_CURL_H_

#include <string>

namespace swarm::oci {

// Why no function of libcurl can be called in this process, in one line; "": all can. Loads it at
// the first call. Any thread.
std::string WhyNoCurl();

}  // namespace swarm::oci

#endif  // SWARM_COMMON_OCI_LAZY_CURL_H_
