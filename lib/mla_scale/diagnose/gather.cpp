#include <mla_scale/core/parallel.hpp>
#include <mla_scale/diagnose/candidate.hpp>

#include <algorithm>
#include <iterator>
#include <utility>

namespace mla_scale::diagnose {

std::vector<Candidate> gather(const Context& context, const std::vector<Proposer>& proposers,
                              unsigned threads) {
  std::vector<std::vector<Candidate>> found(proposers.size());
  parallel_for(proposers.size(), threads,
               [&](std::size_t at) { proposers[at](context, found[at]); });
  std::vector<Candidate> all;
  for (std::vector<Candidate>& some : found) {
    all.insert(all.end(), std::make_move_iterator(some.begin()),
               std::make_move_iterator(some.end()));
  }
  return all;
}

unsigned threads_for_scans(const Context& context) {
  constexpr std::size_t k_bytes = std::size_t{256} << 20;
  constexpr std::size_t k_most_scans = 24; // of one proposer
  const std::size_t bytes_of_one = rows_with_values(context.sample, k_most_scans)
                                   * most_keys(context.sample) * context.sample.width
                                   * sizeof(double);
  return threads_within(k_bytes, bytes_of_one, context.threads());
}

unsigned threads_of_proposer(const Context& context) {
  return std::max(1U, threads_or_all(context.threads()) / threads_for_scans(context));
}

} // namespace mla_scale::diagnose
