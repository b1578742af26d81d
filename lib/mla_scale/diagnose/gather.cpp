#include <mla_scale/core/parallel.hpp>
#include <mla_scale/diagnose/candidate.hpp>

#include <algorithm>
#include <iterator>
#include <thread>
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
  std::size_t keys = 1;
  for (const Row& row : context.sample.rows) {
    keys = std::max(keys, row.keys);
  }
  const std::size_t bytes_of_one =
      rows_with_values(context.sample, k_most_scans) * keys * context.sample.width * sizeof(double);
  const std::size_t fitting = k_bytes / std::max<std::size_t>(1, bytes_of_one);
  const unsigned all = context.threads() != 0 ? context.threads()
                                              : std::max(1U, std::thread::hardware_concurrency());
  return static_cast<unsigned>(std::clamp<std::size_t>(fitting, 1, all));
}

} // namespace mla_scale::diagnose
