#include "simulator.hpp"

#include "kernel.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <random>
#include <stdexcept>

namespace simulator {

using namespace mla_scale;

double scale_of(const Settings& s, const std::string& id) {
  const auto inverse_root = [](std::int64_t width) {
    return 1.0 / std::sqrt(static_cast<double>(width));
  };
  const double g = s.mscale;
  const double base = inverse_root(s.nope + s.rope);
  if (id == "scale.squared:plain")
    return base * base;
  if (id == "scale.squared:mscale")
    return base * base * g * g;
  if (id.ends_with(":mscale"))
    return scale_of(s, id.substr(0, id.find(':'))) * g * g;
  if (id == "scale.latent_width")
    return inverse_root(s.latent + s.rope);
  if (id == "scale.latent_width_mscale")
    return inverse_root(s.latent + s.rope) * g * g;
  if (id == "scale.kv_lora_width")
    return inverse_root(s.latent);
  if (id == "scale.nope_width")
    return inverse_root(s.nope) * g * g;
  if (id == "scale.nope_width_plain")
    return inverse_root(s.nope);
  if (id == "scale.v_width")
    return inverse_root(s.value);
  if (id == "scale.rope_width")
    return inverse_root(s.rope);
  if (id == "scale.padded_width")
    return inverse_root(64);
  if (id == "scale.mscale_omitted")
    return base;
  if (id == "scale.mscale_once")
    return base * g;
  if (id == "scale.mscale_twice")
    return base * g * g * g * g;
  if (id == "scale.mscale_inverse")
    return base / (g * g);
  if (id == "scale.mscale_wrong_key")
    return base * s.mscale_other_key * s.mscale_other_key;
  if (id == "scale.log2e_missing")
    return base * g * g * 0.69314718055994531;
  if (id == "scale.log2e_twice")
    return base * g * g * 1.4426950408889634;
  if (id == "scale.unit")
    return 1.0;
  if (id == "scale.squared")
    return base * g * g * base * g * g;
  if (id == "scale.other")
    return base * g * g * 1.07;
  throw std::invalid_argument(id);
}

void swap_heads(Array& array) {
  const Array from = array;
  for (std::size_t a = 0; a < array.first; ++a) {
    for (std::size_t h = 0; h < array.second; ++h) {
      for (std::size_t c = 0; c < array.third; ++c) {
        array.at(a, h, c) = from.at(a, (h + 1) % array.second, c);
      }
    }
  }
}

namespace {

tensor::View3 view(const Array& array, tensor::Dtype dtype, const std::string& name) {
  // Every value was rounded to the dtype before: float32 holds it, and says nothing of bf16. The
  // reader of a capture sees the dtype by the values.
  auto bytes = std::make_shared<std::vector<float>>(array.data.begin(), array.data.end());
  auto tensor = std::make_shared<tensor::Tensor>();
  tensor->name = name;
  tensor->dtype = tensor::Dtype::f32;
  const auto a = static_cast<std::int64_t>(array.first);
  const auto b = static_cast<std::int64_t>(array.second);
  const auto c = static_cast<std::int64_t>(array.third);
  tensor->shape = {a, b, c};
  tensor->strides = {b * c, c, 1};
  tensor->data = reinterpret_cast<const std::byte*>(bytes->data());
  tensor->owner = bytes;
  (void)dtype;
  tensor::View3 result;
  result.tensor = tensor;
  result.tokens = a;
  result.heads = b;
  result.width = c;
  result.token_stride = b * c;
  result.head_stride = c;
  result.width_stride = 1;
  return result;
}

/// One identifier applied to a kernel; most set it up, some change what it returned.
void apply(Kernel& kernel, const std::string& bug, After& after) {
  const auto& s = kernel.settings();
  const auto& in = kernel.inputs();
  const auto prefix = static_cast<std::int64_t>(kernel.prefix());
  const std::size_t boundary = prefix > 0 ? kernel.prefix() : 17;
  const auto for_rope_columns = [&](Array& array, double factor) {
    for (std::size_t a = 0; a < array.first; ++a) {
      for (std::size_t h = 0; h < array.second; ++h) {
        for (std::size_t c = kernel.nope(); c < array.third; ++c) {
          array.at(a, h, c) = round_to(s.dtype, array.at(a, h, c) * factor);
        }
      }
    }
  };
  const auto for_nope_columns = [&](Array& array, double factor) {
    for (std::size_t a = 0; a < array.first; ++a) {
      for (std::size_t h = 0; h < array.second; ++h) {
        for (std::size_t c = 0; c < kernel.nope(); ++c) {
          array.at(a, h, c) *= factor;
        }
      }
    }
  };
  const auto set_merge = [&](double slope) {
    after = [&kernel, boundary, slope](Output& output) {
      output = kernel.merged({boundary}, slope);
    };
  };
  const auto rotate = [&](const Turn& turning) {
    kernel.rotate_queries(turning);
    kernel.rotate_keys(turning);
  };
  if (bug == "healthy" || apply_variant(kernel, bug, after)) {
    return;
  }
  if (bug.starts_with("scale.other:")) {
    kernel.scale *= std::stod(bug.substr(bug.find(':') + 1));
  } else if (bug.starts_with("scale.")) {
    kernel.scale = scale_of(s, bug);
  } else if (bug == "rope.magnitude") {
    for_rope_columns(kernel.q, s.mscale);
    for_rope_columns(kernel.k, s.mscale);
  } else if (bug == "rope.dropped") {
    for_rope_columns(kernel.q, 0.0);
  } else if (bug == "rope.nope_dropped") {
    for_nope_columns(kernel.q, 0.0);
  } else if (bug == "rope.interleave_swapped") {
    rotate({!s.interleaved, in.frequencies});
  } else if (bug == "rope.frequencies_plain") {
    rotate({s.interleaved, in.plain});
  } else if (bug == "rope.not_applied") {
    rotate({s.interleaved, {}});
  } else if (bug == "rope.positions_shifted") {
    kernel.rotate_queries({s.interleaved, in.frequencies,
                           [](std::size_t at) { return static_cast<double>(at + 1); }});
  } else if (bug == "lse.base2") {
    after = [](Output& output) {
      for (double& x : output.lse.data) {
        x /= std::log(2.0);
      }
    };
  } else if (bug == "lse.transposed") {
    // Written as [H, T], read as [T, H].
    after = [&kernel](Output& output) {
      const auto right = output.lse;
      for (std::size_t at = 0; at < right.data.size(); ++at) {
        output.lse.data[at] = right.at(at % kernel.queries(), at / kernel.queries(), 0);
      }
    };
  } else if (bug == "lse.max_export") {
    after = [&kernel](Output& output) {
      for (std::size_t at = 0; at < output.lse.data.size(); ++at) {
        const double top = kernel.maximum.data[at];
        output.lse.data[at] += top * kernel.base / kernel.scale - top;
      }
    };
  } else if (bug == "merge.base2") {
    set_merge(1.4426950408889634);
  } else if (bug == "merge.base_e") {
    set_merge(0.69314718055994531);
  } else if (bug == "merge.average") {
    set_merge(0.0);
  } else if (bug == "merge.context_dropped") {
    kernel.mask([prefix](std::int64_t i, std::int64_t j) { return j >= prefix && j <= i; });
  } else if (bug == "mask.none") {
    kernel.mask([](std::int64_t, std::int64_t) { return true; });
  } else if (bug == "mask.top_left") {
    kernel.mask([prefix](std::int64_t i, std::int64_t j) { return j <= i - prefix; });
  } else if (bug == "mask.off_by_one_long") {
    kernel.mask([](std::int64_t i, std::int64_t j) { return j <= i + 1; });
  } else if (bug == "mask.off_by_one_short") {
    kernel.mask([](std::int64_t i, std::int64_t j) { return j < i; });
  } else if (bug == "mask.window") {
    kernel.mask([](std::int64_t i, std::int64_t j) { return j <= i && j > i - 13; });
  } else if (bug == "pages.missing") {
    kernel.mask([](std::int64_t i, std::int64_t j) { return j <= i && (j < 8 || j >= 16); });
  } else if (bug == "pages.duplicated") {
    for (std::size_t j = 8; j < 16; ++j) {
      for (std::size_t h = 0; h < kernel.heads(); ++h) {
        for (std::size_t c = 0; c < kernel.k.third; ++c) {
          kernel.k.at(j, h, c) = kernel.k.at(j + 16, h, c);
        }
        for (std::size_t c = 0; c < kernel.value(); ++c) {
          kernel.v.at(j, h, c) = kernel.v.at(j + 16, h, c);
        }
      }
    }
  } else if (bug == "softmax.sink") {
    after = [&kernel](Output& output) {
      for (std::size_t i = 0; i < kernel.queries(); ++i) {
        for (std::size_t h = 0; h < kernel.heads(); ++h) {
          const double sink = 1.3 + 0.4 * static_cast<double>(h);
          const double kept = 1.0 / (1.0 + std::exp(sink - output.lse.at(i, h, 0)));
          for (std::size_t c = 0; c < kernel.value(); ++c) {
            output.out.at(i, h, c) =
                round_to(kernel.settings().dtype, output.out.at(i, h, c) * kept);
          }
        }
      }
    };
  } else if (bug == "softmax.padding_lanes") {
    kernel.lanes = [](std::size_t) { return 17.0; };
  } else if (bug == "temperature.by_position") {
    const double right = kernel.scale;
    kernel.row_scale = [=](std::size_t i, std::size_t) {
      const double position = static_cast<double>(i) + static_cast<double>(prefix);
      return right * (1.0 + 0.1 * std::log(1.0 + std::floor(position / 16.0)));
    };
  } else if (bug == "value.gain") {
    for (double& x : kernel.v.data) {
      x *= 0.5;
    }
  } else if (bug == "value.head_permuted") {
    swap_heads(kernel.v);
  } else if (bug == "value.split_swapped") {
    // kv_b_proj gives [nope | v] of each head; split as [v | nope].
    for (std::size_t j = 0; j < kernel.keys(); ++j) {
      for (std::size_t h = 0; h < kernel.heads(); ++h) {
        std::vector<double> both;
        for (std::size_t c = 0; c < kernel.nope(); ++c) {
          both.push_back(in.k_nope.at(j, h, c));
        }
        for (std::size_t c = 0; c < kernel.value(); ++c) {
          both.push_back(in.v.at(j, h, c));
        }
        for (std::size_t c = 0; c < kernel.value(); ++c) {
          kernel.v.at(j, h, c) = both[c];
        }
        for (std::size_t c = 0; c < kernel.nope(); ++c) {
          kernel.k.at(j, h, c) = both[kernel.value() + c];
        }
      }
    }
  } else if (bug == "latent.gain") {
    for_nope_columns(kernel.k, 1.5); // Where no fit begins.
    for (double& x : kernel.v.data) {
      x *= 1.5;
    }
  } else if (bug == "output.stride") {
    // Written as rows of nope + rope with zeros at the end, read as rows of v_head_dim.
    after = [&kernel](Output& output) {
      const std::size_t wide = kernel.nope() + kernel.rope();
      std::vector<double> memory(kernel.queries() * kernel.heads() * wide, 0.0);
      for (std::size_t row = 0; row < kernel.queries() * kernel.heads(); ++row) {
        for (std::size_t c = 0; c < kernel.value(); ++c) {
          memory[row * wide + c] = output.out.data[row * kernel.value() + c];
        }
      }
      std::copy_n(memory.begin(), output.out.data.size(), output.out.data.begin());
    };
  } else if (bug == "tail.uninitialised") {
    after = [&kernel](Output& output) {
      std::mt19937 random(7);
      std::normal_distribution<double> normal;
      const std::size_t each = kernel.heads() * kernel.value();
      for (std::size_t at = (kernel.queries() - 5) * each; at < output.out.data.size(); ++at) {
        output.out.data[at] = round_to(kernel.settings().dtype, normal(random));
      }
    };
  } else if (bug == "output.nan") {
    after = [](Output& output) {
      output.out.at(11, 1, 3) = std::numeric_limits<double>::quiet_NaN();
    };
  } else {
    throw std::invalid_argument(bug);
  }
}

} // namespace

Simulation simulate(const Settings& s, const std::string& bug) {
  std::mt19937 random(s.seed);
  std::normal_distribution<double> normal;
  const auto count = [](std::int64_t value) { return static_cast<std::size_t>(value); };
  const auto draw = [&](std::size_t a, std::size_t b, std::size_t c, double deviation) {
    Array array(a, b, c);
    for (double& x : array.data) {
      x = round_to(s.dtype, deviation * normal(random));
    }
    return array;
  };
  Inputs inputs;
  const auto keys = count(s.queries + s.prefix);
  inputs.q_pre = draw(count(s.queries), count(s.heads), count(s.nope + s.rope), s.spread);
  inputs.k_nope = draw(keys, count(s.heads), count(s.nope), 1.0);
  inputs.k_pe_pre = draw(keys, 1, count(s.rope), 1.0);
  inputs.v = draw(keys, count(s.heads), count(s.value), 1.0);
  for (std::int64_t pair = 0; pair < s.rope / 2; ++pair) {
    const double plain =
        std::pow(10000.0, -2.0 * static_cast<double>(pair) / static_cast<double>(s.rope));
    inputs.plain.push_back(plain);
    inputs.frequencies.push_back(pair >= 1 ? plain / 8.0 : plain);
  }
  Kernel right(s, inputs);
  Kernel kernel(s, inputs);
  kernel.maximum = Array(count(s.queries), count(s.heads), 1);
  std::vector<std::function<void(Output&)>> after;
  for (std::size_t begin = 0; begin <= bug.size();) {
    const auto end = std::min(bug.find('+', begin), bug.size());
    std::function<void(Output&)> step;
    apply(kernel, bug.substr(begin, end - begin), step);
    if (step) {
      after.push_back(step);
    }
    begin = end + 1;
  }
  auto output = kernel.attend();
  for (const auto& step : after) {
    step(output);
  }
  Simulation result;
  auto& capture = result.capture;
  capture.level = "expanded";
  capture.layout = "[T,H,D]";
  const Kernel& captured = s.bug_upstream ? kernel : right;
  capture.q = view(captured.q, s.dtype, "q");
  capture.k = view(captured.k, s.dtype, "k");
  capture.v = view(right.v, s.dtype, "v");
  capture.out = view(output.out, s.dtype, "out");
  if (s.lse) {
    capture.lse = view(output.lse, tensor::Dtype::f32, "lse");
  }
  for (std::int64_t key = 0; s.before_rope && key < s.queries + s.prefix; ++key) {
    capture.positions_k.push_back(s.first_position + key);
    if (key >= s.prefix) {
      capture.positions_q.push_back(s.first_position + key);
    }
  }
  if (s.before_rope) {
    capture.q_pre = view(inputs.q_pre, s.dtype, "q_pre");
    capture.k_pe_pre = view(inputs.k_pe_pre, s.dtype, "k_pe_pre");
  }
  capture.sequences = {{0, s.queries, 0, s.queries + s.prefix}};
  capture.heads = s.heads;
  capture.query_rows = s.queries;
  capture.key_rows = s.queries + s.prefix;
  auto& e = result.expectation;
  e.geometry = {s.heads, s.latent, s.nope, s.rope, s.value};
  e.softmax_scale = right.scale;
  e.base = right.base;
  e.mscale = s.mscale;
  e.mscale_other_key = s.mscale_other_key;
  e.rotary = {inputs.frequencies, inputs.plain, s.interleaved, 1.0};
  result.injected_scale = bug.starts_with("scale.") ? kernel.scale : 0.0;
  return result;
}

std::vector<std::string> bugs(const Settings& settings) {
  std::vector<std::string> all = {"scale.latent_width",
                                  "scale.latent_width_mscale",
                                  "scale.kv_lora_width",
                                  "scale.kv_lora_width:mscale",
                                  "scale.nope_width",
                                  "scale.nope_width_plain",
                                  "scale.v_width",
                                  "scale.v_width:mscale",
                                  "scale.rope_width",
                                  "scale.rope_width:mscale",
                                  "scale.padded_width",
                                  "scale.padded_width:mscale",
                                  "scale.mscale_omitted",
                                  "scale.mscale_once",
                                  "scale.mscale_twice",
                                  "scale.mscale_inverse",
                                  "scale.mscale_wrong_key",
                                  "scale.log2e_missing",
                                  "scale.log2e_twice",
                                  "scale.unit",
                                  "scale.squared",
                                  "scale.squared:mscale",
                                  "scale.squared:plain",
                                  "scale.other",
                                  "scale.latent_width:rows",
                                  "rope.magnitude",
                                  "rope.dropped",
                                  "rope.nope_dropped",
                                  "merge.base2",
                                  "merge.base_e",
                                  "merge.average",
                                  "merge.average:chunks",
                                  "merge.context_dropped:boundary",
                                  "mask.none",
                                  "mask.off_by_one_long",
                                  "mask.off_by_one_long:more",
                                  "mask.off_by_one_short",
                                  "mask.window",
                                  "pages.missing",
                                  "pages.missing:zeros",
                                  "pages.duplicated",
                                  "pages.duplicated:shifted",
                                  "pages.duplicated:twice",
                                  "softmax.sink",
                                  "softmax.sink:common",
                                  "softmax.padding_lanes",
                                  "softmax.padding_lanes:tile",
                                  "softmax.padding_lanes:masked",
                                  "temperature.by_position",
                                  "value.gain",
                                  "value.gain:heads",
                                  "value.head_permuted",
                                  "value.head_permuted:out",
                                  "value.split_swapped",
                                  "value.split_swapped:apart",
                                  "latent.gain",
                                  "latent.gain:keys",
                                  "output.stride",
                                  "output.stride:token",
                                  "output.stride:heads_first",
                                  "output.stride:rows_first",
                                  "tail.uninitialised",
                                  "tail.uninitialised:columns",
                                  "tail.uninitialised:nan",
                                  "tail.uninitialised:zero",
                                  "output.nan",
                                  "output.nan:infinite"};
  const auto add = [&](std::initializer_list<const char*> more) {
    all.insert(all.end(), more.begin(), more.end());
  };
  if (settings.before_rope) {
    add({"rope.interleave_swapped", "rope.frequencies_plain", "rope.not_applied",
         "rope.positions_shifted", "rope.interleave_swapped:q", "rope.interleave_swapped:k",
         "rope.interleave_swapped:mixed", "rope.not_applied:q", "rope.not_applied:k"});
  }
  if (settings.lse) {
    add({"lse.base2", "lse.base2:declared", "lse.transposed", "lse.transposed:rows",
         "lse.max_export", "lse.max_export:sum", "scale.latent_width+lse.base2"});
  }
  if (settings.prefix > 0) {
    add({"merge.context_dropped", "mask.top_left", "scale.latent_width:context",
         "scale.other:context", "scale.other:new_tokens"});
  }
  if (settings.before_rope && settings.prefix > 0) {
    add({"rope.positions_shifted:restart"});
  }
  return all;
}

} // namespace simulator
