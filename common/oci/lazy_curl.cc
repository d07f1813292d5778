// The few functions of libcurl that the registry client calls, each loading the library at its
// first call.
//
// libcurl brings 25 libraries (two more TLS stacks, Kerberos, LDAP, SSH) and 3 MB of resident
// memory into a process. Manager and agent ask a registry now and then or never, so they are not
// linked to it: these definitions stand in for the linker's, and forward to the real ones. What
// differs from being linked: a machine without libcurl4 (a package that ours depends on) is noticed
// at the first pull, by WhyNoCurl. Nothing else of this may be called before that said "".
#include <curl/curl.h>
#include <dlfcn.h>

#include <cstdarg>

#include "common/check.h"
#include "common/oci/lazy_curl.h"
#include "common/strings.h"

namespace {

template <typename Function>
Function* Find(void* library, const char* name) {
  void* found = dlsym(library, name);
  CHECK(found != nullptr) << "libcurl.so.4 has no " << name;
  return reinterpret_cast<Function*>(found);
}

struct Curl {
  // RTLD_LOCAL: what libcurl calls inside of itself stays its own.
  void* library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
  decltype(curl_global_init)* global_init =
      Find<decltype(curl_global_init)>(library, "curl_global_init");
  decltype(curl_easy_init)* easy_init = Find<decltype(curl_easy_init)>(library, "curl_easy_init");
  decltype(curl_easy_reset)* easy_reset =
      Find<decltype(curl_easy_reset)>(library, "curl_easy_reset");
  decltype(curl_easy_cleanup)* easy_cleanup =
      Find<decltype(curl_easy_cleanup)>(library, "curl_easy_cleanup");
  decltype(curl_easy_perform)* easy_perform =
      Find<decltype(curl_easy_perform)>(library, "curl_easy_perform");
  decltype(curl_easy_strerror)* easy_strerror =
      Find<decltype(curl_easy_strerror)>(library, "curl_easy_strerror");
  decltype(curl_slist_append)* slist_append =
      Find<decltype(curl_slist_append)>(library, "curl_slist_append");
  decltype(curl_slist_free_all)* slist_free_all =
      Find<decltype(curl_slist_free_all)>(library, "curl_slist_free_all");
  CURLcode (*easy_setopt)(CURL*, CURLoption,
                          ...) = Find<CURLcode(CURL*, CURLoption, ...)>(library,
                                                                        "curl_easy_setopt");
  CURLcode (*easy_getinfo)(CURL*, CURLINFO,
                           ...) = Find<CURLcode(CURL*, CURLINFO, ...)>(library,
                                                                       "curl_easy_getinfo");
};

// Never destroyed: threads may still be in a transfer when the process ends.
Curl& Library() {
  static Curl& curl = *new Curl;
  return curl;
}

}  // namespace

namespace swarm::oci {

std::string WhyNoCurl() {
  static const std::string why = [] {
    // Stays loaded for Library().
    if (dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL) != nullptr) return std::string();
    return StrCat(dlerror(), ": install Debian's libcurl4, then start this daemon again");
  }();
  return why;
}

}  // namespace swarm::oci

// curl's macros of these names check types at the caller; here the functions themselves are meant.
#undef curl_easy_setopt
#undef curl_easy_getinfo

extern "C" {

CURLcode curl_global_init(long flags) { return Library().global_init(flags); }
CURL* curl_easy_init() { return Library().easy_init(); }
void curl_easy_reset(CURL* curl) { Library().easy_reset(curl); }
void curl_easy_cleanup(CURL* curl) { Library().easy_cleanup(curl); }
CURLcode curl_easy_perform(CURL* curl) { return Library().easy_perform(curl); }
const char* curl_easy_strerror(CURLcode code) { return Library().easy_strerror(code); }
curl_slist* curl_slist_append(curl_slist* list, const char* text) {
  return Library().slist_append(list, text);
}
void curl_slist_free_all(curl_slist* list) { Library().slist_free_all(list); }

// One argument follows, always a long, a curl_off_t or a pointer: one 64-bit register on the
// machines that we build for.
static_assert(sizeof(long) == sizeof(void*) && sizeof(curl_off_t) == sizeof(void*));

CURLcode curl_easy_setopt(CURL* curl, CURLoption option, ...) {
  va_list arguments;
  va_start(arguments, option);
  void* value = va_arg(arguments, void*);
  va_end(arguments);
  return Library().easy_setopt(curl, option, value);
}

CURLcode curl_easy_getinfo(CURL* curl, CURLINFO info, ...) {
  va_list arguments;
  va_start(arguments, info);
  void* value = va_arg(arguments, void*);
  va_end(arguments);
  return Library().easy_getinfo(curl, info, value);
}

}  // extern "C"
