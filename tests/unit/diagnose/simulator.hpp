#pragma once

#include <mla_scale/diagnose/expectation.hpp>
#include <mla_scale/tensor/capture.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

/// A kernel in plain loops, and the bugs of the identifiers injected into it: every one by its own
/// formula, from what the identifier means. Shares no code with the diagnosis.
namespace simulator {

struct Settings {
  std::int64_t heads = 3;
  std::int64_t nope = 32;
  std::int64_t rope = 16;
  std::int64_t value = 24;
  std::int64_t latent = 56;
  std::int64_t queries = 48;
  std::int64_t prefix = 0;
  std::int64_t first_position = 0; ///< of the first key
  mla_scale::tensor::Dtype dtype = mla_scale::tensor::Dtype::bf16;
  bool lse = true;
  bool before_rope = true;   ///< q_pre, k_pe_pre and positions in the capture
  bool bug_upstream = false; ///< the captured q and k are those of the kernel, bug and all
  bool interleaved = true;
  bool wide_output = false;  ///< out in float32
  bool round_logits = false; ///< logits rounded to the dtype, as eager code does
  double mscale = 1.37;
  double mscale_other_key = 1.21;
  double spread = 1.0; ///< standard deviation of q
  unsigned seed = 1;
};

struct Simulation {
  mla_scale::tensor::Capture capture;
  mla_scale::diagnose::Expectation expectation;
  double injected_scale = 0.0; ///< 0: the expected one
};

/// `bug` is an identifier of the diagnosis, "healthy", or two identifiers joined by '+'. Variants
/// follow a colon: "pages.duplicated:twice".
Simulation simulate(const Settings& settings, const std::string& bug);

/// Every identifier that a capture of these settings can show, with variants.
std::vector<std::string> bugs(const Settings& settings);

} // namespace simulator
