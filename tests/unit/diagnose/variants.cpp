#include "kernel.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <sstream>
#include <string>
#include <vector>

// The same identifier by another formula: one side only, another tile, another base.

namespace simulator {

namespace {

/// Keys and values of a page, or anywhere, from other keys.
void copy_key(Kernel& kernel, const Kernel& from, std::size_t to, std::size_t source) {
  for (std::size_t h = 0; h < kernel.heads(); ++h) {
    for (std::size_t c = 0; c < kernel.k.third; ++c) {
      kernel.k.at(to, h, c) = from.k.at(source, h, c);
    }
    for (std::size_t c = 0; c < kernel.value(); ++c) {
      kernel.v.at(to, h, c) = from.v.at(source, h, c);
    }
  }
}

/// Where the element [row, head, column] that a reader sees was written; nothing was: zero.
using Place = std::function<double(const Output& written, std::size_t, std::size_t, std::size_t)>;

After read_from(const Place& place) {
  return [place](Output& output) {
    const Output written = output;
    for (std::size_t i = 0; i < written.out.first; ++i) {
      for (std::size_t h = 0; h < written.out.second; ++h) {
        for (std::size_t c = 0; c < written.out.third; ++c) {
          output.out.at(i, h, c) = place(written, i, h, c);
        }
      }
    }
  };
}

void set_scale_of_later_rows(Kernel& kernel, double wrong) {
  kernel.row_scale = [wrong, right = kernel.scale, half = kernel.queries() / 2](
                         std::size_t i, std::size_t) { return i >= half ? wrong : right; };
}

void wrong_scale_of_later_rows(Kernel& kernel, After& /*after*/) {
  set_scale_of_later_rows(kernel, scale_of(kernel.settings(), "scale.latent_width"));
}

/// 22 % off: where logits hardly spread, a single row does not tell.
void other_key_of_later_rows(Kernel& kernel, After& /*after*/) {
  set_scale_of_later_rows(kernel, scale_of(kernel.settings(), "scale.mscale_wrong_key"));
}

void set_scale_of_phase(Kernel& kernel, bool in_context, double wrong) {
  kernel.row_scale = [in_context, wrong, right = kernel.scale,
                      prefix = kernel.prefix()](std::size_t, std::size_t j) {
    return (j < prefix) == in_context ? wrong : right;
  };
}

void wrong_scale_of_context(Kernel& kernel, After& /*after*/) {
  set_scale_of_phase(kernel, true, scale_of(kernel.settings(), "scale.latent_width"));
}

/// Near ln 2, and not ln 2.
void other_scale_of_context(Kernel& kernel, After& /*after*/) {
  set_scale_of_phase(kernel, true, 0.688 * kernel.scale);
}

void other_scale_of_new_tokens(Kernel& kernel, After& /*after*/) {
  set_scale_of_phase(kernel, false, 1.25 * kernel.scale);
}

void nope_of_keys_larger(Kernel& kernel, After& /*after*/) {
  for (std::size_t j = 0; j < kernel.keys(); ++j) {
    for (std::size_t h = 0; h < kernel.heads(); ++h) {
      for (std::size_t c = 0; c < kernel.nope(); ++c) {
        kernel.k.at(j, h, c) *= 1.5; // Where no fit begins.
      }
    }
  }
}

void queries_in_other_pairs(Kernel& kernel, After& /*after*/) {
  kernel.rotate_queries({!kernel.settings().interleaved, kernel.inputs().frequencies});
}

void keys_in_other_pairs(Kernel& kernel, After& /*after*/) {
  kernel.rotate_keys({!kernel.settings().interleaved, kernel.inputs().frequencies});
}

void pairs_with_cosines_of_halves(Kernel& kernel, After& /*after*/) {
  Turn turning{true, kernel.inputs().frequencies};
  turning.mixed = true;
  kernel.rotate_queries(turning);
  kernel.rotate_keys(turning);
}

void queries_not_rotated(Kernel& kernel, After& /*after*/) {
  kernel.rotate_queries({true, {}});
}

void keys_not_rotated(Kernel& kernel, After& /*after*/) {
  kernel.rotate_keys({true, {}});
}

/// New tokens count their positions from 0, behind a prefix that did so as well.
void positions_begin_again(Kernel& kernel, After& /*after*/) {
  Turn turning{kernel.settings().interleaved, kernel.inputs().frequencies};
  turning.position = [prefix = kernel.prefix()](std::size_t at) {
    return static_cast<double>(at >= prefix ? at - prefix : at);
  };
  kernel.rotate_queries(turning);
  kernel.rotate_keys(turning);
}

void shift_queries(Kernel& kernel, double by) {
  kernel.rotate_queries({kernel.settings().interleaved, kernel.inputs().frequencies,
                         [by](std::size_t at) { return static_cast<double>(at) + by; }});
}

void queries_a_page_later(Kernel& kernel, After& /*after*/) {
  shift_queries(kernel, 1024.0);
}

/// Though the sequence begins elsewhere.
void queries_count_from_zero(Kernel& kernel, After& /*after*/) {
  shift_queries(kernel, -static_cast<double>(kernel.settings().first_position));
}

/// Natural, but declared base 2: the reader multiplies by ln 2.
void natural_lse_declared_base2(Kernel& /*kernel*/, After& after) {
  after = [](Output& output) {
    for (double& x : output.lse.data) {
      x *= std::log(2.0);
    }
  };
}

/// Written as [T, H], read as [H, T].
void lse_written_by_rows(Kernel& /*kernel*/, After& after) {
  after = [](Output& output) {
    const auto right = output.lse;
    for (std::size_t i = 0; i < right.first; ++i) {
      for (std::size_t h = 0; h < right.second; ++h) {
        output.lse.at(i, h, 0) = right.data[h * right.first + i];
      }
    }
  };
}

void lse_a_fifth_larger(Kernel& /*kernel*/, After& after) {
  after = [](Output& output) {
    for (double& x : output.lse.data) {
      x *= 1.2;
    }
  };
}

/// The maximum as it is, but the logarithm of the sum to base 2.
void lse_of_two_bases(Kernel& kernel, After& after) {
  after = [&kernel](Output& output) {
    for (std::size_t at = 0; at < output.lse.data.size(); ++at) {
      const double top = kernel.maximum.data[at];
      output.lse.data[at] = top + (output.lse.data[at] - top) / std::log(2.0);
    }
  };
}

/// Chunks of 11 keys of the prefix, or of all keys where there is none.
void chunks_averaged(Kernel& kernel, After& after) {
  const std::size_t end = kernel.prefix() > 0 ? kernel.prefix() : kernel.keys();
  std::vector<std::size_t> boundaries;
  for (std::size_t at = 11; at < end; at += 11) {
    boundaries.push_back(at);
  }
  if (kernel.prefix() > 0) {
    boundaries.push_back(end);
  }
  after = [&kernel, boundaries](Output& output) { output = kernel.merged(boundaries, 0.0); };
}

void first_17_keys_dropped(Kernel& kernel, After& /*after*/) {
  kernel.mask([](std::int64_t i, std::int64_t j) { return j <= i && (i < 17 || j >= 17); });
}

void three_keys_more(Kernel& kernel, After& /*after*/) {
  kernel.mask([](std::int64_t i, std::int64_t j) { return j <= i + 3; });
}

/// A page of 128 keys.
void large_page_missing(Kernel& kernel, After& /*after*/) {
  kernel.mask([](std::int64_t i, std::int64_t j) { return j <= i && (j < 128 || j >= 256); });
}

/// Rows from 24 on see all that they should.
void page_missing_in_early_rows(Kernel& kernel, After& /*after*/) {
  kernel.mask(
      [](std::int64_t i, std::int64_t j) { return j <= i && (i >= 24 || j < 8 || j >= 16); });
}

/// No law that a config has: a line from 1 at position 0 to 1.5 at the last.
void factor_grows_by_a_line(Kernel& kernel, After& /*after*/) {
  kernel.row_scale = [right = kernel.scale, prefix = kernel.prefix(),
                      keys = kernel.keys()](std::size_t i, std::size_t) {
    return right * (1.0 + 0.5 * static_cast<double>(i + prefix) / static_cast<double>(keys - 1));
  };
}

/// Tensor cores read float32 as TF32, which has float16's 10 bits of mantissa.
void inputs_read_as_tf32(Kernel& kernel, After& /*after*/) {
  for (auto* array : {&kernel.q, &kernel.k, &kernel.v}) {
    for (double& x : array->data) {
      x = round_to(mla_scale::tensor::Dtype::f16, x);
    }
  }
}

void page_of_zeros(Kernel& kernel, After& /*after*/) {
  for (std::size_t j = 8; j < 16; ++j) {
    for (std::size_t h = 0; h < kernel.heads(); ++h) {
      for (std::size_t c = 0; c < kernel.k.third; ++c) {
        kernel.k.at(j, h, c) = 0.0;
      }
      for (std::size_t c = 0; c < kernel.value(); ++c) {
        kernel.v.at(j, h, c) = 0.0;
      }
    }
  }
}

void page_counts_twice(Kernel& kernel, After& /*after*/) {
  for (auto& row : kernel.visible) {
    for (std::size_t j = 8; j < 16; ++j) {
      row[j] *= 2.0;
    }
  }
}

/// The page of keys 8..15 stands twice in the block table: all later keys come 8 places late.
void page_repeated(Kernel& kernel, After& /*after*/) {
  const Kernel right = kernel;
  for (std::size_t j = 16; j < kernel.keys(); ++j) {
    copy_key(kernel, right, j, j - 8);
  }
}

void first_page_repeated(Kernel& kernel, After& /*after*/) {
  const Kernel right = kernel;
  for (std::size_t j = 8; j < kernel.keys(); ++j) {
    copy_key(kernel, right, j, j - 8);
  }
}

void sink_of_all_heads(Kernel& kernel, After& after) {
  after = [&kernel](Output& output) {
    for (std::size_t i = 0; i < kernel.queries(); ++i) {
      for (std::size_t h = 0; h < kernel.heads(); ++h) {
        const double kept = 1.0 / (1.0 + std::exp(1.5 - output.lse.at(i, h, 0)));
        for (std::size_t c = 0; c < kernel.value(); ++c) {
          output.out.at(i, h, c) = round_to(kernel.settings().dtype, output.out.at(i, h, c) * kept);
        }
      }
    }
  };
}

/// As much as a third of a key of logit 0: half a percent of a row of 70 keys.
void slight_sink_of_all_heads(Kernel& kernel, After& /*after*/) {
  kernel.lanes = [](std::size_t) { return 1.0 / 3.0; };
}

/// So far above every logit that hardly anything is left.
void large_sink_of_all_heads(Kernel& kernel, After& /*after*/) {
  kernel.lanes = [](std::size_t) { return std::exp(11.5); };
}

void last_tile_filled(Kernel& kernel, After& /*after*/) {
  kernel.lanes = [prefix = kernel.prefix()](std::size_t i) {
    return static_cast<double>((32 - (i + prefix + 1) % 32) % 32);
  };
}

void masked_keys_of_logit_0(Kernel& kernel, After& /*after*/) {
  kernel.lanes = [&kernel](std::size_t i) {
    return static_cast<double>(kernel.keys() - (i + kernel.prefix() + 1));
  };
}

/// 0.5, 1, 1.5, ...
void gain_of_each_head(Kernel& kernel, After& /*after*/) {
  for (std::size_t j = 0; j < kernel.keys(); ++j) {
    for (std::size_t h = 0; h < kernel.heads(); ++h) {
      for (std::size_t c = 0; c < kernel.value(); ++c) {
        kernel.v.at(j, h, c) *= 0.5 * static_cast<double>(h + 1);
      }
    }
  }
}

void outputs_of_other_heads(Kernel& /*kernel*/, After& after) {
  after = [](Output& output) { swap_heads(output.out); };
}

/// kv_b_proj gives [nope | v] of each head, one after the other; read as [all nope | all v].
void split_by_kind(Kernel& kernel, After& /*after*/) {
  const auto& in = kernel.inputs();
  for (std::size_t j = 0; j < kernel.keys(); ++j) {
    std::vector<double> all;
    for (std::size_t h = 0; h < kernel.heads(); ++h) {
      for (std::size_t c = 0; c < kernel.nope(); ++c) {
        all.push_back(in.k_nope.at(j, h, c));
      }
      for (std::size_t c = 0; c < kernel.value(); ++c) {
        all.push_back(in.v.at(j, h, c));
      }
    }
    for (std::size_t h = 0; h < kernel.heads(); ++h) {
      for (std::size_t c = 0; c < kernel.nope(); ++c) {
        kernel.k.at(j, h, c) = all[h * kernel.nope() + c];
      }
      for (std::size_t c = 0; c < kernel.value(); ++c) {
        kernel.v.at(j, h, c) = all[kernel.heads() * kernel.nope() + h * kernel.value() + c];
      }
    }
  }
}

/// Heads of a token nope + rope apart, read v_head_dim apart.
void heads_further_apart(Kernel& kernel, After& after) {
  after = read_from([wide = kernel.nope() + kernel.rope()](const Output& written, std::size_t i,
                                                           std::size_t h, std::size_t c) {
    const std::size_t flat = h * written.out.third + c;
    return flat % wide < written.out.third ? written.out.at(i, flat / wide, flat % wide) : 0.0;
  });
}

/// Written as [H, T, D], read as [T, H, D].
void out_written_by_heads(Kernel& /*kernel*/, After& after) {
  after = read_from([](const Output& written, std::size_t i, std::size_t h, std::size_t c) {
    const std::size_t flat = i * written.out.second + h;
    return written.out.at(flat % written.out.first, flat / written.out.first, c);
  });
}

/// Written as [T, H, D], read as [H, T, D].
void out_written_by_rows(Kernel& /*kernel*/, After& after) {
  after = read_from([](const Output& written, std::size_t i, std::size_t h, std::size_t c) {
    const std::size_t flat = h * written.out.first + i;
    return written.out.at(flat / written.out.second, flat % written.out.second, c);
  });
}

After last_rows(double value) {
  return [value](Output& output) {
    const std::size_t each = output.out.second * output.out.third;
    std::fill(output.out.data.end() - static_cast<std::ptrdiff_t>(5 * each), output.out.data.end(),
              value);
  };
}

void last_rows_zero(Kernel& /*kernel*/, After& after) {
  after = last_rows(0.0);
}

void last_rows_nan(Kernel& /*kernel*/, After& after) {
  after = last_rows(std::numeric_limits<double>::quiet_NaN());
}

void last_columns_not_written(Kernel& kernel, After& after) {
  after = [&kernel](Output& output) {
    std::mt19937 random(7);
    std::normal_distribution<double> normal;
    for (std::size_t i = 0; i < output.out.first; ++i) {
      for (std::size_t h = 0; h < output.out.second; ++h) {
        for (std::size_t c = 20; c < output.out.third; ++c) {
          output.out.at(i, h, c) = round_to(kernel.settings().dtype, normal(random));
        }
      }
    }
  };
}

/// Neither in neighbouring rows nor in the last.
void nan_in_two_rows(Kernel& /*kernel*/, After& after) {
  after = [](Output& output) {
    output.out.at(11, 1, 3) = std::numeric_limits<double>::quiet_NaN();
    output.out.at(20, 0, 5) = std::numeric_limits<double>::quiet_NaN();
  };
}

/// Head 1 from row 30 on, but for the last two: as large as out itself, ten times that in row 40.
void noise_in_later_rows(Kernel& kernel, After& after) {
  after = [&kernel](Output& output) {
    std::mt19937 random(7);
    std::normal_distribution<double> normal;
    for (std::size_t i = 30; i < kernel.queries() - 2; ++i) {
      for (std::size_t c = 0; c < kernel.value(); ++c) {
        const double noise = (i == 40 ? 10.0 : 1.0) * normal(random);
        output.out.at(i, 1, c) = round_to(kernel.settings().dtype, noise);
      }
    }
  };
}

void one_infinity(Kernel& /*kernel*/, After& after) {
  after = [](Output& output) { output.out.at(11, 1, 3) = std::numeric_limits<double>::infinity(); };
}

// Bugs with numbers of their own behind the last colon: "mask.window:5", "pages.missing:8,16".
using Numbers = std::vector<double>;

std::size_t count(double number) {
  return static_cast<std::size_t>(number);
}

void last_keys_only(Kernel& kernel, const Numbers& numbers, After& /*after*/) {
  kernel.mask([window = static_cast<std::int64_t>(numbers[0])](std::int64_t i, std::int64_t j) {
    return j <= i && j > i - window;
  });
}

void mask_moved(Kernel& kernel, const Numbers& numbers, After& /*after*/) {
  kernel.mask([by = static_cast<std::int64_t>(numbers[0])](std::int64_t i, std::int64_t j) {
    return j <= i + by;
  });
}

void first_keys_dropped(Kernel& kernel, const Numbers& numbers, After& /*after*/) {
  kernel.mask([first = static_cast<std::int64_t>(numbers[0])](std::int64_t i, std::int64_t j) {
    return j <= i && (i < first || j >= first);
  });
}

After merge_at(const Kernel& kernel, const std::vector<std::size_t>& boundaries, double slope) {
  return
      [&kernel, boundaries, slope](Output& output) { output = kernel.merged(boundaries, slope); };
}

void merged_in_base2(Kernel& kernel, const Numbers& numbers, After& after) {
  after = merge_at(kernel, {count(numbers[0])}, 1.4426950408889634);
}

void merged_by_average(Kernel& kernel, const Numbers& numbers, After& after) {
  after = merge_at(kernel, {count(numbers[0])}, 0.0);
}

/// Chunks of all keys: for captures without a prefix.
void chunks_in_base2(Kernel& kernel, const Numbers& numbers, After& after) {
  std::vector<std::size_t> boundaries;
  for (std::size_t at = count(numbers[0]); at < kernel.keys(); at += count(numbers[0])) {
    boundaries.push_back(at);
  }
  after = merge_at(kernel, boundaries, 1.4426950408889634);
}

/// Keys [first, second) of each row count so often.
void count_keys(Kernel& kernel, const Numbers& numbers, double often) {
  for (auto& row : kernel.visible) {
    for (std::size_t j = count(numbers[0]); j < std::min(count(numbers[1]), kernel.keys()); ++j) {
      row[j] *= often;
    }
  }
}

void keys_missing(Kernel& kernel, const Numbers& numbers, After& /*after*/) {
  count_keys(kernel, numbers, 0.0);
}

void keys_twice(Kernel& kernel, const Numbers& numbers, After& /*after*/) {
  count_keys(kernel, numbers, 2.0);
}

/// Of pages of size numbers[0], number [1] holds what stands in number [2]; no key stands where
/// that one ends early.
void page_overwritten(Kernel& kernel, const Numbers& numbers, After& /*after*/) {
  const Kernel right = kernel;
  const std::size_t size = count(numbers[0]);
  for (std::size_t at = 0; at < size; ++at) {
    const std::size_t to = count(numbers[1]) * size + at;
    const std::size_t from = count(numbers[2]) * size + at;
    if (from < kernel.keys()) {
      copy_key(kernel, right, to, from);
    } else {
      for (auto& row : kernel.visible) {
        row[to] = 0.0;
      }
    }
  }
}

/// Of pages of size numbers[0], number [1] and all later ones hold what stands one page before.
void later_pages_moved(Kernel& kernel, const Numbers& numbers, After& /*after*/) {
  const Kernel right = kernel;
  const std::size_t size = count(numbers[0]);
  for (std::size_t j = count(numbers[1]) * size; j < kernel.keys(); ++j) {
    copy_key(kernel, right, j, j - size);
  }
}

void lanes_counted(Kernel& kernel, const Numbers& numbers, After& /*after*/) {
  kernel.lanes = [lanes = numbers[0]](std::size_t) { return lanes; };
}

void mass_counted(Kernel& kernel, const Numbers& numbers, After& /*after*/) {
  kernel.lanes = [mass = std::exp(numbers[0])](std::size_t) { return mass; };
}

void queries_shifted(Kernel& kernel, const Numbers& numbers, After& /*after*/) {
  shift_queries(kernel, numbers[0]);
}

/// Rows of numbers[0], read v_head_dim apart; zeros between.
void rows_further_apart(Kernel& /*kernel*/, const Numbers& numbers, After& after) {
  after = read_from([wide = count(numbers[0])](const Output& written, std::size_t i, std::size_t h,
                                               std::size_t c) {
    const std::size_t heads = written.out.second;
    const std::size_t flat = (i * heads + h) * written.out.third + c;
    const std::size_t row = flat / wide;
    return flat % wide < written.out.third ? written.out.at(row / heads, row % heads, flat % wide)
                                           : 0.0;
  });
}

/// As Llama 4 has it, by the position: numbers[0] is the original length, [1] beta.
void grows_with_position(Kernel& kernel, const Numbers& numbers, After& /*after*/) {
  const auto first =
      static_cast<double>(kernel.settings().first_position + kernel.settings().prefix);
  kernel.row_scale = [right = kernel.scale, first, length = numbers[0],
                      beta = numbers[1]](std::size_t i, std::size_t) {
    return right
           * (1.0 + beta * std::log(1.0 + std::floor((first + static_cast<double>(i)) / length)));
  };
}

/// Rows from numbers[0] on, or those before it.
void scale_of_rows_from(Kernel& kernel, const Numbers& numbers, After& /*after*/) {
  kernel.row_scale = [wrong = scale_of(kernel.settings(), "scale.latent_width"),
                      right = kernel.scale, from = count(numbers[0])](std::size_t i, std::size_t) {
    return i >= from ? wrong : right;
  };
}

void scale_of_rows_before(Kernel& kernel, const Numbers& numbers, After& /*after*/) {
  kernel.row_scale = [wrong = scale_of(kernel.settings(), "scale.latent_width"),
                      right = kernel.scale, to = count(numbers[0])](std::size_t i, std::size_t) {
    return i < to ? wrong : right;
  };
}

void context_scaled(Kernel& kernel, const Numbers& numbers, After& /*after*/) {
  set_scale_of_phase(kernel, true, numbers[0] * kernel.scale);
}

void new_tokens_scaled(Kernel& kernel, const Numbers& numbers, After& /*after*/) {
  set_scale_of_phase(kernel, false, numbers[0] * kernel.scale);
}

/// Columns [first, second) of the keys.
void scale_columns(Kernel& kernel, std::size_t first, std::size_t last, double factor) {
  for (std::size_t j = 0; j < kernel.keys(); ++j) {
    for (std::size_t h = 0; h < kernel.heads(); ++h) {
      for (std::size_t c = first; c < last; ++c) {
        kernel.k.at(j, h, c) *= factor;
      }
    }
  }
}

void rope_scaled(Kernel& kernel, const Numbers& numbers, After& /*after*/) {
  scale_columns(kernel, kernel.nope(), kernel.k.third, numbers[0]);
}

void nope_scaled(Kernel& kernel, const Numbers& numbers, After& /*after*/) {
  scale_columns(kernel, 0, kernel.nope(), numbers[0]);
}

void values_scaled(Kernel& kernel, const Numbers& numbers, After& /*after*/) {
  for (double& x : kernel.v.data) {
    x *= numbers[0];
  }
}

void latent_scaled(Kernel& kernel, const Numbers& numbers, After& after) {
  nope_scaled(kernel, numbers, after);
  values_scaled(kernel, numbers, after);
}

bool apply_numbered(Kernel& kernel, const std::string& bug, After& after) {
  static const std::map<std::string, void (*)(Kernel&, const Numbers&, After&)> variants = {
      {"mask.window", last_keys_only},
      {"mask.moved", mask_moved},
      {"merge.context_dropped", first_keys_dropped},
      {"merge.base2", merged_in_base2},
      {"merge.average", merged_by_average},
      {"merge.base2:chunks", chunks_in_base2},
      {"pages.missing", keys_missing},
      {"pages.duplicated:twice", keys_twice},
      {"pages.duplicated", page_overwritten},
      {"pages.duplicated:shifted", later_pages_moved},
      {"softmax.padding_lanes", lanes_counted},
      {"softmax.sink", mass_counted},
      {"rope.positions_shifted", queries_shifted},
      {"output.stride", rows_further_apart},
      {"temperature.by_position", grows_with_position},
      {"scale.latent_width:from", scale_of_rows_from},
      {"scale.latent_width:before", scale_of_rows_before},
      {"scale.other:context", context_scaled},
      {"scale.other:new_tokens", new_tokens_scaled},
      {"rope.magnitude", rope_scaled},
      {"latent.gain:keys", nope_scaled},
      {"latent.gain", latent_scaled},
      {"value.gain", values_scaled},
  };
  const auto colon = bug.rfind(':');
  const auto found =
      colon == std::string::npos ? variants.end() : variants.find(bug.substr(0, colon));
  if (found == variants.end()) {
    return false;
  }
  Numbers numbers;
  std::istringstream words(bug.substr(colon + 1));
  for (std::string word; std::getline(words, word, ',');) {
    numbers.push_back(std::stod(word));
  }
  found->second(kernel, numbers, after);
  return true;
}

} // namespace

bool apply_variant(Kernel& kernel, const std::string& bug, After& after) {
  static const std::map<std::string, void (*)(Kernel&, After&)> variants = {
      {"scale.latent_width:rows", wrong_scale_of_later_rows},
      {"scale.mscale_wrong_key:rows", other_key_of_later_rows},
      {"scale.latent_width:context", wrong_scale_of_context},
      {"scale.other:context", other_scale_of_context},
      {"scale.other:new_tokens", other_scale_of_new_tokens},
      {"latent.gain:keys", nope_of_keys_larger},
      {"rope.interleave_swapped:q", queries_in_other_pairs},
      {"rope.interleave_swapped:k", keys_in_other_pairs},
      {"rope.interleave_swapped:mixed", pairs_with_cosines_of_halves},
      {"rope.not_applied:q", queries_not_rotated},
      {"rope.not_applied:k", keys_not_rotated},
      {"rope.positions_shifted:restart", positions_begin_again},
      {"rope.positions_shifted:page", queries_a_page_later},
      {"rope.positions_shifted:zero", queries_count_from_zero},
      {"lse.base2:declared", natural_lse_declared_base2},
      {"lse.transposed:rows", lse_written_by_rows},
      {"lse.multiple", lse_a_fifth_larger},
      {"lse.max_export:sum", lse_of_two_bases},
      {"merge.average:chunks", chunks_averaged},
      {"merge.context_dropped:boundary", first_17_keys_dropped},
      {"healthy:tf32", inputs_read_as_tf32},
      {"mask.off_by_one_long:more", three_keys_more},
      {"pages.missing:early", page_missing_in_early_rows},
      {"pages.missing:large", large_page_missing},
      {"pages.duplicated:first", first_page_repeated},
      {"temperature.by_position:line", factor_grows_by_a_line},
      {"pages.missing:zeros", page_of_zeros},
      {"pages.duplicated:twice", page_counts_twice},
      {"pages.duplicated:shifted", page_repeated},
      {"softmax.sink:common", sink_of_all_heads},
      {"softmax.sink:large", large_sink_of_all_heads},
      {"softmax.sink:slight", slight_sink_of_all_heads},
      {"softmax.padding_lanes:tile", last_tile_filled},
      {"softmax.padding_lanes:masked", masked_keys_of_logit_0},
      {"value.gain:heads", gain_of_each_head},
      {"value.head_permuted:out", outputs_of_other_heads},
      {"value.split_swapped:apart", split_by_kind},
      {"output.stride:token", heads_further_apart},
      {"output.stride:heads_first", out_written_by_heads},
      {"output.stride:rows_first", out_written_by_rows},
      {"tail.uninitialised:zero", last_rows_zero},
      {"tail.uninitialised:nan", last_rows_nan},
      {"tail.uninitialised:columns", last_columns_not_written},
      {"noise:late", noise_in_later_rows},
      {"output.nan:two_rows", nan_in_two_rows},
      {"output.nan:infinite", one_infinity},
  };
  const auto found = variants.find(bug);
  if (found != variants.end()) {
    found->second(kernel, after);
  }
  return found != variants.end() || apply_numbered(kernel, bug, after);
}

} // namespace simulator
