#include "distance.hpp"
#include "support/catch.hpp"
#include "support/tensors.hpp"

#include <mla_scale/reference/attention.hpp>
#include <mla_scale/reference/kernel_choice.hpp>
#include <mla_scale/reference/work_units.hpp>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <set>
#include <string>

using namespace mla_scale;
using namespace mla_scale::reference;

namespace {

// No width, length or number of heads is a multiple of any tile of any kernel.
constexpr std::int64_t k_odd_heads = 5;
constexpr std::int64_t k_odd_nope = 37;
constexpr std::int64_t k_odd_rope = 12;
constexpr std::int64_t k_odd_v = 29;
constexpr std::int64_t k_odd_rank = 45;

Problem problem_of(Form form, std::int64_t queries = 301, std::int64_t keys = 597) {
  Problem problem;
  problem.q = tensors::number_view(1, queries, k_odd_heads, k_odd_nope + k_odd_rope, 4.0);
  problem.form = form;
  if (form == Form::expanded) {
    problem.k = tensors::number_view(2, keys, k_odd_heads, k_odd_nope + k_odd_rope);
    problem.v = tensors::number_view(3, keys, k_odd_heads, k_odd_v);
  } else {
    problem.kv_c = tensors::number_view(4, keys, 1, k_odd_rank);
    problem.k_pe = tensors::number_view(5, keys, 1, k_odd_rope);
    problem.w_uk = tensors::number_view(6, k_odd_nope, k_odd_heads, k_odd_rank);
    problem.w_uv = tensors::number_view(7, k_odd_v, k_odd_heads, k_odd_rank);
  }
  problem.qk_rope_head_dim = k_odd_rope;
  problem.softmax_scale = form == Form::expanded ? 0.37 : 0.05;
  problem.sequences = {{0, queries, 0, keys}};
  return problem;
}

Attention computed(Problem problem, const Kernel* kernel) {
  problem.kernel = kernel;
  auto result = compute(problem);
  REQUIRE(result.has_value());
  return *result;
}

const Kernel* plain() {
  return find_kernel("eigen").value();
}

template <typename Check>
void for_each_kernel(Check check) {
  for (const KernelChoice& choice : kernels()) {
    if (choice.runs_here) {
      INFO(choice.kernel->name);
      check(choice.kernel);
    }
  }
}

} // namespace

TEST_CASE("every kernel agrees with the plain one to 1e-13 in every form", "[kernel]") {
  for (const Form form : {Form::expanded, Form::latent, Form::absorbed}) {
    const Problem problem = problem_of(form);
    const Attention expected = computed(problem, plain());
    for_each_kernel([&](const Kernel* kernel) {
      const Attention result = computed(problem, kernel);
      CHECK(distance(result.out, expected.out) < 1e-13);
      CHECK(distance(result.lse, expected.lse) < 1e-13);
    });
  }
}

TEST_CASE("every kernel agrees with the plain one in chunks, without mask and for few rows",
          "[kernel]") {
  for (const Form form : {Form::expanded, Form::absorbed}) {
    Problem chunks = problem_of(form);
    chunks.key_chunk = 100;
    Problem open = problem_of(form);
    open.causal = false;
    Problem few = problem_of(form);
    few.rows = {0, 7, 8, 299};
    few.heads = {1, 4};
    // Rows that see no key stand among others in a vector.
    Problem more_queries = problem_of(form, 61, 43);
    for (Problem* problem : {&chunks, &open, &few, &more_queries}) {
      const Attention expected = computed(*problem, plain());
      for_each_kernel([&](const Kernel* kernel) {
        const Attention result = computed(*problem, kernel);
        CHECK(distance(result.out, expected.out) < 1e-13);
        CHECK(distance(result.lse, expected.lse) < 1e-13);
      });
    }
  }
}

