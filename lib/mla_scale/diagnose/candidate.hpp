#pragma once

#include <mla_scale/diagnose/expectation.hpp>
#include <mla_scale/diagnose/mechanism.hpp>
#include <mla_scale/diagnose/report.hpp>
#include <mla_scale/diagnose/score.hpp>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace mla_scale::diagnose {

/// Of a factor: less is no change that anyone made.
inline constexpr double k_smallest_change = 3e-5;
/// Another lse that a broken kernel may have returned beside the same out.
struct LseAlternative {
  std::string text; ///< "lse is right", "lse of the suffix alone"
  std::function<double(const Row&)> lse;
};

/// An identifier with its numbers: one part of an explanation.
struct Part {
  std::string id;
  std::vector<Parameter> parameters;
  std::string evidence;
};

/// A hypothesis made concrete: it predicts out and lse of every row.
struct Candidate {
  std::vector<Part> parts; ///< one; two for a composition; none: the expectation
  Mechanism mechanism;     ///< how it predicts,
  RowPredictor direct;     ///< unless this is set
  double cost = 0.0;       ///< subtracted from the log-likelihood: free numbers
  /// Smallest relative change that it makes, when that may be small. Rounded logits bias a fit by
  /// some 1e-3: below that a change is no finding in a kernel that rounds them.
  double effect = 1.0;
  /// A closed form near a fitted number: relative distance of the two, and the fit's error.
  double distance = 0.0;
  double distance_error = 0.0;
  std::vector<LseAlternative> lse; ///< besides its own
  bool few_rows = false;           ///< predicts only some rows, by a way that costs much
  /// When set: the mechanism is ready for the probe rows only, and this makes it ready for all.
  std::function<void(Candidate&)> complete;
};

/// What the proposers of candidates read.
struct Context {
  const reference::Problem& problem;
  const tensor::Capture& capture;
  const Expectation& expectation;
  const Sample& sample;
  const Predictor& predictor;
  std::vector<std::size_t> rows;  ///< rows to explain
  std::vector<std::size_t> probe; ///< a few of them, for scans
  std::vector<std::size_t> fit;   ///< for fits: every other one; the rest is held out
  Mechanism reference;            ///< what attention should be
  double scale_bias = 0.0;        ///< Options::scale_bias

  [[nodiscard]] unsigned threads() const { return static_cast<unsigned>(problem.threads); }
};

/// Log-likelihood that one free real number costs.
constexpr double k_cost_of_number = 6.0;
/// That an integer chosen by a scan costs.
constexpr double k_cost_of_scan = 5.0;

/// Keys of all heads together, of the shortest rows looked at, up to which the values of every head
/// are compared: each head's values are read whole.
constexpr std::int64_t k_most_keys_of_heads = std::int64_t{2} << 20;

// The families. Each appends what could explain the rows of the context. They change nothing else:
// several run at a time.
void propose_masks(const Context& context, std::vector<Candidate>& candidates);
void propose_phases(const Context& context, std::vector<Candidate>& candidates);
void propose_merges(const Context& context, std::vector<Candidate>& candidates);
void propose_pages(const Context& context, std::vector<Candidate>& candidates);
void propose_extra_mass(const Context& context, std::vector<Candidate>& candidates);
void propose_temperature(const Context& context, std::vector<Candidate>& candidates);
void propose_values(const Context& context, std::vector<Candidate>& candidates);
void propose_rope(const Context& context, std::vector<Candidate>& candidates);
void propose_output(const Context& context, std::vector<Candidate>& candidates);

using Proposer = std::function<void(const Context&, std::vector<Candidate>&)>;

/// Those of scale, magnitude of the rope part, value and latent gain.
[[nodiscard]] std::vector<Proposer> linear_proposers(const Context& context);

/// What the proposers append, one after the other; they run on so many threads.
[[nodiscard]] std::vector<Candidate>
gather(const Context& context, const std::vector<Proposer>& proposers, unsigned threads);

/// Those of the problem's threads on which proposers other than the linear ones run: so many that
/// the prefix_scans() that each holds take 256 MiB together, or one.
[[nodiscard]] unsigned threads_for_scans(const Context& context);

/// Threads for the loops inside each of those proposers: so many that none of the problem's idles
/// where memory lets few proposers run at a time.
[[nodiscard]] unsigned threads_of_proposer(const Context& context);

} // namespace mla_scale::diagnose
