#include <mla_scale/core/parallel.hpp>
#include <mla_scale/diagnose/candidate.hpp>

#include <iterator>
#include <utility>

namespace mla_scale::diagnose {

std::vector<Candidate> gather(const Context& context, const std::vector<Proposer>& proposers) {
  std::vector<std::vector<Candidate>> found(proposers.size());
  parallel_for(proposers.size(), context.threads(),
               [&](std::size_t at) { proposers[at](context, found[at]); });
  std::vector<Candidate> all;
  for (std::vector<Candidate>& some : found) {
    all.insert(all.end(), std::make_move_iterator(some.begin()),
               std::make_move_iterator(some.end()));
  }
  return all;
}

} // namespace mla_scale::diagnose