TEST_CASE("few rows of a latent are computed without expanding its keys, to the same numbers",
          "[kernel]") {
  const Problem whole = problem_of(Form::latent);
  REQUIRE(in_cheapest_form(whole).form == Form::latent);
  Problem few = whole;
  few.rows = {0, 150, 300};
  few.heads = {1, 4};
  CHECK(in_cheapest_form(few).form == Form::absorbed);
  const Attention expected = computed(whole, plain());
  for_each_kernel([&](const Kernel* kernel) {
    const Attention result = computed(few, kernel);
    for (std::size_t i = 0; i < few.rows.size(); ++i) {
      for (std::size_t h = 0; h < few.heads.size(); ++h) {
        const auto row = static_cast<std::size_t>(few.rows[i]);
        const auto head = static_cast<std::size_t>(few.heads[h]);
        const auto out = result.out_row(i, h);
        const auto expected_out = expected.out_row(row, head);
        CHECK(distance({out.begin(), out.end()}, {expected_out.begin(), expected_out.end()})
              < 1e-13);
        CHECK(std::abs(result.lse_at(i, h) - expected.lse_at(row, head)) < 1e-12);
      }
    }
  });
}

TEST_CASE("float32 stays within float32's rounding of the plain kernel in float64", "[kernel]") {
  for (const Form form : {Form::expanded, Form::latent, Form::absorbed}) {
    Problem problem = problem_of(form);
    const Attention expected = computed(problem, plain());
    problem.precision = Precision::f32;
    for_each_kernel([&](const Kernel* kernel) {
      const Attention result = computed(problem, kernel);
      CHECK(distance(result.out, expected.out) < 1e-5);
      CHECK(distance(result.lse, expected.lse) < 1e-5);
      CHECK(distance(result.out, expected.out) > 1e-13); // or it was not float32
    });
  }
}

TEST_CASE("one kernel gives the same bits whatever the number of threads", "[kernel]") {
  for (const Form form : {Form::expanded, Form::latent, Form::absorbed}) {
    Problem problem = problem_of(form, 823, 823);
    for_each_kernel([&](const Kernel* kernel) {
      problem.threads = 1;
      const Attention one = computed(problem, kernel);
      for (const int threads : {2, 5}) {
        problem.threads = threads;
        const Attention many = computed(problem, kernel);
        CHECK(many.out == one.out);
        CHECK(many.lse == one.lse);
      }
    });
  }
}

TEST_CASE("the bits of a row do not depend on the rows beside it", "[kernel]") {
  Problem problem = problem_of(Form::expanded);
  for_each_kernel([&](const Kernel* kernel) {
    problem.rows.clear();
    const Attention all = computed(problem, kernel);
    problem.rows = {0, 1, 5, 44, 128, 129, 200, 287, 300};
    const Attention some = computed(problem, kernel);
    for (std::size_t i = 0; i < problem.rows.size(); ++i) {
      const auto row = static_cast<std::size_t>(problem.rows[i]);
      for (std::size_t head = 0; head < k_odd_heads; ++head) {
        CHECK(std::ranges::equal(some.out_row(i, head), all.out_row(row, head)));
        CHECK(some.lse_at(i, head) == all.lse_at(row, head));
      }
    }
  });
}

// A kernel may take powers against an older maximum; the numbers must be those of the newest.
TEST_CASE("logits that rise from tile to tile, slowly and then fast, agree with the plain kernel",
          "[kernel]") {
  constexpr std::int64_t k_rising_keys = 597;
  constexpr std::int64_t k_key_width = k_odd_nope + k_odd_rope;
  Problem problem = problem_of(Form::expanded, 30, k_rising_keys);
  problem.q = tensors::view(std::vector<double>(30 * k_odd_heads * k_key_width, 1.0), 30,
                            k_odd_heads, k_key_width);
  std::vector<double> k = tensors::numbers(2, k_rising_keys * k_odd_heads * k_key_width);
  for (std::size_t i = 0; i < k.size(); ++i) {
    // Rows of logits rise by 0.05 a key, and by 100 at key 500.
    const auto key = static_cast<double>(i / (k_odd_heads * k_key_width));
    k[i] += (0.05 * key + (key < 500 ? 0.0 : 100.0)) / (0.37 * k_key_width);
  }
  problem.k = tensors::view(k, k_rising_keys, k_odd_heads, k_key_width);
  for (const Precision precision : {Precision::f64, Precision::f32}) {
    problem.precision = Precision::f64;
    const Attention expected = computed(problem, plain());
    problem.precision = precision;
    const double bound = precision == Precision::f64 ? 1e-13 : 1e-4;
    for_each_kernel([&](const Kernel* kernel) {
      const Attention result = computed(problem, kernel);
      CHECK(distance(result.out, expected.out) < bound);
      CHECK(distance(result.lse, expected.lse) < bound);
    });
  }
}

