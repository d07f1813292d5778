#include "agent/network/forward_chains.h"

#include "gmock/gmock.h"

namespace swarm::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kAccepts[] = R"(iifname "swarm0" counter accept comment "swarm: containers")";

std::string Filter(const std::string& policy, const std::string& rules) {
  return "table ip filter { # handle 1\n\tchain FORWARD { # handle 1\n\t\ttype filter hook forward "
         "priority 0; policy " +
         policy + ";\n" + rules +
         "\t}\n\n\tchain DOCKER-USER { # handle 2\n\t\tcounter return # handle 6\n\t}\n" +
         "\tchain refuse { # handle 3\n\t\tcounter log prefix \"x drop\" # handle 20\n\t\tcounter "
         "reject # handle 21\n\t}\n}\n";
}

TEST(ForwardChainsTest, TablesAtTheForwardHookAreThoseOfIpThatAreNotOurs) {
  EXPECT_THAT(
      TablesAtForward(
          "table ip filter {\n\tchain FORWARD {\n\t\ttype filter hook forward priority 0; policy "
          "drop;\n\t}\n}\ntable inet swarm {\n\tchain a {\n\t\ttype filter hook forward "
          "priority 0; policy accept;\n\t}\n}\ntable bridge b {\n\tchain a {\n\t\ttype "
          "filter hook forward priority 0; policy drop;\n\t}\n}\ntable ip nat {\n\tchain "
          "o {\n\t\ttype nat hook output priority -100; policy accept;\n\t}\n}\ntable "
          "inet firewalld { # handle 3\n\tchain filter_FORWARD {\n\t\ttype filter hook "
          "forward priority 10; policy accept;\n\t}\n}\n"),
      ElementsAre("inet firewalld", "ip filter"));
}

TEST(ForwardChainsTest, AChainThatLetsAllThroughIsLeftAlone) {
  const ForwardPlan plan = PlanForward(
      "ip filter", Filter("accept", "\t\tcounter jump DOCKER-USER # handle 5\n"), "swarm0");
  EXPECT_EQ(plan.commands, "");
  EXPECT_THAT(plan.obstacles, IsEmpty());
}

TEST(ForwardChainsTest, BeforeAPolicyThatDropsOurRulesAreTheLast) {
  const ForwardPlan plan = PlanForward(
      "ip filter", Filter("drop", "\t\tcounter jump DOCKER-USER # handle 5\n"), "swarm0");
  EXPECT_EQ(plan.commands, std::string("add rule ip filter FORWARD ") + kAccepts +
                               "\nadd rule ip filter FORWARD oifname \"swarm0\" counter accept "
                               "comment \"swarm: containers\"\n");
}

TEST(ForwardChainsTest, WhatIsForbiddenForSomePacketsStaysBeforeOursAndWhatDropsAllBehind) {
  const std::string rules =
      "\t\tiifname \"eth0\" ip saddr { 198.51.100.1,\n\t\t\t 198.51.100.2 } counter drop # handle "
      "5\n\t\tct state invalid counter drop # handle 6\n\t\tcounter jump refuse # handle "
      "7\n\t\tcounter "
      "drop # handle 8\n";
  const ForwardPlan plan = PlanForward("ip filter", Filter("accept", rules), "swarm0");
  EXPECT_THAT(plan.commands,
              HasSubstr(std::string("insert rule ip filter FORWARD handle 7 ") + kAccepts));
}

TEST(ForwardChainsTest, ThereIsNothingToDoWhenTheRulesAreThereWhoeverWroteThem) {
  const std::string rules =
      "\t\tiifname \"swarm0\" accept # handle 9\n\t\toifname \"swarm0\" counter accept comment "
      "\"swarm: containers\" # handle 10\n\t\tcounter jump refuse # handle 11\n";
  EXPECT_EQ(PlanForward("ip filter", Filter("drop", rules), "swarm0").commands, "");
}

TEST(ForwardChainsTest, OursMoveWhenSomethingThatDropsAllWasPutBeforeThem) {
  const std::string rules = std::string("\t\tcounter drop # handle 11\n\t\t") + kAccepts +
                            " # handle 12\n\t\toifname \"swarm0\" counter accept comment \"swarm: "
                            "containers\" # handle 13\n";
  const std::string commands = PlanForward("ip filter", Filter("drop", rules), "swarm0").commands;
  EXPECT_THAT(commands, HasSubstr("delete rule ip filter FORWARD handle 12\n"));
  EXPECT_THAT(commands, HasSubstr("delete rule ip filter FORWARD handle 13\n"));
  EXPECT_THAT(commands, HasSubstr("insert rule ip filter FORWARD handle 11 iifname"));
}

