#include "examined.hpp"
#include "record.hpp"

#include <string>
#include <support/catch.hpp>
#include <vector>

// Every candidate that is proposed for some simulated bugs, those that the search would not come to
// among them. The reports of all bugs are recorded where they are made, in diagnose_test.cpp.

using namespace mla_scale;
using namespace simulator;

namespace {

struct Recorded {
  std::string bug;
  Settings settings;
};

Settings with_prefix() {
  Settings settings;
  settings.prefix = 24;
  return settings;
}

Settings without_lse() {
  Settings settings;
  settings.lse = false;
  return settings;
}

Settings rounding_logits() {
  Settings settings;
  settings.round_logits = true;
  return settings;
}

std::vector<Recorded> recorded() {
  return {{"healthy", {}},
          {"noise:late", with_prefix()},
          {"scale.other", rounding_logits()},
          {"scale.mscale_wrong_key", without_lse()},
          {"scale.other:context", with_prefix()},
          {"rope.magnitude", {}},
          {"rope.interleave_swapped", without_lse()},
          {"rope.positions_shifted:restart", with_prefix()},
          {"merge.average", {}},
          {"merge.base2", without_lse()},
          {"mask.window", {}},
          {"pages.missing", {}},
          {"pages.duplicated:twice", without_lse()},
          {"softmax.sink", {}},
          {"softmax.padding_lanes", without_lse()},
          {"temperature.by_position:line", {}},
          {"value.gain:heads", {}},
          {"value.head_permuted", without_lse()},
          {"value.split_swapped", {}},
          {"latent.gain", {}},
          {"output.stride", {}},
          {"scale.latent_width+lse.base2", {}},
          {"lse.max_export", {}},
          {"lse.multiple", {}}};
}

std::vector<std::string> candidates_of(const Examined& examined) {
  auto proposers = diagnose::linear_proposers(examined.context);
  proposers.insert(proposers.end(),
                   {diagnose::propose_masks, diagnose::propose_phases, diagnose::propose_merges,
                    diagnose::propose_pages, diagnose::propose_extra_mass,
                    diagnose::propose_temperature, diagnose::propose_values, diagnose::propose_rope,
                    diagnose::propose_output});
  std::vector<std::string> lines;
  for (const auto& one :
       diagnose::explain_each(examined.context, diagnose::gather(examined.context, proposers, 1),
                              examined.context.rows)) {
    lines.push_back(words_of(one));
  }
  return lines;
}

} // namespace

TEST_CASE("candidates are those, and weigh as much, as when someone last read them") {
  for (const auto& [bug, settings] : recorded()) {
    check_record("candidates", bug, candidates_of(Examined(simulate(settings, bug))));
  }
}