TEST_CASE("logits thousands apart underflow to zero and never to nonsense", "[kernel]") {
  Problem problem = problem_of(Form::expanded, 70, 70);
  problem.softmax_scale = 400.0;
  const Attention expected = computed(problem, plain());
  for (const double x : expected.out) {
    REQUIRE(std::isfinite(x));
  }
  for_each_kernel([&](const Kernel* kernel) {
    const Attention result = computed(problem, kernel);
    // A logit of 1e5 has a rounding error of 1e-11, and its exponential a relative one as large.
    CHECK(distance(result.out, expected.out) < 1e-9);
    CHECK(distance(result.lse, expected.lse) < 1e-13);
  });
}

TEST_CASE("a NaN in one query stays in its row", "[kernel]") {
  Problem problem = problem_of(Form::expanded, 60, 60);
  std::vector<double> numbers =
      tensors::numbers(1, 60 * k_odd_heads * (k_odd_nope + k_odd_rope), 4.0);
  const std::size_t row = 17;
  numbers[(row * k_odd_heads + 2) * (k_odd_nope + k_odd_rope) + 5] =
      std::numeric_limits<double>::quiet_NaN();
  problem.q = tensors::view(numbers, 60, k_odd_heads, k_odd_nope + k_odd_rope);
  for_each_kernel([&](const Kernel* kernel) {
    const Attention result = computed(problem, kernel);
    for (std::size_t i = 0; i < 60; ++i) {
      for (std::size_t h = 0; h < k_odd_heads; ++h) {
        CHECK(std::isnan(result.out_row(i, h)[0]) == (i == row && h == 2));
      }
    }
  });
}

// The linker must not have put one instruction set's code in the place of another's: fused and
// unfused products round differently, so kernels with and without them differ somewhere.
TEST_CASE("kernels of different instruction sets are different code", "[kernel]") {
  std::set<const void*> functions;
  std::set<std::string> names;
  for (const KernelChoice& choice : kernels()) {
    names.insert(choice.kernel->name);
    functions.insert(reinterpret_cast<const void*>(choice.kernel->f64.attend));
    functions.insert(reinterpret_cast<const void*>(choice.kernel->f32.attend));
    functions.insert(reinterpret_cast<const void*>(choice.kernel->f64.multiply));
    functions.insert(reinterpret_cast<const void*>(choice.kernel->f32.multiply));
  }
  CHECK(names.size() == kernels().size());
  CHECK(functions.size() == 4 * kernels().size());

  const auto fused = find_kernel("x86-64-v3");
  const auto unfused = find_kernel("x86-64-v2");
  if (fused && unfused) {
    const Problem problem = problem_of(Form::expanded);
    CHECK(computed(problem, *fused).out != computed(problem, *unfused).out);
    CHECK((*fused)->f64.lanes != (*unfused)->f64.lanes);
  }
}

TEST_CASE("the instructions of a kernel are those of its name", "[kernel]") {
  for (const KernelChoice& choice : kernels()) {
    const std::string name = choice.kernel->name;
    const std::string expected = name == "x86-64-v4"   ? "AVX-512"
                                 : name == "x86-64-v3" ? "AVX2, FMA"
                                 : name == "x86-64-v2" ? "SSE4.2"
                                                       : choice.kernel->instructions;
    CHECK(choice.kernel->instructions == expected);
  }
}

TEST_CASE("MLA_SCALE_KERNEL forces a kernel and must name one of this machine", "[kernel]") {
  CHECK(find_kernel("generic").value()->name == std::string("generic"));
  const auto unknown = find_kernel("sse9");
  REQUIRE(!unknown);
  CHECK(unknown.error().kind == ErrorKind::usage);
  CHECK(unknown.error().message.starts_with("there is no kernel 'sse9'; this machine runs eigen"));
  for (const KernelChoice& choice : kernels()) {
    CHECK(find_kernel(choice.kernel->name).has_value() == choice.runs_here);
  }

  const char* const before = std::getenv("MLA_SCALE_KERNEL");
  const std::string saved = before == nullptr ? "" : before;
  ::setenv("MLA_SCALE_KERNEL", "eigen", 1);
  CHECK(chosen_kernel().value() == plain());
  ::setenv("MLA_SCALE_KERNEL", "sse9", 1);
  CHECK(compute(problem_of(Form::expanded)).error().kind == ErrorKind::usage);
  ::setenv("MLA_SCALE_KERNEL", saved.c_str(), 1);
}