TEST(ForwardChainsTest, OursMoveBehindWhatAnAdministratorForbidsLater) {
  const std::string ours = std::string("\t\t") + kAccepts +
                           " # handle 12\n\t\toifname \"swarm0\" counter accept comment \"swarm: "
                           "containers\" # handle 13\n";
  for (const char* later : {"\t\tip saddr 198.51.100.1 counter drop # handle 14\n",
                            "\t\tcounter jump DOCKER-USER # handle 14\n"}) {
    const std::string commands =
        PlanForward("ip filter", Filter("drop", ours + later), "swarm0").commands;
    EXPECT_THAT(commands, HasSubstr("delete rule ip filter FORWARD handle 12\n"));
    EXPECT_THAT(commands, HasSubstr("delete rule ip filter FORWARD handle 13\n"));
    EXPECT_THAT(commands, HasSubstr(std::string("add rule ip filter FORWARD ") + kAccepts));
    EXPECT_EQ(PlanForward("ip filter", Filter("drop", later + ours), "swarm0").commands, "");
  }
  const std::string allows = "\t\tiifname \"virbr0\" counter accept # handle 14\n";
  EXPECT_EQ(PlanForward("ip filter", Filter("drop", ours + allows), "swarm0").commands, "");
}

TEST(ForwardChainsTest, ARuleThatLetsOnlySomeThroughIsNotEnough) {
  const std::string some =
      "\t\tiifname \"swarm0\" tcp dport 80 accept # handle 9\n"
      "\t\tiifname { \"swarm0\", \"eth0\" } ct state established accept # handle 10\n"
      "\t\toifname \"swarm0\" ip saddr 10.0.0.1 accept # handle 11\n";
  const std::string commands = PlanForward("ip filter", Filter("drop", some), "swarm0").commands;
  EXPECT_THAT(commands, HasSubstr("iifname \"swarm0\" counter accept"));
  EXPECT_THAT(commands, HasSubstr("oifname \"swarm0\" counter accept"));
}

TEST(ForwardChainsTest, CommentsOfChainsAndChainsWithinRulesAreReadAsNftPrintsThem) {
  const std::string listing =
      "table ip filter { # handle 1\n\tchain FORWARD { # handle 1\n\t\tcomment \"mine { "
      "really\"\n\t\ttype filter hook forward priority filter; policy drop;\n\t\tiifname "
      "\"eth0\" jump {\n\t\t\tip saddr 198.51.100.4 drop\n\t\t\taccept\n\t\t} # handle "
      "5\n\t\tcounter drop # handle 6\n\t}\n}\n";
  EXPECT_THAT(PlanForward("ip filter", listing, "swarm0").commands,
              HasSubstr(std::string("insert rule ip filter FORWARD handle 6 ") + kAccepts));
}

TEST(ForwardChainsTest, WhatOnlyBeginsWithOurCommentIsNotOurs) {
  EXPECT_EQ(ForwardRemoval("ip filter",
                           Filter("drop",
                                  "\t\tiifname \"swarm0\" accept comment \"swarm: containers of "
                                  "mine\" # handle 9\n")),
            "");
}

TEST(ForwardChainsTest, AnAdministratorsOwnTableIsNotTouchedAndSaidToDrop) {
  const std::string listing =
      "table inet filter {\n\tchain forward { # handle 1\n\t\ttype filter hook forward priority 0; "
      "policy "
      "drop;\n\t\toifname \"swarm0\" accept # handle 3\n\t}\n}\n";
  const ForwardPlan plan = PlanForward("inet filter", listing, "swarm0");
  EXPECT_EQ(plan.commands, "");
  EXPECT_THAT(
      plan.obstacles,
      ElementsAre(HasSubstr("chain forward of this host's nftables table inet filter drops")));
  EXPECT_THAT(plan.obstacles,
              ElementsAre(HasSubstr("write before its end: iifname \"swarm0\" accept")));
}

TEST(ForwardChainsTest, OnlyOursAreTakenOutAgain) {
  const std::string rules =
      std::string("\t\tiifname \"swarm0\" accept # handle 9\n\t\t") + kAccepts + " # handle 10\n";
  EXPECT_EQ(ForwardRemoval("ip filter", Filter("drop", rules)),
            "delete rule ip filter FORWARD handle 10\n");
}

}  // namespace
}  // namespace swarm::agent
