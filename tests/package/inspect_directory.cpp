#include <mla_scale/model/load.hpp>
#include <mla_scale/scale/softmax_scale.hpp>

#include <cstdio>

// Prints the softmax scale of each model below the path given.
int main(int argc, char** argv) {
  const auto models = mla_scale::model::load_models(argc > 1 ? argv[1] : ".");
  if (!models) {
    std::fprintf(stderr, "%s\n", to_string(models.error()).c_str());
    return 1;
  }
  for (const auto& model : *models) {
    if (const auto* config = model.config()) {
      const auto scale = mla_scale::scale::derive_softmax_scale(*config);
      std::printf("%s %.16g\n", model.source.c_str(), scale ? scale->prefill : 0.0);
    }
  }
  return 0;
}
